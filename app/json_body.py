"""Parse a JSON body in the form of TensorFlow Serving and Vertex AI: {"instances": [{"b64": "..."}]}."""

import base64
import codecs
import json

from app.problems import Problem

_BYTE_ORDER_MARK = codecs.BOM_UTF8.decode("latin-1")
_HOW_TO_SEND = 'send {"instances": [{"b64": "..."}]}'


def parse(body: bytes, max_images: int) -> list[bytes | Problem]:
    """The content of each instance, in the order sent, or the problem of an instance that has none.

    Raises Problem 400 for any other JSON, and Problem 413 for far more values than `max_images` instances can have.
    """
    _check_number_of_values(body, max_images)
    try:
        # Keys and base64 are ASCII. Decoded as Latin-1, each character takes one byte, even if others are not ASCII.
        text = body.decode("latin-1").removeprefix(_BYTE_ORDER_MARK)
        instances = json.loads(text)["instances"]
    except (ValueError, RecursionError):
        raise Problem(400, f"the body is not valid JSON: {_HOW_TO_SEND}") from None
    except (KeyError, TypeError, IndexError):
        instances = None
    if not isinstance(instances, list) or not instances:
        raise Problem(400, f"the JSON has no list of instances: {_HOW_TO_SEND}")
    return [_content(instance) for instance in instances]


def _check_number_of_values(body: bytes, max_images: int) -> None:
    """Count before parsing, because Python needs up to 120 bytes of memory for a byte of JSON: 2.3 GB for 19 MB.

    Every key and every value except the outermost follows one of the counted characters, so the number of objects is
    at most theirs. Base64 contains none of them.
    """
    limit = 1000 + 16 * max_images
    if sum(map(body.count, (b",", b":", b"[", b"{"))) > limit:
        raise Problem(413, f"the JSON has more than {limit} values: send at most {max_images} images")


def _content(instance: object) -> bytes | Problem:
    if isinstance(instance, dict):
        instance = instance.get("image_bytes", instance)
    text = instance.get("b64") if isinstance(instance, dict) else None
    if not isinstance(text, str):
        return Problem(400, 'invalid instance: expected {"b64": "..."} or {"image_bytes": {"b64": "..."}}')
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return Problem(400, "invalid base64 in b64: encode without line breaks (base64 -w0 cat.jpg)")
