import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from app import images

SIZE = (400, 300)


@pytest.fixture(scope="module")
def photo(cat):
    return Image.open(io.BytesIO(cat)).convert("RGB").resize(SIZE)


def decoded(data, width=64, height=48, resize="stretch", **limits):
    return np.asarray(images.decode(data, width, height, resize, **limits).pixels, np.float64)


def difference(left, right):
    """Mean absolute difference of two pictures, in grey levels of 255."""
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
def test_every_format_gives_the_same_picture(photo, encode, form, options, tolerance):
    assert difference(decoded(encode(photo, form, **options)), expected(photo)) < tolerance


def test_first_picture_of_a_phones_multi_picture_jpeg_is_read(photo, encode):
    other = ImageOps.invert(photo)
    data = encode(photo, "MPO", save_all=True, append_images=[other], quality=95)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert difference(decoded(data), expected(photo)) < 2


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation_is_read(photo, encode, form):
    lossless = {"lossless": True} if form == "WEBP" else {}
    data = encode(photo, form, save_all=True, append_images=[ImageOps.invert(photo)], **lossless)
    assert difference(decoded(data), expected(photo)) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_honoured(photo, encode, form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(photo, form, exif=exif, **({"quality": 95} if form in ("JPEG", "WEBP") else {}))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    picture = images.decode(data, 60, 50)
    assert picture.size == upright.size
    assert difference(picture.pixels, upright.resize((60, 50), Image.Resampling.BICUBIC)) < 2


def test_damaged_exif_does_not_refuse_the_picture(photo, encode):
    assert difference(decoded(encode(photo, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")), expected(photo)) < 4


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "I", "F"])
def test_every_colour_mode_becomes_rgb(photo, encode, mode):
    grey = photo.convert("L")
    source = {"I": grey, "F": grey, "1": grey}.get(mode, photo).convert(mode)
    form = {"CMYK": "TIFF", "YCbCr": "TIFF", "I": "TIFF", "F": "TIFF"}.get(mode, "PNG")
    found = decoded(encode(source, form))
    if mode == "P":
        reference = photo.convert("P").convert("RGB")
    elif mode in ("I", "F"):  # 32 bits a pixel: black and white are the picture's own darkest and lightest
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


def test_cmyk_jpeg_has_its_own_colours(encode):
    red = Image.new("RGB", (64, 48), (255, 0, 0)).convert("CMYK")
    assert difference(decoded(encode(red, "JPEG", quality=95)), Image.new("RGB", (64, 48), (255, 0, 0))) < 6


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(encode, mode):
    clear = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    picture = clear.quantize() if mode == "P" else clear.convert(mode)
    assert decoded(encode(picture, "PNG")).min() == 255


def test_half_transparent_edges_have_no_dark_rim(encode):
    picture = Image.new("RGBA", SIZE, (0, 0, 0, 0))  # invisible black
    picture.paste((255, 255, 255, 255), (100, 100, 300, 200))
    assert decoded(encode(picture, "PNG")).min() >= 254


def test_large_jpeg_is_decoded_at_reduced_scale_and_looks_the_same(photo, encode):
    large = photo.resize((3200, 2400), Image.Resampling.BICUBIC)
    data = encode(large, "JPEG", quality=95)
    assert difference(decoded(data), large.resize((64, 48), Image.Resampling.BICUBIC)) < 1


def test_centre_crop_is_the_middle_of_the_picture(encode):
    picture = Image.new("RGB", (400, 200), "red")
    picture.paste("blue", (100, 0, 300, 200))  # the middle square
    found = decoded(encode(picture, "PNG"), 50, 50, "center-crop:0.9")
    assert difference(found, Image.new("RGB", (50, 50), "blue")) < 0.01


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 3)])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("resize", ["stretch", "center-crop:0.875"])
def test_tiny_and_narrow_pictures_are_decoded(encode, size, form, resize):
    data = encode(Image.new("RGB", size, "white"), form)
    assert decoded(data, resize=resize).min() > 250


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_truncated_picture_is_undecodable(photo, encode, form, share):
    data = encode(photo, form)
    with pytest.raises(images.CorruptImageError, match="cannot be"):
        images.decode(data[: int(len(data) * share)], 64, 48)


@pytest.mark.parametrize("data", [b"\xff\xd8", b"\x89PNG\r\n", b"GIF89a", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP"])
def test_bare_signature_is_undecodable(data):
    with pytest.raises(images.CorruptImageError):
        images.decode(data, 64, 48)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"<html>", "not a picture"),
        (b"%PDF-1.7", "not a picture"),
        (b"RIFF\0\0\0\0AVI LIST", "not a picture"),
        (b"\0\0\0\x18ftypheic", "HEIC is not supported"),
        (b"\0\0\0\x18ftypavif", "AVIF is not supported"),
        (b"P6 1 1 255 abc", "not a picture"),
        (b"\0\0\1\0", "not a picture"),
    ],
)
def test_anything_outside_the_allow_list_is_unsupported(data, message):
    with pytest.raises(images.UnsupportedImageError, match=message):
        images.decode(data, 64, 48)


def png_header(width, height):
    """A PNG whose header promises `width` x `height` pixels, with next to nothing behind it."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100))


def test_bomb_is_refused_by_its_header():
    with pytest.raises(
        images.ImageTooLargeError, match=r"50000 x 50000 pixels \(2500.0 megapixels\)"
    ):
        images.decode(png_header(50_000, 50_000), 64, 48)


@pytest.mark.parametrize(
    ("form", "options", "allowed"),
    [
        ("JPEG", {}, True),  # 120,000 pixels of 120,000
        ("JPEG", {"progressive": True}, False),
        ("PNG", {}, False),
    ],
)
def test_formats_that_cannot_be_scaled_get_a_third_of_the_pixels(photo, encode, form, options, allowed):
    data = encode(photo, form, **options)
    if allowed:
        decoded(data, max_pixels=120_000)
    else:
        with pytest.raises(images.ImageTooLargeError, match=r"limit of 0\.0 megapixels"):
            decoded(data, max_pixels=120_000)
        decoded(data, max_pixels=360_000)


def test_preview_is_upright_and_keeps_the_aspect_ratio(photo, encode):
    exif = Image.Exif()
    exif[0x0112] = 6
    preview = images.preview(encode(photo, "JPEG", exif=exif), 200)
    assert preview.size == (150, 200)
    assert difference(preview, photo.transpose(Image.Transpose.ROTATE_270).resize((150, 200))) < 4


def test_preview_never_enlarges(encode):
    assert images.preview(encode(Image.new("RGB", (30, 20)), "PNG"), 640).size == (30, 20)
