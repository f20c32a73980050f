"""Bytes to upright RGB pixels of the model's size. Training and serving share `decode`, so they cannot drift apart."""

import io
import re
import warnings
from typing import NamedTuple

from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

MAX_PIXELS = 50_000_000
MAX_SCANS = 100  # of a progressive JPEG: encoders write about ten, and each one visits every pixel again
FORMATS = "JPEG, PNG, WebP, GIF, TIFF or BMP"

# The allow-list. A plugin is called by its class after a look at the signature, so Pillow's other parsers stay out.
_SIGNATURES: dict[bytes, tuple[str, type[ImageFile.ImageFile]]] = {
    b"\xff\xd8": ("JPEG", JpegImageFile),  # also MPO: the first picture of a phone's multi-frame JPEG is a JPEG
    b"\x89PNG": ("PNG", PngImageFile),
    b"GIF8": ("GIF", GifImageFile),
    b"RIFF": ("WebP", WebPImageFile),
    b"II*\0": ("TIFF", TiffImageFile),
    b"MM\0*": ("TIFF", TiffImageFile),
    b"II+\0": ("TIFF", TiffImageFile),  # BigTIFF
    b"MM\0+": ("TIFF", TiffImageFile),
    b"BM": ("BMP", BmpImageFile),
}
_APPLE_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIF", b"avif": "AVIF"}

_SCAN = re.compile(b"\xff\xda")  # the marker that begins one; finds them in half the time that bytes.count takes
_ORIENTATION = 0x0112  # EXIF tag; 1-8, of which 5-8 exchange width and height
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

warnings.filterwarnings("ignore", module="PIL")  # of odd metadata: nothing that the reader of a log could act on
Image.MAX_IMAGE_PIXELS = None  # our own limit is checked after the header; Pillow's would only warn


class ImageError(Exception):
    """The bytes cannot be classified; the message is one line for whoever sent them."""


class UnsupportedImageError(ImageError):
    """No picture, or a format outside the allow-list."""


class ImageTooLargeError(ImageError):
    """More pixels than the limit allows."""


class CorruptImageError(ImageError):
    """The signature of an allowed format, but damaged."""


class DecodedImage(NamedTuple):
    """`pixels`: RGB, of the model's size. `size`: upright (width, height) of the picture that was sent."""

    pixels: Image.Image
    size: tuple[int, int]


def decode(data: bytes, width: int, height: int, resize: str = "stretch", max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decode `data` to upright RGB pixels of `width` x `height`.

    `resize` is "stretch", or "center-crop:F" (0 < F <= 1): the largest centred box of the target's aspect, times F.
    Raises UnsupportedImageError, ImageTooLargeError or CorruptImageError.
    """
    image, orientation = _open(data, max_pixels)
    if orientation >= 5:  # work on the picture as it lies in the file, and turn only the small result
        width, height = height, width
    box = crop_box(image.size, width, height, resize)
    scaled = (image.width * 2 * width / (box[2] - box[0]), image.height * 2 * height / (box[3] - box[1]))
    size = _load(image, scaled)
    box = crop_box(image.size, width, height, resize)
    pixels = _turn(_rgb(image, (width, height), box), orientation)
    return DecodedImage(pixels, size[::-1] if orientation >= 5 else size)


def preview(data: bytes, side: int, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode `data` to an upright RGB picture whose longer side is at most `side` pixels. Raises as `decode` does."""
    image, orientation = _open(data, max_pixels)
    fraction = min(1, side / max(image.size))
    small = (max(1, round(image.width * fraction)), max(1, round(image.height * fraction)))
    _load(image, small)
    return _turn(_rgb(image, small, (0, 0, *image.size)), orientation)


def crop_box(size: tuple[int, int], width: int, height: int, resize: str) -> tuple[float, float, float, float]:
    """The part of a picture of `size` that the model sees, as (left, top, right, bottom) in pixels."""
    if resize == "stretch":
        return 0, 0, *size
    scale = float(resize.removeprefix("center-crop:")) * min(size[0] / width, size[1] / height)
    left, top = (size[0] - width * scale) / 2, (size[1] - height * scale) / 2
    return left, top, size[0] - left, size[1] - top


def _open(data: bytes, max_pixels: int) -> tuple[ImageFile.ImageFile, int]:
    """Read the header only. Returns the picture and its EXIF orientation."""
    name, plugin = _recognise(data)
    try:
        image = plugin(io.BytesIO(data))
    except Exception as error:  # hostile bytes raise nearly anything inside Pillow's parsers
        raise CorruptImageError(f"this {name} cannot be read: {_reason(error)}") from error
    # Only a JPEG that is not progressive can be decoded at reduced scale. Progressive ones are held whole as
    # coefficients, and WebP's decoder holds the picture three times.
    scalable = name == "JPEG" and not image.info.get("progressive")
    limit = max_pixels if scalable else max_pixels // (4 if name == "WebP" else 3)
    pixels = image.width * image.height
    if pixels > limit:
        kind = "progressive JPEG" if name == "JPEG" and not scalable else name
        raise ImageTooLargeError(
            f"a {kind} of {image.width} x {image.height} pixels ({pixels / 1e6:.1f} megapixels) is over the limit "
            f"of {limit / 1e6:.1f} megapixels: send a smaller one"
        )
    # The marker cannot occur in compressed data, only (rarely) in metadata: the count is never too low.
    if name == "JPEG" and (scans := len(_SCAN.findall(data))) > MAX_SCANS:
        raise CorruptImageError(f"this JPEG has {scans} scans, at most {MAX_SCANS} are read: save it again as JPEG")
    if name == "TIFF":  # Pillow turns TIFFs itself while loading
        return image, 1
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block is no reason to refuse the picture
        orientation = 1
    return image, orientation if orientation in _UPRIGHT else 1


def _recognise(data: bytes) -> tuple[str, type[ImageFile.ImageFile]]:
    if not data:
        raise UnsupportedImageError("the picture is empty (0 bytes)")
    for signature, known in _SIGNATURES.items():
        if data.startswith(signature) and (signature != b"RIFF" or data[8:12] == b"WEBP"):
            return known
    apple = _APPLE_BRANDS.get(data[8:12]) if data[4:8] == b"ftyp" else None
    what = f"{apple} is not supported" if apple else "this is not a picture of a supported format"
    raise UnsupportedImageError(f"{what}: send a {FORMATS}")


def _load(image: ImageFile.ImageFile, wanted: tuple[float, float]) -> tuple[int, int]:
    """Decode the pixels, a JPEG at the smallest scale that is still at least `wanted`. Returns the full size."""
    size = image.size
    try:
        if isinstance(image, JpegImageFile):
            image.draft(None, (max(1, round(wanted[0])), max(1, round(wanted[1]))))
            image.load()
            return size
        image.load()
        return image.size  # a TIFF may have been turned
    except Exception as error:
        raise CorruptImageError(f"this {image.format} cannot be decoded: {_reason(error)}") from error


def _rgb(image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> Image.Image:
    """Resize the box to `size` with antialiasing (bicubic), then lay alpha on white and make it RGB."""
    try:
        sixteen_bit = image.mode.startswith("I;16")
        if sixteen_bit:
            image = image.convert("I")
        elif "transparency" in image.info or image.mode == "PA":
            image = image.convert("RGBA")
        elif image.mode == "P":
            image = image.convert("RGB")
        elif image.mode == "1":
            image = image.convert("L")
        image = image.resize(size, Image.Resampling.BICUBIC, box)
        if sixteen_bit:
            image = image.point(lambda value: value * (1 / 256) + 0).convert("L")
        elif image.mode in ("I", "F"):  # 32 bits a pixel have no agreed white: stretch what is there
            low, high = image.getextrema()
            scale = 255 / (high - low) if high > low else 1
            image = image.point(lambda value: value * scale - low * scale).convert("L")
        if image.mode in ("LA", "RGBA"):
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image if image.mode == "RGB" else image.convert("RGB")
    except ValueError as error:  # colour modes that Pillow cannot convert, such as LAB
        raise CorruptImageError(f"the colour mode {image.mode} is not supported: send an RGB picture") from error


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
