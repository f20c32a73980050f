"""The base of the simulated services: routes, requests, responses and errors."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

READS = re.compile(
    r":(getIamPolicy|testIamPermissions|generateIdToken|generateAccessToken|signJwt|readMask)$"
    r"|^/token$|/listManagedInstances$"
)


@dataclass
class Call:
    """One request as gcloud sent it."""

    method: str
    host: str
    target: str
    headers: dict[str, str]
    content: bytes
    query: dict[str, str] = field(init=False)
    path: str = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.target)
        self.path = unquote(parts.path)
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}

    @property
    def body(self) -> Any:
        return json.loads(self.content) if self.content else {}

    @property
    def changes(self) -> bool:
        """Whether the request could change anything. Some reads are POST: getIamPolicy, and the creation of a token."""
        return self.method not in ("GET", "HEAD") and not READS.search(self.path)

    def __str__(self) -> str:
        return f"{self.method} {self.host}{self.path}"


@dataclass
class Answer:
    """A response; `content` is bytes, or a value that JSON can represent."""

    content: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """Google's own error format: https://cloud.google.com/apis/design/errors"""

    def __init__(self, status: int, reason: str, message: str, details: list | None = None) -> None:
        super().__init__(message)
        error = {"code": status, "message": message, "status": reason, "details": details or []}
        self.answer = Answer({"error": error}, status)


def not_found(what: str) -> Refusal:
    return Refusal(404, "NOT_FOUND", f"{what} was not found.")


def permission_denied(permission: str, on: str) -> Refusal:
    return Refusal(
        403, "PERMISSION_DENIED", f"Permission '{permission}' denied on resource '{on}' (or it may not exist)."
    )


def api_not_enabled(api: str, project: str) -> Refusal:
    """What Google answers when an API is off, with the details that gcloud reads (terraform-provider-google#10510)."""
    message = (
        f"{api} API has not been used in project {project} before or it is disabled. Enable it by visiting "
        f"https://console.developers.google.com/apis/api/{api}/overview?project={project} then retry. If you enabled "
        "this API recently, wait a few minutes for the action to propagate to our systems and retry."
    )
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
        "metadata": {"service": api, "consumer": f"projects/{project}"},
    }
    return Refusal(403, "PERMISSION_DENIED", message, [info])


def route(method: str, template: str) -> Callable:
    """Mark a method as the answer to `method template`; `{x}` is one path segment, `{x**}` any number of them."""
    pattern = re.escape(template).replace(r"\{", "{").replace(r"\}", "}").replace(r"\*\*", "**")
    pattern = re.sub(r"\{(\w+)\*\*\}", r"(?P<\1>.+)", pattern)
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", pattern)

    def mark(function: Callable) -> Callable:
        function.routes = [*getattr(function, "routes", []), (method, re.compile(pattern))]
        return function

    return mark


class Service:
    """Finds the method for a call. `host` is a regular expression for the whole host name."""

    host: str
    api: str | None = None  # its name in `gcloud services enable`; None if nothing has to be enabled

    def __init__(self, cloud: "Cloud") -> None:
        self.cloud = cloud
        marked = [f for f in vars(type(self)).values() if hasattr(f, "routes")]
        self.routes = [(*where, f.__name__) for f in marked for where in f.routes]

    def find(self, call: Call) -> tuple[str, dict[str, str]] | None:
        for method, pattern, name in self.routes:
            found = pattern.fullmatch(call.path)
            if found and method == call.method:
                return name, found.groupdict()
        return None

    def knows(self, call: Call) -> bool:
        return self.find(call) is not None

    def answer(self, call: Call) -> Answer:
        name, parts = self.find(call)
        result = getattr(self, name)(call, **parts)
        return result if isinstance(result, Answer) else Answer(result)
