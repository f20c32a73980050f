"""Service Usage: which APIs are enabled."""

from urllib.parse import parse_qs, urlsplit

from .messages import billing_not_enabled
from .service import Call, Service, route

INITIAL = ["serviceusage", "storage", "cloudresourcemanager", "cloudbilling"]


class ServiceUsage(Service):
    host = "serviceusage.googleapis.com"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.enabled = {f"{name}.googleapis.com" for name in INITIAL}
        self.named: set[str] = set()  # in a call that enables

    def enable(self, *apis: str) -> None:
        new = {api for api in apis if not self.is_enabled(api)}
        if new and not self.cloud.conditions.billing_enabled:
            raise billing_not_enabled(sorted(new))
        self.cloud.propagation.start("api", new, self.cloud.conditions.api_delay)
        self.cloud.propagation.start("agent", new, self.cloud.conditions.agent_delay)
        self.enabled |= new
        self.named |= new

    def is_enabled(self, api: str) -> bool:
        return api in self.enabled and (api in self.named or api not in self.cloud.conditions.disabled_apis)

    def is_effective(self, api: str) -> bool:
        """Whether calls to the API are answered: it is enabled, and the servers know that it is."""
        return self.is_enabled(api) and not self.cloud.propagation.is_pending("api", api)

    def state(self, api: str) -> dict:
        on = "ENABLED" if self.is_enabled(api) else "DISABLED"
        return {"name": f"projects/1/services/{api}", "config": {"name": api}, "state": on}

    @route("GET", "/v1/projects/{project}/services")
    def list_all(self, call: Call, project: str) -> dict:
        return {"services": [self.state(api) for api in sorted(self.enabled) if self.is_enabled(api)]}

    @route("GET", "/v1/projects/{project}/services/{api}")
    def get(self, call: Call, project: str, api: str) -> dict:
        return self.state(api)

    @route("GET", "/v1/projects/{project}/services:batchGet")
    def batch_get(self, call: Call, project: str) -> dict:
        names = parse_qs(urlsplit(call.target).query)["names"]
        return {"services": [self.state(name.rpartition("/")[2]) for name in names]}

    @route("POST", "/v1/projects/{project}/services/{api}:enable")
    def enable_one(self, call: Call, project: str, api: str) -> dict:
        self.enable(api)
        return {"name": "operations/acf.1", "done": True, "response": {}}

    @route("POST", "/v1/projects/{project}/services:batchEnable")
    def batch_enable(self, call: Call, project: str) -> dict:
        self.enable(*call.body["serviceIds"])
        return {"name": "operations/acf.1", "done": True, "response": {}}
