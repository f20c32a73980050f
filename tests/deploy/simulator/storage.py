"""Cloud Storage: buckets and objects, in the JSON API that gcloud uses."""

import hashlib
import json
import re

from .messages import NUMBER, location_forbidden
from .service import Answer, Call, Service, not_found, route


def multipart(call: Call) -> list[bytes]:
    """The parts of a multipart/related body, byte for byte; gcloud ends its lines with a bare newline."""
    mark = b"--" + re.search(r"boundary=['\"]?([^'\";]+)", call.headers["content-type"])[1].encode()
    parts = re.split(rb"\r?\n?" + re.escape(mark) + rb"(?:--)?\r?\n?", call.content)
    return [re.split(rb"\r?\n\r?\n", part, maxsplit=1)[1] for part in parts if part]


class Storage(Service):
    host = "storage.googleapis.com|storage.googleapis.com:443"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.buckets: dict[str, dict[str, bytes]] = {}
        self.locations: dict[str, str] = {}  # of the buckets that a client created; "US" without
        self.sessions: dict[str, tuple[str, str]] = {}

    def bucket(self, name: str) -> dict[str, bytes]:
        if name not in self.buckets:
            raise not_found(f"Bucket {name}")
        return self.buckets[name]

    def described(self, bucket: str, name: str) -> dict:
        content = self.buckets[bucket][name]
        return {
            "kind": "storage#object",
            "name": name,
            "bucket": bucket,
            "generation": "1",
            "size": str(len(content)),
            "md5Hash": "",
            "etag": hashlib.sha1(content).hexdigest(),
            "mediaLink": f"https://storage.googleapis.com/download/storage/v1/b/{bucket}/o/{name}?alt=media",
        }

    @route("GET", "/storage/v1/b")
    def list_buckets(self, call: Call) -> dict:
        return {"items": [{"id": name, "name": name} for name in self.buckets]}

    @route("POST", "/storage/v1/b")
    def create_bucket(self, call: Call) -> dict:
        location = call.body.get("location", "US")
        allowed = self.cloud.conditions.allowed_locations
        if allowed and location.lower() not in allowed:
            raise location_forbidden(location)
        self.buckets.setdefault(call.body["name"], {})
        self.locations[call.body["name"]] = location
        return {"kind": "storage#bucket", **call.body}

    @route("GET", "/storage/v1/b/{name}")
    def get_bucket(self, call: Call, name: str) -> dict:
        self.bucket(name)
        where = {"location": self.locations.get(name, "US"), "projectNumber": NUMBER}
        return {"kind": "storage#bucket", "name": name, **where}

    @route("GET", "/storage/v1/b/{name}/iam")
    def get_policy(self, call: Call, name: str) -> dict:
        return {"bindings": []}

    @route("GET", "/storage/v1/b/{name}/o")
    def list_all(self, call: Call, name: str) -> dict:
        found = [key for key in self.bucket(name) if key.startswith(call.query.get("prefix", ""))]
        return {"items": [self.described(name, key) for key in found]}

    @route("GET", "/storage/v1/b/{name}/o/{key**}")
    def get(self, call: Call, name: str, key: str) -> dict | Answer:
        if key not in self.bucket(name):
            raise not_found(f"Object {name}/{key}")
        if call.query.get("alt") == "media":
            return Answer(self.buckets[name][key], headers={"Content-Type": "application/octet-stream"})
        return self.described(name, key)

    @route("GET", "/download/storage/v1/b/{name}/o/{key**}")
    def download(self, call: Call, name: str, key: str) -> Answer:
        return self.get(call, name, key)

    @route("POST", "/upload/storage/v1/b/{name}/o")
    @route("POST", "/resumable/upload/storage/v1/b/{name}/o")
    def upload(self, call: Call, name: str) -> dict | Answer:
        if call.query.get("uploadType") == "resumable":
            key = call.query.get("name") or call.body["name"]
            session = f"s{len(self.sessions)}"
            self.sessions[session] = (name, key)
            target = f"https://storage.googleapis.com/resumable/{session}"
            return Answer(b"", headers={"Location": target})
        key, content = call.query.get("name"), call.content
        if call.query.get("uploadType") == "multipart":
            meta, content = multipart(call)
            key = key or json.loads(meta)["name"]
        self.bucket(name)[key] = content
        return self.described(name, key)

    @route("PUT", "/resumable/{session}")
    def resumable(self, call: Call, session: str) -> dict:
        name, key = self.sessions[session]
        self.bucket(name)[key] = call.content
        return self.described(name, key)
