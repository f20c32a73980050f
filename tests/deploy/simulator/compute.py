"""Compute Engine: the same rules for all collections of resources.

A resource can be created only if those that it refers to exist, and cannot be deleted while another refers to it. A
group of instances runs a new template once its instances are ready.
"""

import re

from .messages import cpu_quota_exceeded, external_address_forbidden, in_use, no_access_to_account
from .service import Answer, Call, Refusal, Service, not_found

ROOT = "https://www.googleapis.com/compute/v1/projects/"
REFERENCE = re.compile(r"projects/[^/\"]+/((?:global|regions/[^/\"]+)/[A-Za-z]+/[^/\"]+)$")
PREDEFINED = ("images", "zones", "machineTypes", "diskTypes")  # Google's own, which always exist
ZONE = "b"


class Compute(Service):
    host = r"(www|compute)\.googleapis\.com"
    api = "compute.googleapis.com"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.never_ready = False  # new templates' instances stay unhealthy
        self.things: dict[str, dict] = {}  # by "global/networks/NAME" or "regions/R/subnetworks/NAME"

    # -- for the tests

    def named(self, collection: str) -> dict[str, dict]:
        """Everything of a collection, by name."""
        return {key.rpartition("/")[2]: thing for key, thing in self.things.items() if f"/{collection}/" in key}

    def take_away(self, *collections: str) -> None:
        """Delete collections, as if a deployment had stopped before it created them."""
        self.things = {key: thing for key, thing in self.things.items() if key.split("/")[-2] not in collections}

    def add_cluster_rules(self, cluster: str, network: str) -> None:
        """GKE's own firewall rules in the network of a cluster."""
        link = f"{ROOT}{self.cloud.project}/global/networks/{network.rpartition('/')[2]}"
        for purpose in ("all", "exkubelet", "inkubelet", "vms"):
            name = f"gke-{cluster}-1a2b3c4d-{purpose}"
            key = f"global/firewalls/{name}"
            rule = {
                "name": name,
                "network": link,
                "sourceRanges": ["10.8.0.0/20"],
                "selfLink": f"{ROOT}{self.cloud.project}/{key}",
            }
            self.things[key] = rule

    def remove_cluster_rules(self, cluster: str) -> None:
        start = f"global/firewalls/gke-{cluster}-"
        self.things = {key: thing for key, thing in self.things.items() if not key.startswith(start)}

    def issue_certificates(self) -> None:
        """Set all certificates to ACTIVE, as Google does once their domains point to the addresses."""
        for certificate in self.named("sslCertificates").values():
            certificate["managed"]["status"] = "ACTIVE"

    # -- the API

    def knows(self, call: Call) -> bool:
        return call.path.startswith("/compute/v1/projects/")

    def answer(self, call: Call) -> Answer:
        project, _, rest = call.path.removeprefix("/compute/v1/projects/").partition("/")
        if project == "cos-cloud":
            return Answer(
                {
                    "name": "cos-stable-1",
                    "selfLink": f"{ROOT}cos-cloud/global/images/cos-stable-1",
                    "family": "cos-stable",
                }
            )
        if not rest.startswith(("global/", "regions/", "zones/", "aggregated/")) or (
            rest.count("/") == 1 and rest.startswith("regions/")
        ):
            rest = rest if rest.startswith("regions/") else f"global/{rest}"
        words = rest.split("/")
        if words[0] == "aggregated":
            return Answer(self.aggregated(words[1]))
        scope = words[0] if words[0] == "global" else "/".join(words[:2])
        words = words[1 if scope == "global" else 2 :]
        if not words:
            return Answer(
                {
                    "name": scope.rpartition("/")[2],
                    "zones": [f"{ROOT}{project}/zones/{scope.rpartition('/')[2]}-{ZONE}"],
                }
            )
        if words[0] == "operations":
            return Answer(self.operation(scope, words[1]))
        return Answer(self.collection(call, scope, *words))

    def collection(self, call: Call, scope: str, kind: str, name: str = "", verb: str = "") -> dict:
        key = f"{scope}/{kind}/{name}"
        if verb:
            return self.act(call, scope, key, verb)
        if call.method == "POST":
            return self.insert(call, scope, kind)
        if not name and call.method in ("PUT", "PATCH"):  # autoscalers are named in the query or in the body
            key += call.query.get("autoscaler") or call.body["name"]
        elif not name:
            return {"items": [thing for at, thing in self.things.items() if at.startswith(key)]}
        thing = self.get(key)
        if call.method == "DELETE":
            users = [at for at, other in self.things.items() if at != key and key in self.references(other)]
            users = [at for at in users if not (kind == "instanceGroupManagers" and at == key.replace("Managers", "s"))]
            if kind in ("networks", "subnetworks"):
                users += [
                    f"clusters/{cluster['name']}"
                    for cluster in self.cloud.container.clusters.values()
                    if name in (cluster.get("network"), cluster.get("subnetwork"))
                ]
            if users:
                raise in_use(self.cloud.project, key, users[0])
            for extra in (
                key,
                key.replace("instanceGroupManagers", "instanceGroups"),
                key.replace("instanceGroupManagers", "autoscalers"),
            ):
                self.things.pop(extra, None)
        elif call.method in ("PUT", "PATCH"):
            self.check(call.body)
            thing.update(call.body)
            self.settle(key)
        else:
            return thing
        return self.operation(scope, "done", key, call.method)

    def get(self, key: str) -> dict:
        if key not in self.things:
            raise not_found(f"The resource 'projects/{self.cloud.project}/{key}'")
        return self.things[key]

    def insert(self, call: Call, scope: str, kind: str) -> dict:
        thing = call.body
        key = f"{scope}/{kind}/{thing['name']}"
        if key in self.things:
            raise Refusal(409, "ALREADY_EXISTS", f"The resource '{key}' already exists")
        self.check(thing)
        for account in thing.get("properties", {}).get("serviceAccounts", []):
            if not self.cloud.iam.is_effective(account["email"]):
                raise no_access_to_account(account["email"])
        region = {} if scope == "global" else {"region": f"{ROOT}{self.cloud.project}/{scope}"}
        own = {"id": "1", "selfLink": ROOT + f"{self.cloud.project}/{key}", "fingerprint": "abcd", **region}
        self.things[key] = {
            **thing,
            **own,
            "kind": f"compute#{kind.removesuffix('s')}",
            "creationTimestamp": "2026-11-21T12:00:00Z",
        }
        if kind == "addresses":
            inside = "subnetwork" in thing
            number = len(self.named("addresses"))
            self.things[key].update(
                address=f"10.8.0.{number + 1}" if inside else f"203.0.113.{number}", status="RESERVED"
            )
        self.settle(key)
        return self.operation(scope, "done", key)

    def act(self, call: Call, scope: str, key: str, verb: str) -> dict:
        thing = self.get(key)
        if verb == "listManagedInstances":
            return {"managedInstances": self.instances(thing)}
        if verb == "listErrors":
            return {"items": [{"error": {"code": "QUOTA_EXCEEDED", "message": error}} for error in thing["errors"]]}
        self.check(call.body)
        if verb == "setUrlMap":
            thing["urlMap"] = call.body["urlMap"]
        elif verb in ("setSslCertificates", "setNamedPorts"):
            thing.update(call.body)
        else:
            raise Refusal(400, "UNIMPLEMENTED", f"the simulator cannot {verb}")
        return self.operation(scope, "done", key)

    def operation(self, scope: str, name: str, key: str = "", method: str = "POST") -> dict:
        at = f"{ROOT}{self.cloud.project}/{scope}"
        where = {} if scope == "global" else {"region": at}
        target = {"targetLink": f"{ROOT}{self.cloud.project}/{key}"} if key else {}
        what = {"POST": "insert", "DELETE": "delete"}.get(method, "update")
        where["operationType"] = what
        return {
            "kind": "compute#operation",
            "name": name,
            "status": "DONE",
            "selfLink": f"{at}/operations/{name}",
            **where,
            **target,
        }

    def aggregated(self, kind: str) -> dict:
        items: dict[str, dict] = {}
        for key, thing in self.things.items():
            scope, _, found = key.rpartition("/")[0].rpartition("/")
            if found == kind:
                items.setdefault(scope, {kind: []})[kind].append(thing)
        return {"items": items}

    # -- rules

    def references(self, thing: object) -> set[str]:
        if isinstance(thing, dict):
            return set().union(
                *(self.references(value) for name, value in thing.items() if name not in ("selfLink", "region"))
            )
        if isinstance(thing, list):
            return set().union(*map(self.references, thing))
        found = REFERENCE.search(thing) if isinstance(thing, str) else None
        return {found[1]} if found and found[1].split("/")[-2] not in PREDEFINED else set()

    def check(self, body: dict) -> None:
        for key in sorted(self.references(body)):
            if key not in self.things:
                raise Refusal(400, "INVALID_ARGUMENT", f"Invalid value for a field: '{key}' does not exist")

    def settle(self, key: str) -> None:
        """Apply what follows a change: instances are created from their template, certificates are requested."""
        thing = self.things[key]
        if "/sslCertificates/" in key:
            thing["managed"]["status"] = "PROVISIONING"
        if "/autoscalers/" in key:
            thing["status"] = "ACTIVE"
        if "/instanceGroupManagers/" in key:
            group = key.replace("Managers", "s")
            thing["instanceGroup"] = f"{ROOT}{self.cloud.project}/{group}"
            self.things.setdefault(
                group, {"name": thing["name"], "selfLink": thing["instanceGroup"], "fingerprint": "abcd"}
            )
            thing.setdefault("versions", [{"instanceTemplate": thing.get("instanceTemplate")}])
            thing["instanceTemplate"] = thing["versions"][0]["instanceTemplate"]
            problem = self.problem(thing)
            healthy = not (self.never_ready or problem) or thing.get("serves") == thing["instanceTemplate"]
            thing["errors"] = [problem] if problem else []
            if healthy:
                thing["serves"] = thing["instanceTemplate"]  # the old instances are replaced only now
            thing["status"] = {"isStable": healthy, "versionTarget": {"isReached": healthy}}

    def problem(self, group: dict) -> str:
        """Why the instances of a group cannot be created under the conditions; empty if they can."""
        on = self.cloud.conditions
        template = self.follow(group["instanceTemplate"])["properties"]
        if not on.external_addresses and any("accessConfigs" in card for card in template["networkInterfaces"]):
            return external_address_forbidden(f"{group['name']}-0000")
        rolling = group.get("serves") not in (None, group["instanceTemplate"])
        surge = group.get("updatePolicy", {}).get("maxSurge", {}).get("fixed", 0) if rolling else 0
        size = template["machineType"].rpartition("-")[2]
        cpus = int(size) if size.isdigit() else 2  # e2-micro, e2-small and e2-medium have two
        if on.cpu_quota and (group["targetSize"] + surge) * cpus > on.cpu_quota:
            return cpu_quota_exceeded(on.cpu_quota)
        return ""

    def instances(self, group: dict) -> list[dict]:
        zone = group["region"].replace("/regions/", "/zones/") + f"-{ZONE}"
        return [
            {"instance": f"{zone}/instances/{group['name']}-{i:04x}", "instanceStatus": "RUNNING"}
            for i in range(group["targetSize"])
        ]

    # -- requests to what runs

    def backend(self, address: str, secure: bool) -> tuple[str, dict] | None:
        """The template behind an address' port, or a redirect; None if nothing listens or the firewall blocks it."""
        port = "443" if secure else "80"
        for rule in self.named("forwardingRules").values():
            reserved = self.follow(rule["IPAddress"])
            if reserved.get("address") == address and rule["portRange"].split("-")[0] == port:
                urls = self.follow(self.follow(rule["target"])["urlMap"])
                if "defaultUrlRedirect" in urls:
                    return "", urls["defaultUrlRedirect"]
                service = self.follow(urls["defaultService"])
                manager = self.follow(
                    service["backends"][0]["group"].replace("instanceGroups", "instanceGroupManagers")
                )
                group = self.follow(manager["instanceGroup"])
                open_ = any("35.191.0.0/16" in f["sourceRanges"] for f in self.named("firewalls").values())
                if open_ and {"name": service["portName"], "port": 8080} in group["namedPorts"]:
                    return "instances", self.follow(manager["serves"])
        return None

    def follow(self, link: str) -> dict:
        return self.things.get(REFERENCE.search(link)[1] if REFERENCE.search(link) else "", {})

    def user_data(self, template: dict) -> str:
        return next(item["value"] for item in template["properties"]["metadata"]["items"] if item["key"] == "user-data")
