"""The image registry: the part of the OCI distribution protocol that `podman push` and `docker push` use.

A pushed image can be deployed: its program consists of the app's files in the pushed layers.
"""

import hashlib
import io
import json
import tarfile
import uuid

from .service import Answer, Call, Service, not_found, route


class Registry(Service):
    host = r"[a-z0-9-]+-docker\.pkg\.dev"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.blobs: dict[str, bytes] = {}  # by digest
        self.uploads: dict[str, bytes] = {}

    @route("GET", "/v2/")
    def login(self, call: Call) -> Answer:
        if "authorization" not in call.headers:
            return Answer({}, 401, {"WWW-Authenticate": f'Basic realm="{call.host}"'})
        return Answer({})

    @route("HEAD", "/v2/{name**}/blobs/sha256:{digest}")
    def has_blob(self, call: Call, name: str, digest: str) -> Answer:
        if f"sha256:{digest}" not in self.blobs:
            raise not_found(f"Blob {digest} of {name}")
        return Answer(self.blobs[f"sha256:{digest}"], headers={"Docker-Content-Digest": f"sha256:{digest}"})

    @route("POST", "/v2/{name**}/blobs/uploads/")
    def start_upload(self, call: Call, name: str) -> Answer:
        upload = uuid.uuid4().hex
        self.uploads[upload] = b""
        return Answer(b"", 202, {"Location": f"/v2/{name}/blobs/uploads/{upload}"})

    @route("PATCH", "/v2/{name**}/blobs/uploads/{upload}")
    def continue_upload(self, call: Call, name: str, upload: str) -> Answer:
        self.uploads[upload] += call.content
        last = max(0, len(self.uploads[upload]) - 1)
        return Answer(b"", 202, {"Location": call.path, "Range": f"0-{last}"})

    @route("PUT", "/v2/{name**}/blobs/uploads/{upload}")
    def finish_upload(self, call: Call, name: str, upload: str) -> Answer:
        content = self.uploads.pop(upload) + call.content
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        if digest != call.query["digest"]:
            return Answer({"errors": [{"code": "DIGEST_INVALID"}]}, 400)
        self.blobs[digest] = content
        return Answer(b"", 201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})

    @route("HEAD", "/v2/{name**}/manifests/{tag}")
    def has_manifest(self, call: Call, name: str, tag: str) -> Answer:
        raise not_found(f"Manifest {tag} of {name}")

    @route("PUT", "/v2/{name**}/manifests/{tag}")
    def tag(self, call: Call, name: str, tag: str) -> Answer:
        digest = self.cloud.artifactregistry.push(f"{call.host}/{name}:{tag}", call.content)
        self.blobs[digest] = call.content
        return Answer(b"", 201, {"Docker-Content-Digest": digest})

    def program(self, digest: str) -> tuple[dict[str, bytes], str, dict[str, str]]:
        """The app's files in a pushed image, the command it runs and its own settings."""
        manifest = json.loads(self.blobs[digest])
        config = json.loads(self.blobs[manifest["config"]["digest"]])["config"]
        files = {}
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(self.blobs[layer["digest"]])) as tar:
                members = [member for member in tar.getmembers() if member.isfile()]
                for member in members:
                    folder, _, name = member.name.removeprefix("./").partition("/")
                    if folder == "app":  # the image's WORKDIR
                        files[name] = tar.extractfile(member).read()
        settings = dict(setting.split("=", 1) for setting in config["Env"])
        return files, " ".join(config["Cmd"]), {"MODEL": settings["MODEL"]}
