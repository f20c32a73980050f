"""Artifact Registry: repositories, and the digests behind the tags of their images."""

import hashlib

from .messages import location_forbidden
from .service import Call, Service, not_found, route


class ArtifactRegistry(Service):
    host = "artifactregistry.googleapis.com"
    api = "artifactregistry.googleapis.com"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.repositories: dict[str, dict] = {}  # by "projects/P/locations/R/repositories/NAME"
        self.tags: dict[str, str] = {}  # "REPOSITORY/packages/IMAGE/tags/TAG" -> digest

    def push(self, image: str, content: bytes) -> str:
        """Record the push of `REGION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG`; return its digest."""
        name, _, tag = image.partition(":")
        registry, project, repository, package = name.split("/", 3)
        parent = f"projects/{project}/locations/{registry.removesuffix('-docker.pkg.dev')}/repositories/{repository}"
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.tags[f"{parent}/packages/{package}/tags/{tag or 'latest'}"] = digest
        return digest

    @route("GET", "/v1/projects/{project}/locations/{region}/repositories/{name}")
    def get(self, call: Call, project: str, region: str, name: str) -> dict:
        key = f"projects/{project}/locations/{region}/repositories/{name}"
        if key not in self.repositories:
            raise not_found(f"Requested entity {key}")
        return self.repositories[key]

    @route("POST", "/v1/projects/{project}/locations/{region}/repositories")
    def create(self, call: Call, project: str, region: str) -> dict:
        key = f"projects/{project}/locations/{region}/repositories/{call.query['repositoryId']}"
        if self.cloud.conditions.allowed_locations and region not in self.cloud.conditions.allowed_locations:
            raise location_forbidden(region)
        self.repositories[key] = {**call.body, "name": key}
        return self.operation(call, project, region, call.query["repositoryId"])

    @route("GET", "/v1/projects/{project}/locations/{region}/operations/{name}")
    def operation(self, call: Call, project: str, region: str, name: str) -> dict:
        """Always done; an operation has the name of the repository that it creates."""
        repository = self.repositories[f"projects/{project}/locations/{region}/repositories/{name}"]
        return {
            "name": f"projects/{project}/locations/{region}/operations/{name}",
            "done": True,
            "response": repository,
        }

    @route("GET", "/v1/projects/{project}/locations/{region}/repositories/{name}/packages/{image}/tags/{tag}")
    def tag(self, call: Call, project: str, region: str, name: str, image: str, tag: str) -> dict:
        self.get(call, project, region, name)
        package = f"projects/{project}/locations/{region}/repositories/{name}/packages/{image}"
        key = f"{package}/tags/{tag}"
        if key not in self.tags:
            raise not_found(f"Requested entity {key}")
        return {"name": key, "version": f"{package}/versions/{self.tags[key]}"}
