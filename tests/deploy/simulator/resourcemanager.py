"""Resource Manager: the project and its policy."""

from .messages import unknown_account
from .service import Call, Service, permission_denied, route


class ResourceManager(Service):
    host = "cloudresourcemanager.googleapis.com"
    api = "cloudresourcemanager.googleapis.com"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.policy = {"version": 1, "etag": "BwX=", "bindings": []}

    def roles(self, email: str) -> set[str]:
        """The roles in the project that a service account has."""
        member = f"serviceAccount:{email}"
        return {binding["role"] for binding in self.policy["bindings"] if member in binding["members"]}

    @route("GET", "/v1/projects/{project}")
    def get(self, call: Call, project: str) -> dict:
        if project != self.cloud.project:
            raise permission_denied("resourcemanager.projects.get", f"projects/{project}")
        return {"projectId": project, "projectNumber": "123456789012", "lifecycleState": "ACTIVE"}

    @route("POST", "/v1/projects/{project}:getIamPolicy")
    def get_policy(self, call: Call, project: str) -> dict:
        return self.policy

    @route("POST", "/v1/projects/{project}:setIamPolicy")
    def set_policy(self, call: Call, project: str) -> dict:
        old = {(b["role"], m) for b in self.policy["bindings"] for m in b["members"]}
        policy = {"version": 1, "etag": "BwX=", "bindings": [], **call.body["policy"]}
        new = {(b["role"], m) for b in policy["bindings"] for m in b["members"]} - old
        emails = {member.removeprefix("serviceAccount:") for _, member in new if member.startswith("serviceAccount:")}
        for email in sorted(emails):
            if not self.cloud.iam.is_effective(email):
                raise unknown_account(email)
        self.cloud.propagation.start("grant", emails, self.cloud.conditions.grant_delay)
        self.policy = policy
        return self.policy
