"""The Kubernetes API of the only cluster, as far as kubectl needs it: discovery, apply, rollouts, Gateways."""

import copy
import json

from .service import Answer, Call, Refusal, Service

KINDS = {  # group/version -> plural: kind; all but namespaces are namespaced
    "v1": {"namespaces": "Namespace", "services": "Service", "serviceaccounts": "ServiceAccount", "pods": "Pod"},
    "apps/v1": {"deployments": "Deployment", "replicasets": "ReplicaSet", "controllerrevisions": "ControllerRevision"},
    "autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
    "gateway.networking.k8s.io/v1": {"gateways": "Gateway", "httproutes": "HTTPRoute"},
    "networking.gke.io/v1": {"healthcheckpolicies": "HealthCheckPolicy", "gcpbackendpolicies": "GCPBackendPolicy"},
}
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
REVISION = "deployment.kubernetes.io/revision"


def without_nulls(value: object) -> object:
    """Remove null values: kubectl writes `creationTimestamp: null`, and the server removes it."""
    if isinstance(value, dict):
        return {name: without_nulls(part) for name, part in value.items() if part is not None}
    return [without_nulls(part) for part in value] if isinstance(value, list) else value


class Kubernetes(Service):
    host = r".+\.gke\.goog"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.never_ready = False  # pods of a new template never pass their probes
        self.objects: dict[str, dict] = {}  # by "deployments/quintet"
        self.revision = 0

    def knows(self, call: Call) -> bool:
        return bool(self.cloud.container.clusters)

    def answer(self, call: Call) -> Answer:
        words = call.path.strip("/").split("/")
        if words[0] == "openapi":
            return Answer(self.openapi(words))
        if words[0] == "version":
            return Answer({"major": "1", "minor": "32", "gitVersion": "v1.32.4-gke.1"})
        if call.path in ("/api", "/apis"):
            return Answer(self.discovery(call.path))
        version, rest = ("v1", words[2:]) if words[0] == "api" else ("/".join(words[1:3]), words[3:])
        if not rest:
            resources = [
                {
                    "name": plural,
                    "singularName": kind.lower(),
                    "namespaced": plural != "namespaces",
                    "kind": kind,
                    "verbs": VERBS,
                }
                for plural, kind in KINDS[version].items()
            ]
            return Answer(
                {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
            )
        if rest[0] == "namespaces" and len(rest) > 2:
            rest = rest[2:]
        return self.resource(call, version, *rest)

    def discovery(self, path: str) -> dict:
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        groups = []
        for version in KINDS:
            if "/" in version:
                known = {"groupVersion": version, "version": version.split("/")[1]}
                groups.append({"name": version.split("/")[0], "versions": [known], "preferredVersion": known})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def openapi(self, words: list[str]) -> dict:
        """The minimum with which kubectl finds that the server validates fields."""
        if words[1:] == ["v3"]:
            names = ["api/v1" if version == "v1" else f"apis/{version}" for version in KINDS]
            return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}?hash=1"} for name in names}}
        version = "/".join(words[3:]) if words[2] == "apis" else "v1"
        group, _, number = version.rpartition("/")
        paths = {}
        for plural, kind in KINDS[version].items():
            what = {"group": group, "version": number, "kind": kind}
            parameters = [{"name": name, "in": "query"} for name in ("fieldValidation", "dryRun")]
            paths[f"/{plural}"] = {
                "patch": {"x-kubernetes-group-version-kind": what, "parameters": parameters, "responses": {}}
            }
        return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.32"}, "paths": paths}

    def resource(self, call: Call, version: str, plural: str, name: str = "", *more: str) -> Answer:
        key = f"{plural}/{name}"
        if more == ("portforward",):
            return Answer(b"", 400)  # kubectl tries WebSocket first, and then SPDY, which tunnels.py supports
        if not name:
            return self.listed(call, version, plural)
        if plural == "pods":
            return Answer(self.pod())
        if call.method == "PATCH" and call.headers["content-type"] == "application/apply-patch+yaml":
            return Answer(self.apply(key, call.body))
        if key not in self.objects:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            return Answer(
                {**status, "message": f'{plural} "{name}" not found', "details": {"name": name, "kind": plural}}, 404
            )
        thing = self.objects[key]
        if call.method == "DELETE":
            self.delete(key)
            return Answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})
        if call.method == "PATCH":  # rollout undo: a JSON patch of the template
            changed = copy.deepcopy(thing)
            for step in call.body:
                where, last = changed, step["path"].strip("/").split("/")
                for part in last[:-1]:
                    where = where.setdefault(part.replace("~1", "/"), {})
                where[last[-1].replace("~1", "/")] = without_nulls(step.get("value"))
            return Answer(self.apply(key, changed))
        return Answer(thing)

    def pod(self) -> dict:
        """One of the ready pods."""
        template = self.serving()
        meta = {
            **template["metadata"],
            "name": self.objects["deployments/quintet"]["metadata"]["serves"] + "-abcde",
            "namespace": "quintet",
        }
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"], "status": status}

    def listed(self, call: Call, version: str, plural: str) -> Answer:
        wanted = call.query.get("fieldSelector", "").removeprefix("metadata.name=")
        if plural == "pods":
            return Answer({"kind": "PodList", "apiVersion": version, "metadata": {}, "items": [self.pod()]})
        items = [
            o for at, o in self.objects.items() if at.startswith(f"{plural}/") and wanted in ("", o["metadata"]["name"])
        ]
        if call.query.get("watch"):
            lines = [json.dumps({"type": "ADDED", "object": item}) for item in items]
            return Answer("\n".join(lines).encode() + b"\n")
        return Answer(
            {
                "kind": f"{KINDS[version][plural]}List",
                "apiVersion": version,
                "metadata": {"resourceVersion": "1"},
                "items": items,
            }
        )

    def apply(self, key: str, manifest: dict) -> dict:
        plural = key.split("/")[0]
        if plural != "namespaces" and f"namespaces/{manifest['metadata']['namespace']}" not in self.objects:
            raise Refusal(404, "NOT_FOUND", f"namespaces {manifest['metadata']['namespace']} not found")
        old = self.objects.get(key, {})
        thing = {**copy.deepcopy(manifest), "status": old.get("status", {})}
        number = old.get("metadata", {}).get("generation", 0) + (thing.get("spec") != old.get("spec"))
        thing["metadata"].update(
            generation=number, uid=key, resourceVersion=str(number), creationTimestamp="2026-11-21T12:00:00Z"
        )
        self.objects[key] = thing
        if plural == "deployments":
            self.roll_out(thing, old)
        if plural == "gateways":
            thing["status"] = {"conditions": [{"type": "Programmed", "status": "True", "observedGeneration": number}]}
        return thing

    def delete(self, key: str) -> None:
        """Delete an object; with a namespace, everything in it."""
        for gone in [at for at in self.objects if key.startswith("namespaces/") or at == key]:
            del self.objects[gone]

    def roll_out(self, deployment: dict, old: dict) -> None:
        """Scale the ReplicaSet of the template, a new one for a new template; it serves once it is ready."""
        template = deployment["spec"]["template"]
        name = deployment["metadata"]["name"]
        sets = [thing for at, thing in self.objects.items() if at.startswith("replicasets/")]
        if not old or template != old["spec"]["template"]:
            current = next((thing for thing in sets if thing["spec"]["template"] == template), None)
            self.revision += 1
            if current is None:
                meta = {
                    "name": f"{name}-{self.revision}",
                    "namespace": "quintet",
                    "labels": template["metadata"]["labels"],
                }
                owner = {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": name,
                    "uid": f"deployments/{name}",
                    "controller": True,
                }
                ready = not self.never_ready
                current = {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "metadata": {**meta, "uid": meta["name"], "ownerReferences": [owner]},
                }
                current |= {
                    "spec": {"template": copy.deepcopy(template), "replicas": 1},
                    "status": {"readyReplicas": int(ready)},
                }
                self.objects[f"replicasets/{meta['name']}"] = current
            current["metadata"]["annotations"] = {REVISION: str(self.revision)}
        else:
            current = max(sets, key=lambda thing: int(thing["metadata"]["annotations"][REVISION]))
        deployment["metadata"]["annotations"] = {REVISION: current["metadata"]["annotations"][REVISION]}
        ready = bool(current["status"]["readyReplicas"])
        if ready:
            deployment["metadata"]["serves"] = current["metadata"]["name"]
        else:
            deployment["metadata"]["serves"] = old.get("metadata", {}).get("serves", "")
        progress = {
            "type": "Progressing",
            "status": str(ready),
            "reason": "NewReplicaSetAvailable" if ready else "ProgressDeadlineExceeded",
        }
        deployment["status"] = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": 1 if ready else 2,
            "updatedReplicas": 1,
            "availableReplicas": 1,
            "conditions": [progress],
        }

    def serving(self) -> dict:
        """The pod template behind the Service."""
        deployment = self.objects["deployments/quintet"]
        return self.objects[f"replicasets/{deployment['metadata']['serves']}"]["spec"]["template"]

    def backend(self, address: str, secure: bool) -> tuple[str, dict] | None:
        """The pods behind an address' port, or a redirect."""
        gateway = self.objects.get("gateways/quintet")
        reserved = self.cloud.compute.named("addresses")
        if not gateway or reserved.get(gateway["spec"]["addresses"][0]["value"], {}).get("address") != address:
            return None
        name = "https" if secure else "http"
        if name not in [listener["name"] for listener in gateway["spec"]["listeners"]]:
            return None
        for route in [thing for at, thing in self.objects.items() if at.startswith("httproutes/")]:
            if route["spec"]["parentRefs"][0].get("sectionName", name) == name:
                rule = route["spec"]["rules"][0]
                return ("", {}) if "filters" in rule else ("pods", self.serving())
        return None
