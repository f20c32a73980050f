"""App Engine: the application, its services, versions and traffic."""

import copy

from .iam import claims_of
from .messages import agent_unknown, app_may_not_act_as, bucket_denied, external_address_forbidden, push_denied
from .service import Call, Refusal, Service, not_found, route

APP = "/v1/apps/{project}"
READERS = {f"roles/{role}" for role in ("editor", "storage.admin", "storage.objectAdmin", "storage.objectViewer")}
WRITERS = {f"roles/{role}" for role in ("editor", "artifactregistry.admin", "artifactregistry.writer")}
BUILDERS = {"roles/cloudbuild.builds.builder", "roles/run.builder"}  # read sources and write images


class AppEngine(Service):
    host = "appengine.googleapis.com"
    api = "appengine.googleapis.com"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.app: dict | None = None
        self.never_ready = False
        self.services: dict[str, dict] = {}
        self.versions: dict[tuple[str, str], dict] = {}
        self.operations: dict[str, dict] = {}

    def done(self, project: str, response: dict | None = None, error: dict | None = None, **metadata: object) -> dict:
        name = f"apps/{project}/operations/{len(self.operations):08d}"
        outcome = {"error": error} if error else {"response": response or {}}
        meta = {"@type": "type.googleapis.com/google.appengine.v1.OperationMetadataV1", **metadata}
        self.operations[name] = {"name": name, "done": True, "metadata": meta, **outcome}
        return self.operations[name]

    @route("GET", APP + "/operations/{operation}")
    def operation(self, call: Call, project: str, operation: str) -> dict:
        return self.operations[f"apps/{project}/operations/{operation}"]

    # -- the application

    @route("GET", APP)
    def get(self, call: Call, project: str) -> dict:
        if self.app is None:
            raise not_found(f'Could not find Application "{project}"')
        return self.app

    @route("POST", "/v1/apps")
    def create(self, call: Call) -> dict:
        project = call.body["id"]
        self.app = {
            "name": f"apps/{project}",
            "servingStatus": "SERVING",
            "codeBucket": f"staging.{project}.appspot.com",
            "defaultBucket": f"{project}.appspot.com",
            "defaultHostname": f"{project}.ew.r.appspot.com",
            "serviceAccount": f"{project}@appspot.gserviceaccount.com",
            "featureSettings": {"splitHealthChecks": True, "useContainerOptimizedOs": True},
            **call.body,
        }
        self.cloud.storage.buckets.setdefault(self.app["codeBucket"], {})
        return self.done(project, self.app)

    @route("PATCH", APP)
    def update(self, call: Call, project: str) -> dict:
        self.app.update(call.body)
        return self.done(project, self.app)

    # -- services and traffic

    @route("GET", APP + "/services")
    def list_services(self, call: Call, project: str) -> dict:
        return {"services": list(self.services.values())}

    @route("GET", APP + "/services/{service}")
    def service(self, call: Call, project: str, service: str) -> dict:
        if service not in self.services:
            raise not_found(f'Service "{service}"')
        return self.services[service]

    @route("PATCH", APP + "/services/{service}")
    def set_traffic(self, call: Call, project: str, service: str) -> dict:
        self.service(call, project, service).update(call.body)
        return self.done(project, self.services[service])

    @route("DELETE", APP + "/services/{service}")
    def delete_service(self, call: Call, project: str, service: str) -> dict:
        self.service(call, project, service)
        if service == "default":
            raise Refusal(400, "INVALID_ARGUMENT", "The default service (module) may not be deleted.")
        del self.services[service]
        self.versions = {key: version for key, version in self.versions.items() if key[0] != service}
        return self.done(project)

    # -- versions

    @route("GET", APP + "/services/{service}/versions")
    def list_versions(self, call: Call, project: str, service: str) -> dict:
        self.service(call, project, service)
        return {"versions": [version for key, version in self.versions.items() if key[0] == service]}

    @route("GET", APP + "/services/{service}/versions/{version}")
    def version(self, call: Call, project: str, service: str, version: str) -> dict:
        if (service, version) not in self.versions:
            raise not_found(f'Version "{service}/{version}"')
        return self.versions[service, version]

    @route("POST", APP + "/services/{service}/versions")
    def deploy(self, call: Call, project: str, service: str) -> dict:
        if "default" not in self.services and service != "default":
            message = (
                "The first service (module) you upload to a new application must be the 'default' service (module)."
            )
            raise Refusal(400, "INVALID_ARGUMENT", message)
        account = call.body.get("serviceAccount") or self.app["serviceAccount"]
        if not self.cloud.iam.is_effective(account):
            raise app_may_not_act_as(account)
        self.cloud.cloudbuild.check_region(self.region())
        if self.cloud.propagation.is_pending("agent", self.api):
            raise agent_unknown()
        if self.never_ready:
            return self.done(
                project,
                error={
                    "code": 9,
                    "message": "An internal error occurred while creating the version: the app did not become ready.",
                },
            )
        if problem := self.problem(project, service, call.body):
            build = f"Cloud build {len(self.operations):08d} status: FAILURE\nBuild error details: {problem}"
            return self.done(project, error={"code": 9, "message": build})
        version = copy.deepcopy(call.body)
        name = f"apps/{project}/services/{service}/versions/{version['id']}"
        address = f"{version['id']}-dot-{service}"
        version.update(
            name=name, servingStatus="SERVING", createTime="2026-11-21T12:00:00Z", createdBy="someone@example.com"
        )
        version["env"] = "flexible" if version.get("env") == "flex" else "standard"
        version["versionUrl"] = self.publish(service, address, lambda: self.port_of(version))
        self.versions[service, version["id"]] = version
        if service not in self.services:
            split = {"allocations": {version["id"]: 1}}
            self.services[service] = {"name": f"apps/{project}/services/{service}", "id": service, "split": split}
            self.publish(service, service, lambda: self.port_of(self.versions[service, self.serving(service)]))
        return self.done(project, version, createVersionMetadata={"cloudBuildId": "1"})

    def problem(self, project: str, service: str, version: dict) -> str:
        """Why the new version cannot be built or started under the conditions; empty if it can."""
        on = self.cloud.conditions
        flexible = version.get("env") == "flex"
        if (
            flexible
            and not on.external_addresses
            and version.get("network", {}).get("instanceIpMode", "").lower() != "internal"
        ):
            return external_address_forbidden(f"aef-{service}-{version['id']}-0001")
        if flexible or on.automatic_grants or set(version.get("handlers", [{}])[-1]) & {"staticFiles"}:
            return ""
        builder = self.app["serviceAccount"]
        for email in (builder, version.get("serviceAccount") or builder):
            if not self.cloud.resourcemanager.roles(email) & (READERS | BUILDERS):
                return bucket_denied(self.app["codeBucket"], email)
        if not self.cloud.resourcemanager.roles(builder) & (WRITERS | BUILDERS):
            return push_denied(project, builder)
        return ""

    @route("PATCH", APP + "/services/{service}/versions/{version}")
    def update_version(self, call: Call, project: str, service: str, version: str) -> dict:
        self.version(call, project, service, version).update(call.body)
        return self.done(project, self.versions[service, version])

    @route("DELETE", APP + "/services/{service}/versions/{version}")
    def delete_version(self, call: Call, project: str, service: str, version: str) -> dict:
        self.version(call, project, service, version)
        del self.versions[service, version]
        return self.done(project)

    def region(self) -> str:
        """The application's region; its two oldest locations have names of their own."""
        location = self.app["locationId"]
        return location if location[-1].isdigit() else f"{location}1"

    def serving(self, service: str) -> str:
        allocations = self.services[service]["split"]["allocations"]
        return max(allocations, key=allocations.get)

    def publish(self, service: str, address: str, port: object) -> str:
        return self.cloud.frontend.publish(address, lambda headers: self.may_call(service, headers), port)

    def may_call(self, service: str, headers: dict[str, str]) -> bool:
        """Whether a request is accepted: any without Identity-Aware Proxy, else those with a member's token."""
        if not (self.app.get("iap") or {}).get("enabled"):
            return True
        claims = claims_of(headers)
        return (
            bool(claims)
            and f"serviceAccount:{claims['iss']}" in self.cloud.iap.members(service)
            and claims["aud"].endswith("/*")
        )

    def files(self, version: dict) -> dict[str, bytes]:
        """The uploaded files of the version, by name."""
        found = {}
        for name, file in version["deployment"].get("files", {}).items():
            bucket, _, key = file["sourceUrl"].removeprefix("https://storage.googleapis.com/").partition("/")
            found[name] = self.cloud.storage.buckets[bucket][key]
        return found

    def port_of(self, version: dict) -> int | None:
        env = {name: str(value) for name, value in version.get("envVariables", {}).items()}
        container = version["deployment"].get("container")
        if container:
            files, command, settings = self.cloud.cloudbuild.program(container["image"].partition("@")[2])
            return self.cloud.workloads.start(files, command, {**settings, **env})
        return self.cloud.workloads.start(self.files(version), version["entrypoint"]["shell"], env)
