"""Images for the attack tests: a phone's photo, and legal images that take long to decode."""

import io
import struct
import zlib
from functools import cache

from PIL import Image

from tests.conftest import IMAGENET

PHOTO_BYTES = 4_000_000


@cache
def photo() -> bytes:
    """A JPEG of 4032 x 3024 pixels and 4 MB, as a phone takes it."""
    with Image.open(IMAGENET / "samples" / "cat.jpg") as sample:
        image = sample.convert("RGB").resize((4032, 3024))
    image = Image.blend(image, Image.effect_noise(image.size, 40).convert("RGB"), 0.3)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()[:PHOTO_BYTES].ljust(PHOTO_BYTES, b"\0")


@cache
def small() -> bytes:
    """A JPEG of 320 x 240 pixels."""
    with Image.open(IMAGENET / "samples" / "cat.jpg") as sample:
        file = io.BytesIO()
        sample.convert("RGB").resize((320, 240)).save(file, "JPEG")
    return file.getvalue()


@cache
def slow() -> bytes:
    """A PNG just under the pixel limit: about 30 KB that take a third of a second and more to decode."""
    width = height = 4082
    rows = zlib.compress(b"\4" + b"\1" * (width * 3) + (b"\4" + b"\1" * (width * 3)) * (height - 1), 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
