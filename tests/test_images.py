import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin
from PIL.JpegImagePlugin import JpegImageFile

from app import image_formats, images

SIZE = (400, 300)


@pytest.fixture(scope="module")
def photo(cat):
    return Image.open(io.BytesIO(cat)).convert("RGB").resize(SIZE)


def decoded(data, width=64, height=48, resize="stretch", **limits):
    return np.asarray(images.decode(data, width, height, resize, **limits).pixels, np.float64)


def difference(left, right):
    """Mean absolute difference of two images, in grey levels of 255."""
    return np.abs(np.asarray(left, np.float64) - np.asarray(right, np.float64)).mean()


def expected(photo):
    return photo.resize((64, 48), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("form", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95}, 2),
        ("JPEG", {"quality": 95, "progressive": True}, 2),
        ("PNG", {}, 0.01),
        ("WEBP", {"quality": 95}, 3),
        ("WEBP", {"lossless": True}, 0.01),
        ("GIF", {}, 6),
        ("TIFF", {}, 0.01),
        ("TIFF", {"compression": "tiff_lzw"}, 0.01),
        ("BMP", {}, 0.01),
    ],
)
def test_every_format_is_decoded_to_the_same_pixels(photo, encode, form, options, tolerance):
    assert difference(decoded(encode(photo, form, **options)), expected(photo)) < tolerance


def test_first_image_of_a_multi_frame_jpeg_is_decoded(photo, encode):
    other = ImageOps.invert(photo)
    data = encode(photo, "MPO", save_all=True, append_images=[other], quality=95)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert difference(decoded(data), expected(photo)) < 2


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation_is_decoded(photo, encode, form):
    lossless = {"lossless": True} if form == "WEBP" else {}
    data = encode(photo, form, save_all=True, append_images=[ImageOps.invert(photo)], **lossless)
    assert difference(decoded(data), expected(photo)) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(photo, encode, form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(photo, form, exif=exif, **({"quality": 95} if form in ("JPEG", "WEBP") else {}))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    image = images.decode(data, 60, 50)
    assert image.size == upright.size
    assert difference(image.pixels, upright.resize((60, 50), Image.Resampling.BICUBIC)) < 2


def test_image_with_damaged_exif_is_decoded(photo, encode):
    assert difference(decoded(encode(photo, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")), expected(photo)) < 4


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "I", "F"])
def test_every_colour_mode_becomes_rgb(photo, encode, mode):
    grey = photo.convert("L")
    source = {"I": grey, "F": grey, "1": grey}.get(mode, photo).convert(mode)
    form = {"CMYK": "TIFF", "YCbCr": "TIFF", "I": "TIFF", "F": "TIFF"}.get(mode, "PNG")
    found = decoded(encode(source, form))
    if mode == "P":
        reference = photo.convert("P").convert("RGB")
    elif mode in ("I", "F"):  # 32 bits a pixel: black and white are the darkest and the lightest value
        reference = ImageOps.autocontrast(grey.resize((64, 48), Image.Resampling.BICUBIC)).convert("RGB")
    else:
        reference = source.convert("L" if mode in ("1", "L") else "RGB").convert("RGB")
    assert found.shape == (48, 64, 3)
    assert difference(found, reference.resize((64, 48), Image.Resampling.BICUBIC)) < 2


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bit_greys_keep_their_brightness(encode, form):
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16)
    data = encode(Image.fromarray(np.tile(ramp, (256, 1))), form)
    found = decoded(data, 256, 256)[128, :, 0]
    assert np.abs(found - np.arange(256)).max() <= 1


def test_cmyk_jpeg_keeps_its_colours(encode):
    red = Image.new("RGB", (64, 48), (255, 0, 0)).convert("CMYK")
    assert difference(decoded(encode(red, "JPEG", quality=95)), Image.new("RGB", (64, 48), (255, 0, 0))) < 6


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white(encode, mode):
    clear = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    image = clear.quantize() if mode == "P" else clear.convert(mode)
    assert decoded(encode(image, "PNG")).min() == 255


def test_edges_of_transparent_areas_are_not_darkened(encode):
    image = Image.new("RGBA", SIZE, (0, 0, 0, 0))  # transparent black
    image.paste((255, 255, 255, 255), (100, 100, 300, 200))
    assert decoded(encode(image, "PNG")).min() >= 254


def test_jpeg_decoded_at_reduced_scale_has_the_same_pixels(photo, encode):
    large = photo.resize((3200, 2400), Image.Resampling.BICUBIC)
    data = encode(large, "JPEG", quality=95)
    assert difference(decoded(data), large.resize((64, 48), Image.Resampling.BICUBIC)) < 1


def test_center_crop_is_the_middle_of_the_image(encode):
    image = Image.new("RGB", (400, 200), "red")
    image.paste("blue", (100, 0, 300, 200))  # the middle square
    found = decoded(encode(image, "PNG"), 50, 50, "center-crop:0.9")
    assert difference(found, Image.new("RGB", (50, 50), "blue")) < 0.01


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 3)])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("resize", ["stretch", "center-crop:0.875"])
def test_tiny_and_narrow_images_are_decoded(encode, size, form, resize):
    data = encode(Image.new("RGB", size, "white"), form)
    assert decoded(data, resize=resize).min() > 250


@pytest.mark.parametrize("form", [known.name for known in image_formats.FORMATS])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_truncated_image_is_corrupt(photo, encode, form, share):
    data = encode(photo, form)
    with pytest.raises(images.CorruptImageError, match="cannot be"):
        images.decode(data[: int(len(data) * share)], 64, 48)


@pytest.mark.parametrize("data", [b"\xff\xd8", b"\x89PNG\r\n", b"GIF89a", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP"])
def test_signature_without_content_is_corrupt(data):
    with pytest.raises(images.CorruptImageError):
        images.decode(data, 64, 48)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"the image is empty \(0 bytes\)"),
        (b"<html>", "not an image"),
        (b"%PDF-1.7", "not an image"),
        (b"RIFF\0\0\0\0AVI LIST", "not an image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC is not supported"),
        (b"\0\0\0\x18ftypavif", f"AVIF is not supported: send a {image_formats.NAMES}"),
        (b"\0\0\0\x18ftypmp42", "not an image"),
        (b"\0\0\0\x18fooheic", "not an image"),
        (b"P6 1 1 255 abc", "not an image"),
        (b"\0\0\1\0", "not an image"),
    ],
)
def test_other_formats_are_unsupported(data, message):
    with pytest.raises(images.UnsupportedImageError, match=message):
        images.decode(data, 64, 48)


def png_header(width, height):
    """A PNG whose header says `width` x `height` pixels, with almost no data."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100))


def test_image_over_the_pixel_limit_is_refused_by_its_header():
    with pytest.raises(images.ImageTooLargeError, match=r"50000 x 50000 pixels \(2500.0 megapixels\)"):
        images.decode(png_header(50_000, 50_000), 64, 48)


@pytest.mark.parametrize(
    ("form", "options", "divisor", "name"),
    [
        ("JPEG", {}, 1, "a JPEG"),
        ("JPEG", {"progressive": True}, 3, "a progressive JPEG"),
        ("PNG", {}, 3, "a PNG"),
        ("TIFF", {}, 3, "a TIFF"),
        ("WEBP", {}, 4, "a WebP"),
    ],
)
def test_pixel_limit_depends_on_the_format(encode, form, options, divisor, name):
    data = encode(Image.new("RGB", (400, 300)), form, **options)
    decoded(data, max_pixels=divisor * 120_000)  # exactly as many as allowed
    with pytest.raises(images.ImageTooLargeError, match=rf"^{name} of 400 x 300 pixels .* limit of 0\.1 megapixels"):
        decoded(data, max_pixels=divisor * 120_000 - 1)


def test_text_in_a_png_does_not_change_its_limit(encode):
    text = PngImagePlugin.PngInfo()
    text.add_text("progressive", "1")
    with pytest.raises(images.ImageTooLargeError, match=r"^a PNG of"):
        decoded(encode(Image.new("RGB", (400, 300)), "PNG", pnginfo=text), max_pixels=120_000)


@pytest.mark.parametrize(("scans", "allowed"), [(100, True), (101, False)])
def test_jpeg_may_have_100_scans(encode, scans, allowed):
    data = encode(Image.new("RGB", (64, 48)), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    data = data[:last] + data[last:-2] * (scans + 1 - data.count(b"\xff\xda")) + b"\xff\xd9"
    if allowed:
        decoded(data)
    else:
        with pytest.raises(images.CorruptImageError, match="101 scans; at most 100 are allowed"):
            decoded(data)


@pytest.mark.parametrize(
    ("width", "height", "resize", "scaled"),
    [
        (200, 150, "stretch", (400, 300)),
        (204, 150, "stretch", (800, 600)),
        (200, 153, "stretch", (800, 600)),
        (100, 100, "center-crop:0.5", (800, 600)),  # the crop has 600 pixels a side
        (75, 75, "center-crop:0.5", (400, 300)),
    ],
)
def test_jpeg_is_decoded_at_the_smallest_scale_of_at_least_twice_the_size(
    encode, monkeypatch, width, height, resize, scaled
):
    sizes = []
    load = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", lambda image: sizes.append(image.size) or load(image))
    decoded(encode(Image.new("RGB", (1600, 1200)), "JPEG"), width, height, resize)
    assert sizes[0] == scaled


def test_preview_is_decoded_at_reduced_scale(encode, monkeypatch):
    sizes = []
    load = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", lambda image: sizes.append(image.size) or load(image))
    images.preview(encode(Image.new("RGB", (1600, 1200)), "JPEG"), 400)
    assert sizes[0] == (400, 300)


def test_preview_is_upright_and_keeps_the_aspect_ratio(photo, encode):
    exif = Image.Exif()
    exif[0x0112] = 6
    preview = images.preview(encode(photo, "JPEG", exif=exif), 200)
    assert preview.size == (150, 200)
    assert difference(preview, photo.transpose(Image.Transpose.ROTATE_270).resize((150, 200))) < 4


def test_preview_never_enlarges(encode):
    assert images.preview(encode(Image.new("RGB", (30, 20)), "PNG"), 640).size == (30, 20)
