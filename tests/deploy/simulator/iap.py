"""Identity-Aware Proxy: its policies."""

from .service import Call, Service, route

RESOURCE = "/v1/projects/{number}/iap_web/{rest**}"


class Iap(Service):
    host = "iap.googleapis.com"
    api = "iap.googleapis.com"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.policies: dict[str, dict] = {}

    @route("POST", RESOURCE + ":getIamPolicy")
    def get_policy(self, call: Call, number: str, rest: str) -> dict:
        return self.policies.get(rest, {"version": 1, "etag": "ACAB"})

    @route("POST", RESOURCE + ":setIamPolicy")
    def set_policy(self, call: Call, number: str, rest: str) -> dict:
        self.policies[rest] = {"version": 1, "etag": "BwX=", **call.body["policy"]}
        return self.policies[rest]

    def members(self, service: str) -> set[str]:
        found = [policy for rest, policy in self.policies.items() if rest.endswith(f"/services/{service}")]
        return {member for policy in found for binding in policy.get("bindings", []) for member in binding["members"]}
