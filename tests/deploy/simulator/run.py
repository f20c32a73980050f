"""Cloud Run: services, revisions, traffic and tags; and its source deployments (functions), which build first."""

import copy

from .iam import claims_of
from .messages import image_unreadable, may_not_act_as
from .service import Call, Refusal, Service, not_found, route

NAMESPACE = "/apis/serving.knative.dev/v1/namespaces/{project}"
NOW = "2026-11-21T12:00:00.000000Z"
INGRESS = "run.googleapis.com/ingress"
MEMORY = {1: (128, 4096), 2: (128, 8192), 4: (2048, 16384), 8: (4096, 32768)}  # MiB, least and most for CPUs


def mebibytes(quantity: str) -> int:
    """`quantity` is Kubernetes': 512Mi or 2Gi."""
    return int(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]


def check_resources(limits: dict) -> None:
    """Refuse pairs of CPU and memory as Cloud Run does (quoted in the notes of several public repositories)."""
    cpus, memory = int(limits.get("cpu", "1")), limits.get("memory", "512Mi")
    least, most = MEMORY[cpus]
    if not least <= mebibytes(memory) <= most:
        least, most = (f"{size // 1024}Gi" if size >= 1024 else f"{size}Mi" for size in (least, most))
        message = (
            "spec.template.spec.containers[0].resources.limits.memory: Invalid value specified for container memory. "
            f"For {cpus:.1f} CPU, memory must be between {least} and {most} inclusive."
        )
        raise Refusal(400, "INVALID_ARGUMENT", message)


def condition(kind: str, ok: bool, message: str = "") -> dict:
    status = "True" if ok else "False"
    reason = {} if ok else {"reason": "HealthCheckContainerError", "message": message}
    return {"type": kind, "status": status, "lastTransitionTime": NOW, **reason}


class Run(Service):
    host = r"(.+-)?run\.googleapis\.com"
    api = "run.googleapis.com"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.never_ready = False  # new revisions fail their startup probe
        self.services: dict[str, dict] = {}
        self.revisions: dict[str, dict] = {}
        self.policies: dict[str, dict] = {}

    # -- services

    @route("GET", NAMESPACE + "/services/{name}")
    def get(self, call: Call, project: str, name: str) -> dict:
        if name not in self.services:
            raise not_found(f"Resource '{name}' of kind 'SERVICE' in region of project '{project}'")
        return self.services[name]

    @route("GET", NAMESPACE + "/services")
    def list_all(self, call: Call, project: str) -> dict:
        return {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "ServiceList",
            "metadata": {},
            "items": [*self.services.values()],
        }

    @route("POST", NAMESPACE + "/services")
    def create(self, call: Call, project: str) -> dict:
        name = call.body["metadata"]["name"]
        return self.apply(name, call.body, 1, call.query.get("dryRun"))

    @route("PUT", NAMESPACE + "/services/{name}")
    def replace(self, call: Call, project: str, name: str) -> dict:
        generation = self.get(call, project, name)["metadata"]["generation"] + 1
        return self.apply(name, call.body, generation, call.query.get("dryRun"))

    @route("DELETE", NAMESPACE + "/services/{name}")
    def delete(self, call: Call, project: str, name: str) -> dict:
        self.get(call, project, name)
        del self.services[name]
        self.policies.pop(name, None)
        self.revisions = {
            k: r for k, r in self.revisions.items() if r["metadata"]["labels"]["serving.knative.dev/service"] != name
        }
        return {"apiVersion": "v1", "kind": "Status", "status": "Success"}

    def apply(self, name: str, requested: dict, generation: int, dry_run: str | None) -> dict:
        """Create the revision of a new spec, and route to it once it is ready."""
        old = self.services.get(name)
        service = copy.deepcopy(requested)
        template = service["spec"]["template"]
        service["metadata"].setdefault("annotations", {}).setdefault(INGRESS, "all")
        check_resources(template["spec"]["containers"][0].get("resources", {}).get("limits", {}))
        if dry_run:
            return {**service, "status": {}}
        revision = template.get("metadata", {}).get("name")
        if old is None or template != old["spec"]["template"]:
            revision = revision or f"{name}-{len(self.revisions) + 1:05d}-abc"
            account = template["spec"].get("serviceAccountName", "")
            if not self.cloud.iam.is_effective(account):
                raise may_not_act_as(account)
            self.create_revision(name, revision, template)
        else:
            revision = old["status"]["latestCreatedRevisionName"]
        ready = self.revisions[revision]["ready"]
        last = revision if ready else (old or {}).get("status", {}).get("latestReadyRevisionName")
        targets = [
            dict(target) for target in service["spec"].get("traffic") or [{"latestRevision": True, "percent": 100}]
        ]
        self.check_traffic(targets)
        for target in targets:
            if target.get("latestRevision"):
                target["revisionName"] = last
        routed = all(t.get("revisionName") and self.revisions[t["revisionName"]]["ready"] for t in targets)
        unnamed = [{"latestRevision": True, "percent": 100}] if self.cloud.conditions.unnamed_traffic else []
        before = (old or {}).get("status", {}).get("traffic", unnamed)
        service["metadata"].update(
            {"generation": generation, "creationTimestamp": NOW, "uid": "1", "resourceVersion": f"v{generation}"}
        )
        message = self.revisions[revision]["status"]["conditions"][0].get("message", "")
        service["status"] = {
            "observedGeneration": generation,
            "url": self.publish(name, name, lambda: self.port_of(self.serving(name))),
            "latestCreatedRevisionName": revision,
            "latestReadyRevisionName": last,
            "traffic": self.addresses(name, targets) if routed else before,
            "conditions": [
                condition("Ready", ready, message),
                condition("ConfigurationsReady", ready, message),
                condition("RoutesReady", ready, message),
            ],
        }
        self.services[name] = service
        return service

    def check_traffic(self, targets: list[dict]) -> None:
        if sum(target.get("percent", 0) for target in targets) != 100:
            raise Refusal(400, "INVALID_ARGUMENT", "spec.traffic: Traffic targets must sum to 100.")
        for target in targets:
            if not target.get("latestRevision") and target.get("revisionName") not in self.revisions:
                raise Refusal(
                    400, "INVALID_ARGUMENT", f"spec.traffic: Revision '{target.get('revisionName')}' not found."
                )

    def addresses(self, name: str, targets: list[dict]) -> list[dict]:
        for target in targets:
            if "tag" in target:
                revision = target["revisionName"]
                url = self.publish(f"{target['tag']}---{name}", name, lambda revision=revision: self.port_of(revision))
                target["url"] = url
        return targets

    def publish(self, address: str, service: str, port: object) -> str:
        return self.cloud.frontend.publish(
            address,
            lambda headers: self.may_call(service, headers),
            port,
            hidden=lambda: self.ingress(service) != "all",
        )

    def ingress(self, service: str) -> str:
        return self.services[service]["metadata"]["annotations"][INGRESS]

    def serving(self, name: str) -> str:
        """The revision that has the traffic."""
        traffic = self.services[name]["status"]["traffic"]
        return next(target["revisionName"] for target in traffic if target.get("percent"))

    # -- revisions

    def create_revision(self, service: str, name: str, template: dict) -> None:
        if name in self.revisions:
            raise Refusal(
                409, "ALREADY_EXISTS", f"Revision named '{name}' with different configuration already exists."
            )
        meta = template.get("metadata", {})
        labels = {**meta.get("labels", {}), "serving.knative.dev/service": service}
        ready = not self.never_ready
        message = "The user-provided container failed to start and listen on the port defined by PORT=8080."
        if self.cloud.propagation.is_pending("agent", self.api):
            ready, message = False, image_unreadable(name, template["spec"]["containers"][0]["image"])
        self.revisions[name] = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Revision",
            "metadata": {**meta, "name": name, "labels": labels, "creationTimestamp": NOW, "generation": 1},
            "spec": template["spec"],
            "status": {"conditions": [condition("Ready", ready, message)], "observedGeneration": 1},
            "ready": ready,
        }

    def port_of(self, revision: str) -> int | None:
        """Start what the revision deployed, if it is not running yet."""
        spec = self.revisions[revision]["spec"]["containers"][0]
        env = {item["name"]: item["value"] for item in spec.get("env", [])}
        digest = spec["image"].partition("@")[2]
        builder = self.cloud.cloudbuild if digest in self.cloud.cloudbuild.images else self.cloud.registry
        files, command, settings = builder.program(digest)
        return self.cloud.workloads.start(files, command, {**settings, **env})

    @route("GET", NAMESPACE + "/revisions/{name}")
    def revision(self, call: Call, project: str, name: str) -> dict:
        if name not in self.revisions:
            raise not_found(f"Resource '{name}' of kind 'REVISION'")
        return {k: v for k, v in self.revisions[name].items() if k != "ready"}

    @route("GET", NAMESPACE + "/revisions")
    def list_revisions(self, call: Call, project: str) -> dict:
        wanted = [
            part.partition("=") for part in call.query.get("labelSelector", "").replace(" ", "").split(",") if part
        ]
        items = [
            {k: v for k, v in revision.items() if k != "ready"}
            for revision in self.revisions.values()
            if all(revision["metadata"]["labels"].get(label) == value for label, _, value in wanted)
        ]
        return {"apiVersion": "serving.knative.dev/v1", "kind": "RevisionList", "metadata": {}, "items": items}

    # -- access

    def may_call(self, service: str, headers: dict[str, str]) -> bool:
        """Everybody if the check is off or allUsers may invoke; otherwise callers with a token for this service."""
        annotations = self.services[service]["metadata"].get("annotations", {})
        unchecked = annotations.get("run.googleapis.com/invoker-iam-disabled", "").lower() == "true"  # gcloud: "True"
        if unchecked or "allUsers" in self.invokers(service):
            return True
        claims = claims_of(headers)
        own = {self.services[service]["status"]["url"], "32555940559.apps.googleusercontent.com"}
        return bool(claims.get("email")) and claims.get("aud") in own

    def invokers(self, service: str) -> set[str]:
        bindings = self.policies.get(service, {}).get("bindings", [])
        return {
            member for binding in bindings if binding["role"] == "roles/run.invoker" for member in binding["members"]
        }

    @route("POST", "/v1/projects/{project}/locations/{region}/services/{name}:testIamPermissions")
    def test_permissions(self, call: Call, project: str, region: str, name: str) -> dict:
        """The caller owns the project. gcloud sends this before the service exists."""
        return call.body

    @route("GET", "/v1/projects/{project}/locations/{region}/services/{name}:getIamPolicy")
    def get_policy(self, call: Call, project: str, region: str, name: str) -> dict:
        self.get(call, project, name)
        return self.policies.get(name, {"version": 1, "etag": "ACAB"})

    @route("POST", "/v1/projects/{project}/locations/{region}/services/{name}:setIamPolicy")
    def set_policy(self, call: Call, project: str, region: str, name: str) -> dict:
        self.policies[name] = {"version": 1, "etag": "BwX=", **call.body["policy"]}
        return self.policies[name]


class RunBuilds(Service):
    """The v2 API's build of uploaded source by buildpacks: the image runs functions-framework."""

    host = r"(.+-)?run\.googleapis\.com"
    api = "run.googleapis.com"

    @route("POST", "/v2/projects/{project}/locations/{region}/builds:submit")
    def submit(self, call: Call, project: str, region: str) -> dict:
        request = call.body
        source = {
            "storageSource": {
                "bucket": request["storageSource"]["bucket"],
                "object": request["storageSource"]["object"],
            }
        }
        build = self.cloud.cloudbuild.build(
            project,
            region,
            {
                "source": source,
                "images": [request["imageUri"]],
                "buildpack": request["buildpackBuild"],
                "serviceAccount": request.get("serviceAccount", ""),
            },
        )
        operation = {
            "@type": "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata",
            "build": build,
        }
        return {
            "buildOperation": {"name": f"operations/build/{project}/{build['id']}", "metadata": operation},
            "baseImageUri": "",
        }
