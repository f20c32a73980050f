"""Cloud Billing: whether the project has a billing account."""

from .service import Call, Service, route


class Billing(Service):
    host = "cloudbilling.googleapis.com"
    api = "cloudbilling.googleapis.com"

    @route("GET", "/v1/projects/{project}/billingInfo")
    def info(self, call: Call, project: str) -> dict:
        on = self.cloud.conditions.billing_enabled
        account = {"billingAccountName": "billingAccounts/000000-000000-000000"} if on else {}
        return {"name": f"projects/{project}/billingInfo", "projectId": project, "billingEnabled": on, **account}
