"""Google Kubernetes Engine: clusters. Their contents are in kubernetes.py."""

import re

from .messages import no_access_to_account
from .service import Call, Service, not_found, route

LOCATION = "/v1/projects/{project}/locations/{region}"


class Container(Service):
    host = "container.googleapis.com"
    api = "container.googleapis.com"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.clusters: dict[str, dict] = {}
        self.orphans: list[str] = []  # load balancers of clusters that were deleted before their Gateways

    @route("GET", LOCATION + "/clusters/{name}")
    def get(self, call: Call, project: str, region: str, name: str) -> dict:
        if name not in self.clusters:
            raise not_found(f"projects/{project}/locations/{region}/clusters/{name}")
        return self.clusters[name]

    @route("GET", LOCATION + "/clusters")
    def list_all(self, call: Call, project: str, region: str) -> dict:
        return {"clusters": [*self.clusters.values()]}

    @route("POST", LOCATION + "/clusters")
    def create(self, call: Call, project: str, region: str) -> dict:
        requested = call.body["cluster"]
        for account in sorted(set(re.findall(r'"serviceAccount": "([^"]+)"', call.content.decode()))):
            if not self.cloud.iam.is_effective(account):
                raise no_access_to_account(account)
        access = {"dnsEndpointConfig": {"endpoint": f"gke-1.{region}.gke.goog", "allowExternalTraffic": True}}
        state = {
            "status": "RUNNING",
            "endpoint": "10.0.0.2",
            "masterAuth": {"clusterCaCertificate": ""},
            "location": region,
            "zone": region,
        }
        if self.cloud.conditions.gke_firewall_rules:
            self.cloud.compute.add_cluster_rules(requested["name"], requested["network"])
        self.clusters[requested["name"]] = {**requested, **state, "controlPlaneEndpointsConfig": access}
        return self.operation(call, project, region, "create")

    @route("DELETE", LOCATION + "/clusters/{name}")
    def delete(self, call: Call, project: str, region: str, name: str) -> dict:
        self.get(call, project, region, name)
        del self.clusters[name]
        self.cloud.compute.remove_cluster_rules(name)
        self.orphans += [at for at in self.cloud.kubernetes.objects if at.startswith("gateways/")]
        self.cloud.kubernetes.objects.clear()
        return self.operation(call, project, region, "delete")

    @route("GET", LOCATION + "/operations/{name}")
    def operation(self, call: Call, project: str, region: str, name: str) -> dict:
        return {
            "name": name,
            "status": "DONE",
            "zone": region,
            "selfLink": f"https://container.googleapis.com/v1/projects/{project}",
        }
