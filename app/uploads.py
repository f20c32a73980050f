"""Read the images of a request, in each of the three forms: multipart/form-data, a raw image, or JSON."""

import re
from typing import NamedTuple

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from app import form_body, json_body
from app.config import Config
from app.problems import Problem

FIELD = "file"
_HOW_TO_SEND = (
    f"send images as multipart/form-data in the field {FIELD!r} (curl -F {FIELD}=@cat.jpg), as a raw image/* body, "
    'or as JSON {"instances": [{"b64": "..."}]}'
)


class Upload(NamedTuple):
    """One image as it was sent: its bytes, or the problem if they could not be read."""

    filename: str | None
    content: bytes | Problem


def read(request: Request, config: Config) -> list[Upload]:
    """The images of `request`, in the order sent; at least one, at most `config.max_images`.

    Raises Problem, or RequestEntityTooLarge if the body is over `config.max_upload_bytes`.
    """
    content_type = request.mimetype  # without parameters; the proxy `request` is slow, so each value is read once
    if content_type == "multipart/form-data":
        boundary = request.mimetype_params.get("boundary", "")
        uploads = _from_form(form_body.parse(_body(request, config), boundary, config.max_images))
    elif content_type.startswith("image/"):
        uploads = [Upload(None, _body(request, config))]
    elif content_type == "application/json":
        uploads = [Upload(None, content) for content in json_body.parse(_body(request, config), config.max_images)]
    elif not content_type and not request.content_length:
        raise Problem(400, f"no image in the request: {_HOW_TO_SEND}")
    elif not content_type:
        raise Problem(415, f"the request has no content type: {_HOW_TO_SEND}")
    else:
        raise Problem(415, f"the content type {content_type[:100]!r} is not supported: {_HOW_TO_SEND}")
    if len(uploads) > config.max_images:
        raise Problem(413, f"{len(uploads)} images in one request; at most {config.max_images} are allowed: send fewer")
    return uploads


def _body(request: Request, config: Config) -> bytes:
    """The whole body. Raises RequestEntityTooLarge if it is over the limit."""
    length, max_length = request.content_length, config.max_upload_bytes
    if length is not None:
        if length > max_length:
            raise RequestEntityTooLarge
        return request.environ["wsgi.input"].read(length)  # werkzeug would copy the body three times
    request.max_content_length = max_length + 1  # werkzeug cuts a chunked body at this length, without an error
    body = request.get_data(cache=False)
    if len(body) > max_length:
        raise RequestEntityTooLarge
    return body


def _from_form(parts: list[form_body.Part]) -> list[Upload]:
    files = [Upload(_base_name(part.filename), part.content) for part in parts if part.name == FIELD]
    # A browser sends one empty file without a name if the visitor has not chosen a file.
    files = [upload for upload in files if upload.filename or upload.content]
    if not files:
        others = sorted({part.name[:40] for part in parts} - {FIELD})
        found = f" (found {', '.join(map(repr, others[:5]))})" if others else ""
        raise Problem(400, f"no image in the field {FIELD!r}{found}: choose one, or use curl -F {FIELD}=@cat.jpg")
    return files


def _base_name(filename: str | None) -> str | None:
    """A client's file name without its folders, at most 255 characters. It is only shown to the client again."""
    return re.split(r"[/\\]", filename or "")[-1][:255] or None
