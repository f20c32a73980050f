"""A request's pictures, in whichever of the three forms they were sent."""

import base64
import json
import re
from typing import NamedTuple

from flask import Request

from app import multipart
from app.config import Config
from app.problems import Problem

FIELD = "file"
_FORMS = (
    "send pictures as multipart/form-data in the field 'file' (curl -F file=@cat.jpg), as a raw image/* body, "
    'or as JSON {"instances": [{"b64": "..."}]}'
)


class Upload(NamedTuple):
    """One picture as it was sent: its bytes, or the problem that kept them from being read."""

    filename: str | None
    content: bytes | Problem


def read(request: Request, config: Config) -> list[Upload]:
    """The pictures of `request`, in the order sent, at least one. Raises Problem, or werkzeug's 413 of a large body."""
    mimetype = request.mimetype
    if mimetype == "multipart/form-data":
        uploads = _from_form(request, config)
    elif mimetype.startswith("image/"):
        uploads = [Upload(None, _body(request, config))]
    elif mimetype == "application/json":
        uploads = _from_json(_body(request, config))
    elif not request.content_length and not mimetype:
        raise Problem(400, f"no picture in the request: {_FORMS}")
    else:
        raise Problem(415, f"the content type {mimetype[:100] or 'of the body is missing and'!r} is not read: {_FORMS}")
    if len(uploads) > config.max_images:
        raise Problem(
            413, f"{len(uploads)} pictures in one request; at most {config.max_images} are allowed: send fewer"
        )
    return uploads


def _body(request: Request, config: Config) -> bytes:
    """The whole body, in one read where its length is known: werkzeug copies a phone photo three times more."""
    length = request.content_length
    if length is None or length > config.max_upload_bytes:
        return request.get_data(cache=False)  # in chunks, or werkzeug's 413
    return request.environ["wsgi.input"].read(length)


def _from_form(request: Request, config: Config) -> list[Upload]:
    try:
        parts = multipart.parse(_body(request, config), request.mimetype_params.get("boundary", ""))
    except multipart.MultipartError as error:
        raise Problem(400, f"{error}: send curl -F file=@cat.jpg") from error
    files = [Upload(_base_name(part.filename), part.content) for part in parts if part.name == FIELD]
    # A browser's form in which nothing was chosen sends one nameless, empty file.
    files = [upload for upload in files if upload.filename or upload.content]
    if not files:
        others = sorted({part.name[:40] for part in parts} - {FIELD})
        got = f" (got {', '.join(map(repr, others[:5]))})" if others else ""
        raise Problem(400, f"no picture in the field 'file'{got}: choose one, or send curl -F file=@cat.jpg")
    return files


def _from_json(body: bytes) -> list[Upload]:
    try:
        instances = json.loads(body)["instances"]
    except (ValueError, RecursionError):
        raise Problem(400, f"the body is not valid JSON: {_FORMS}") from None
    except (KeyError, TypeError, IndexError):
        instances = None
    if not isinstance(instances, list) or not instances:
        raise Problem(400, f"the JSON has no list of instances: {_FORMS}")
    return [Upload(None, _from_instance(instance)) for instance in instances]


def _from_instance(instance: object) -> bytes | Problem:
    if isinstance(instance, dict):
        instance = instance.get("image_bytes", instance)
    text = instance.get("b64") if isinstance(instance, dict) else None
    if not isinstance(text, str):
        return Problem(400, 'an instance is not of the form {"b64": "..."} or {"image_bytes": {"b64": "..."}}')
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return Problem(400, "b64 is not valid base64: encode without line breaks (base64 -w0 cat.jpg)")


def _base_name(filename: str | None) -> str | None:
    """What a client calls its file, without the folders, cut to a sane length; it is only ever shown back."""
    return re.split(r"[/\\]", filename or "")[-1][:255] or None
