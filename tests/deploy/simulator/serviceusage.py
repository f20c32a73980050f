"""Service Usage: which APIs are enabled."""

from urllib.parse import parse_qs, urlsplit

from .service import Call, Service, route


class ServiceUsage(Service):
    host = "serviceusage.googleapis.com"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.enabled = {"serviceusage.googleapis.com", "storage.googleapis.com", "cloudresourcemanager.googleapis.com"}

    def enable(self, *apis: str) -> None:
        new = set(apis) - self.enabled
        self.cloud.propagation.start("api", new, self.cloud.conditions.api_delay)
        self.cloud.propagation.start("agent", new, self.cloud.conditions.agent_delay)
        self.enabled |= new

    def is_effective(self, api: str) -> bool:
        """Whether calls to the API are answered: it is enabled, and the servers know that it is."""
        return api in self.enabled and not self.cloud.propagation.is_pending("api", api)

    def state(self, api: str) -> dict:
        on = "ENABLED" if api in self.enabled else "DISABLED"
        return {"name": f"projects/1/services/{api}", "config": {"name": api}, "state": on}

    @route("GET", "/v1/projects/{project}/services")
    def list_all(self, call: Call, project: str) -> dict:
        return {"services": [self.state(api) for api in sorted(self.enabled)]}

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
