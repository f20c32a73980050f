"""The image formats that the app accepts. Code that names a format reads this table; docs are tested against it.

Pillow's plugin classes are called directly, after a check of the signature, so that its other parsers are unreachable.
"""

from typing import NamedTuple

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile


class ImageFormat(NamedTuple):
    """`signatures`: the first bytes of a file. `max_pixels_divisor`: the format's limit is MAX_PIXELS / this number."""

    name: str
    media_type: str
    plugin: type[ImageFile]
    signatures: tuple[bytes, ...]
    max_pixels_divisor: int = 3  # only JPEG can be decoded at a reduced scale; others need about three times the memory


# JPEG includes MPO: the first image of a phone's multi-frame JPEG is a JPEG.
JPEG = ImageFormat("JPEG", "image/jpeg", JpegImageFile, (b"\xff\xd8",), 1)
PNG = ImageFormat("PNG", "image/png", PngImageFile, (b"\x89PNG",))
# WebP's decoder holds the image three times.
WEBP = ImageFormat("WebP", "image/webp", WebPImageFile, (b"RIFF",), 4)
GIF = ImageFormat("GIF", "image/gif", GifImageFile, (b"GIF8",))
# The last two are BigTIFF.
TIFF = ImageFormat("TIFF", "image/tiff", TiffImageFile, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))
BMP = ImageFormat("BMP", "image/bmp", BmpImageFile, (b"BM",))

FORMATS = (JPEG, PNG, WEBP, GIF, TIFF, BMP)
NAMES = ", ".join(known.name for known in FORMATS[:-1]) + " or " + FORMATS[-1].name
MEDIA_TYPES = ",".join(known.media_type for known in FORMATS)  # for the accept attribute of <input type="file">

_BY_SIGNATURE = {signature: known for known in FORMATS for signature in known.signatures}
_UNSUPPORTED_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIF", b"avif": "AVIF"}


def recognize(data: bytes) -> ImageFormat | None:
    """The format of the file that begins with `data`, or None if the app does not accept it."""
    for signature, known in _BY_SIGNATURE.items():
        if data.startswith(signature) and (known is not WEBP or data[8:12] == b"WEBP"):
            return known
    return None


def unsupported_name(data: bytes) -> str | None:
    """The name of a common format that the app does not accept, such as an iPhone's HEIC; None for anything else."""
    return _UNSUPPORTED_BRANDS.get(data[8:12]) if data[4:8] == b"ftyp" else None
