"""Decode image files to upright RGB pixels of the model's size.

Training and serving share `decode`, so that both give the model the same pixels.
"""

import io
import re
import warnings
from typing import NamedTuple, cast

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from app import image_formats

MAX_PIXELS = 50_000_000
MAX_SCANS = 100  # of a progressive JPEG: encoders write about ten, and each scan visits every pixel again

_SCAN = re.compile(b"\xff\xda")  # start-of-scan marker; the regular expression takes half the time of bytes.count
_ORIENTATION = 0x0112  # EXIF tag; values 1-8; 5-8 exchange width and height
_TRANSPOSE_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

warnings.filterwarnings("ignore", module="PIL")  # about unusual metadata; the operator cannot act on them
Image.MAX_IMAGE_PIXELS = None  # `_open` checks the limit after reading the header; Pillow's own check would only warn

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


class ImageError(Exception):
    """The bytes cannot be classified. The message is one line for the client."""


class UnsupportedImageError(ImageError):
    """Not an image, or an image of a format that the app does not accept."""


class ImageTooLargeError(ImageError):
    """The image has more pixels than the limit."""


class CorruptImageError(ImageError):
    """The file has the signature of an accepted format, but cannot be decoded."""


class DecodedImage(NamedTuple):
    """`pixels`: RGB, of the model's size. `size`: (width, height) of the original image, upright."""

    pixels: Image.Image
    size: tuple[int, int]


def decode(data: bytes, width: int, height: int, resize: str = "stretch", max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decode `data` to upright RGB pixels of `width` x `height`.

    `resize` is "stretch", or "center-crop:F" (0 < F <= 1): the largest centred box with the aspect ratio of the
    target, times F.

    Raises UnsupportedImageError, ImageTooLargeError or CorruptImageError.
    """
    image, orientation = _open(data, max_pixels)
    if orientation >= 5:  # crop and resize in the file's own orientation; only the small result is rotated
        width, height = height, width
    left, top, right, bottom = crop_box(image.size, width, height, resize)
    # Twice the target size, measured on the crop: the top label is then that of full decoding.
    min_size = (image.width * 2 * width / (right - left), image.height * 2 * height / (bottom - top))
    original_size = _load(image, min_size)
    pixels = _to_rgb(image, (width, height), crop_box(image.size, width, height, resize))
    upright_size = original_size[::-1] if orientation >= 5 else original_size
    return DecodedImage(_make_upright(pixels, orientation), upright_size)


def preview(data: bytes, side: int, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode `data` to an upright RGB image whose longer side is at most `side` pixels. Raises as `decode` does."""
    image, orientation = _open(data, max_pixels)
    scale = min(1, side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    _load(image, size)
    return _make_upright(_to_rgb(image, size, (0, 0, *image.size)), orientation)


def crop_box(size: tuple[int, int], width: int, height: int, resize: str) -> Box:
    """The part of an image of `size` (width, height) that a model with an input of `width` x `height` sees."""
    if resize == "stretch":
        return 0, 0, *size
    scale = float(resize.removeprefix("center-crop:")) * min(size[0] / width, size[1] / height)
    left, top = (size[0] - width * scale) / 2, (size[1] - height * scale) / 2
    return left, top, size[0] - left, size[1] - top


def _open(data: bytes, max_pixels: int) -> tuple[ImageFile.ImageFile, int]:
    """Read the header and check the limits, without decoding. Returns the image and its EXIF orientation (1-8)."""
    if not data:
        raise UnsupportedImageError("the image is empty (0 bytes)")
    known = image_formats.recognize(data)
    if known is None:
        name = image_formats.unsupported_name(data)
        problem = f"{name} is not supported" if name else "this is not an image of a supported format"
        raise UnsupportedImageError(f"{problem}: send a {image_formats.NAMES}")
    try:
        image = known.plugin(io.BytesIO(data))
    except Exception as error:  # Pillow's parsers raise almost any exception for damaged files
        raise CorruptImageError(f"this {known.name} cannot be read: {_reason(error)}") from error
    _check_size(image, known, max_pixels)
    # The marker cannot occur in compressed data, only (rarely) in metadata, so the count is never too low.
    if known is image_formats.JPEG and (scans := len(_SCAN.findall(data))) > MAX_SCANS:
        raise CorruptImageError(f"this JPEG has {scans} scans; at most {MAX_SCANS} are allowed: save it again as JPEG")
    if known is image_formats.TIFF:  # Pillow rotates TIFFs while it loads them
        return image, 1
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # an image with a damaged EXIF block can still be classified
        orientation = 1
    return image, orientation if orientation in _TRANSPOSE_TO_UPRIGHT else 1


def _check_size(image: ImageFile.ImageFile, known: image_formats.ImageFormat, max_pixels: int) -> None:
    name, divisor = known.name, known.max_pixels_divisor
    if known is image_formats.JPEG and image.info.get("progressive"):
        name, divisor = "progressive JPEG", 3  # Pillow keeps all its coefficients in memory while it decodes
    pixels, limit = image.width * image.height, max_pixels // divisor
    if pixels > limit:
        raise ImageTooLargeError(
            f"a {name} of {image.width} x {image.height} pixels ({pixels / 1e6:.1f} megapixels) is over the limit "
            f"of {limit / 1e6:.1f} megapixels: send a smaller one"
        )


def _load(image: ImageFile.ImageFile, min_size: tuple[float, float]) -> tuple[int, int]:
    """Decode the pixels; a JPEG at the smallest scale that is at least `min_size`. Returns the original size."""
    size = image.size
    try:
        if isinstance(image, JpegImageFile):
            image.draft(None, (max(1, round(min_size[0])), max(1, round(min_size[1]))))
            image.load()
            return size
        image.load()
        return image.size  # Pillow may have rotated a TIFF
    except Exception as error:
        raise CorruptImageError(f"this {image.format} cannot be decoded: {_reason(error)}") from error


def _to_rgb(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """Resize the box to `size` with antialiasing (bicubic), blend transparency with white, and convert to RGB."""
    try:
        if is_16_bit := image.mode.startswith("I;16"):
            image = image.convert("I")
        elif "transparency" in image.info or image.mode == "PA":
            image = image.convert("RGBA")
        elif image.mode == "P":
            image = image.convert("RGB")
        elif image.mode == "1":
            image = image.convert("L")
        image = image.resize(size, Image.Resampling.BICUBIC, box)
        if is_16_bit:
            image = image.point(lambda value: value * (1 / 256) + 0).convert("L")
        elif image.mode in ("I", "F"):
            image = _stretch_contrast(image)
        if image.mode in ("LA", "RGBA"):
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image if image.mode == "RGB" else image.convert("RGB")
    except ValueError as error:  # colour modes that Pillow cannot convert, such as LAB
        raise CorruptImageError(f"the colour mode {image.mode} is not supported: send an RGB image") from error


def _stretch_contrast(image: Image.Image) -> Image.Image:
    """Map the darkest and the lightest value of a 32-bit image to 0 and 255: 32 bits have no agreed value for white."""
    low, high = cast("tuple[float, float]", image.getextrema())
    scale = 255 / (high - low) if high > low else 1
    return image.point(lambda value: value * scale - low * scale).convert("L")


def _make_upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TRANSPOSE_TO_UPRIGHT[orientation]) if orientation in _TRANSPOSE_TO_UPRIGHT else image


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
