"""Cloud Build: accepts the uploaded source, and reports that the image was built and pushed.

Nothing is built. The source is kept under the digest of the image, and a deployment of the image runs it.
"""

import re

from .messages import build_may_not_act_as, build_region_closed, source_unreadable
from .service import Call, Service, not_found, route
from .workloads import unpack

NOW = "2026-11-21T12:00:00Z"


class CloudBuild(Service):
    host = r"(.+-)?cloudbuild\.googleapis\.com"
    api = "cloudbuild.googleapis.com"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.fails = False
        self.builds: dict[str, dict] = {}
        self.triggers: dict[str, dict] = {}
        self.images: dict[str, tuple[str, str, dict, dict]] = {}  # digest -> bucket, object, substitutions, buildpack

    def build(self, project: str, region: str, request: dict) -> dict:
        self.check_region(region)
        self.check_account(project, request.get("serviceAccount", "").rpartition("/")[2])
        build_id = f"00000000-0000-0000-0000-{len(self.builds):012d}"
        status = "FAILURE" if self.fails else "SUCCESS"
        values = request.get("substitutions", {})
        results = []
        for image in request.get("images", []):
            name = re.sub(r"\$\{?(\w+)\}?", lambda found: values[found[1]], image)
            if not self.fails:
                source = request["source"]["storageSource"]
                content = self.cloud.storage.buckets[source["bucket"]][source["object"]]
                digest = self.cloud.artifactregistry.push(name, content + repr(sorted(values.items())).encode())
                self.images[digest] = (source["bucket"], source["object"], values, request.get("buildpack", {}))
                results.append({"name": name, "digest": digest})
        self.builds[build_id] = {
            **request,
            "id": build_id,
            "name": f"projects/{project}/locations/{region}/builds/{build_id}",
            "projectId": project,
            "status": status,
            "results": {"images": results},
            "createTime": NOW,
            "startTime": NOW,
            "finishTime": NOW,
            "logUrl": f"https://console.cloud.google.com/cloud-build/builds/{build_id}",
        }
        return self.builds[build_id]

    def check_region(self, region: str) -> None:
        if self.cloud.conditions.build_regions and region not in {"global", *self.cloud.conditions.build_regions}:
            raise build_region_closed()

    def check_account(self, project: str, email: str) -> None:
        """The build runs as this account: it has to be known, and to be able to read the source."""
        if not self.cloud.iam.is_effective(email):
            raise build_may_not_act_as(project, email)
        if self.cloud.propagation.is_pending("grant", email):
            raise source_unreadable(email)

    @route("POST", "/v1/projects/{project}/locations/{region}/builds")
    def create(self, call: Call, project: str, region: str) -> dict:
        build = self.build(project, region, call.body)
        return {
            "name": f"operations/build/{project}/{build['id']}",
            "metadata": {
                "@type": "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata",
                "build": build,
            },
        }

    @route("GET", "/v1/projects/{project}/locations/{region}/operations/{build}")
    def operation(self, call: Call, project: str, region: str, build: str) -> dict:
        result = self.builds[build]
        failed = {"error": {"code": 9, "message": "Build failed; check build logs for details"}}
        outcome = {"response": result} if result["status"] == "SUCCESS" else failed
        return {"name": call.path.removeprefix("/v1/"), "done": True, "metadata": {"build": result}, **outcome}

    @route("POST", "/v1/projects/{project}/builds")
    def create_global(self, call: Call, project: str) -> dict:
        return self.create(call, project, "global")

    @route("GET", "/v1/projects/{project}/locations/{region}/builds/{build}")
    def get(self, call: Call, project: str, region: str, build: str) -> dict:
        if build not in self.builds:
            raise not_found(f"Build {build}")
        return self.builds[build]

    @route("GET", "/v1/projects/{project}/triggers")
    @route("GET", "/v1/projects/{project}/locations/{region}/triggers")
    def list_triggers(self, call: Call, project: str, region: str = "global") -> dict:
        return {"triggers": list(self.triggers.values())}

    @route("POST", "/v1/projects/{project}/triggers")
    @route("POST", "/v1/projects/{project}/locations/{region}/triggers")
    def create_trigger(self, call: Call, project: str, region: str = "global") -> dict:
        trigger = {**call.body, "id": str(len(self.triggers)), "createTime": NOW}
        self.triggers[trigger["name"]] = trigger
        return trigger

    @route("GET", "/v1/projects/{project}/builds/{build}")
    def get_global(self, call: Call, project: str, build: str) -> dict:
        return self.get(call, project, "global", build)

    def program(self, digest: str) -> tuple[dict[str, bytes], str, dict[str, str]]:
        """The files in an image, the command it runs and its own settings."""
        bucket, key, values, buildpack = self.images[digest]
        files = unpack(self.cloud.storage.buckets[bucket][key])
        if buildpack:
            target = buildpack["functionTarget"]
            return files, f"functions-framework --source main.py --target {target} --host 127.0.0.1 --port $PORT", {}
        return files, "gunicorn", {"MODEL": values["_MODEL"]}
