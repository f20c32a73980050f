"""A corpus of hostile images, generated from a fixed seed: damaged files of every format, and bombs."""

import io
import random
import struct
import zlib
from collections.abc import Iterator

from PIL import Image, PngImagePlugin

FORMATS = {
    "JPEG": [{}, {"progressive": True}],
    "PNG": [{}],
    "WEBP": [{}, {"lossless": True}],
    "GIF": [{}],
    "TIFF": [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, {"compression": "jpeg"}],
    "BMP": [{}],
}
_MODES = {"JPEG": "CMYK", "PNG": "LA", "WEBP": "RGBA", "GIF": "P", "TIFF": "CMYK", "BMP": "1"}


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def seeds() -> Iterator[tuple[str, bytes]]:
    """Valid files of every format and kind, which the other functions damage."""
    noise = Image.effect_noise((48, 40), 80)
    photo = Image.merge(
        "RGB", [noise, noise.transpose(Image.Transpose.ROTATE_180), Image.linear_gradient("L").resize((48, 40))]
    )
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    for form, kinds in FORMATS.items():
        for options in kinds:
            yield form, encode(photo, form, **options)
        yield form, encode(photo.convert(_MODES[form]), form)
        if form not in ("BMP", "GIF"):
            yield form, encode(photo, form, exif=exif)
        if form in ("GIF", "WEBP", "PNG", "TIFF"):
            yield form, encode(photo, form, save_all=True, append_images=[photo.transpose(Image.Transpose.ROTATE_180)])


def truncated() -> Iterator[bytes]:
    """Every valid file, cut at every 64th byte."""
    for _, data in seeds():
        yield from (data[:length] for length in range(0, len(data), 64))


def mutated(count: int) -> Iterator[bytes]:
    """Valid files with bits flipped, bytes overwritten, repeated or removed, and lengths set to extreme values."""
    generator = random.Random(20261121)
    valid = [data for _, data in seeds()]
    extremes = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\x7f"]
    for _ in range(count):
        data = bytearray(generator.choice(valid))
        for _ in range(generator.choice([1, 1, 2, 4, 16])):
            # Headers control what a parser does next, so half of the damage goes there.
            at = generator.randrange(min(len(data), 200) if generator.random() < 0.5 else len(data))
            kind = generator.randrange(5)
            if kind == 0:
                data[at] ^= 1 << generator.randrange(8)
            elif kind == 1:
                data[at : at + 4] = generator.choice(extremes)
            elif kind == 2:
                data[at : at + 8] = generator.randbytes(8)
            elif kind == 3:
                data[at:at] = data[at : at + generator.randrange(1, 64)]
            else:
                del data[at : at + generator.randrange(1, 16)]
            if not data:
                break
        yield bytes(data)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes, body: bytes = b"") -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *chunks, png_chunk(b"IDAT", body), png_chunk(b"IEND", b"")])


def bombs() -> Iterator[tuple[str, bytes]]:
    """Small files whose decoding needs much memory or time."""
    many_zeros = zlib.compress(b"\0" * 100_000_000, 9)
    yield "png-50000x50000", png(50_000, 50_000, body=many_zeros)
    yield "png-just-under-the-limit", png(4082, 4082, body=zlib.compress(b"\0" * (4082 * 3 + 1) * 4082, 9))
    yield "png-more-data-than-pixels", png(10, 10, body=many_zeros)
    yield "png-itxt-bomb", png(10, 10, png_chunk(b"iTXt", b"k\0\1\0\0\0" + many_zeros), body=zlib.compress(b"\0" * 310))
    yield "png-ztxt-bomb", png(10, 10, png_chunk(b"zTXt", b"k\0\0" + many_zeros), body=zlib.compress(b"\0" * 310))
    yield "png-iccp-bomb", png(10, 10, png_chunk(b"iCCP", b"k\0\0" + many_zeros), body=zlib.compress(b"\0" * 310))
    text = PngImagePlugin.PngInfo()
    for number in range(2000):
        text.add_text(f"key{number}", "x" * 1000, zip=True)
    yield "png-2000-texts", encode(Image.new("RGB", (10, 10)), "PNG", pnginfo=text)
    still = encode(Image.new("P", (200, 200)), "GIF")
    frame = still[still.index(b",") : -1]
    yield "gif-10000-frames", still[: still.index(b",")] + frame * 10_000 + b";"
    yield "gif-65535x65535", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + bytes(8) + b"\x01\0;"
    frame = struct.pack("<HHHHB", 60_000, 60_000, 5535, 5535, 0) + b"\x08\x01\0\0;"
    yield "gif-small-screen-large-frame", b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"," + frame
    yield "bmp-huge", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0)
    yield (
        "bmp-rle-huge",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 4000, 4000, 1, 8, 1, 0, 0, 0, 256, 0) + bytes(1100),
    )
    yield "tiff-loop", b"II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0\xff\xff\xff\x7f\x08\0\0\0\x08\0\0\0"
    yield "jpeg-65535x65535", _with_jpeg_size(65_535, 65_535)
    yield "jpeg-progressive-65535x65535", _with_jpeg_size(65_535, 65_535, progressive=True)
    yield "jpeg-progressive-many-scans", _many_scans()
    yield "jpeg-just-under-the-limit", encode(Image.new("RGB", (8660, 5773)), "JPEG")
    yield (
        "jpeg-within-a-jpeg",
        encode(Image.new("RGB", (9, 9)), "JPEG", exif=b"Exif\0\0" + encode(Image.new("L", (9, 9)), "JPEG")),
    )
    yield "webp-just-under-the-limit", encode(Image.new("RGB", (3535, 3535)), "WEBP", method=0)
    yield "webp-16383x16383", _with_webp_size(16_383, 16_383)


def _with_jpeg_size(width: int, height: int, **options: object) -> bytes:
    data = bytearray(encode(Image.new("RGB", (16, 16)), "JPEG", **options))
    frame = data.find(b"\xff\xc2" if options else b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _with_webp_size(width: int, height: int) -> bytes:
    data = bytearray(encode(Image.new("RGB", (16, 16)), "WEBP", lossless=True))
    start = data.index(b"VP8L") + 9  # 14 bits each, less one
    data[start : start + 4] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return bytes(data)


def _many_scans() -> bytes:
    """A progressive JPEG whose last scan is repeated 2,000 times: a decoder visits every coefficient each time."""
    data = encode(Image.new("RGB", (4080, 4080)), "JPEG", progressive=True, quality=1)
    last = data.rfind(b"\xff\xda")
    return data[:last] + data[last:-2] * 2000 + b"\xff\xd9"
