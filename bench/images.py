"""The test images: one photo of this repository at the sizes that web pages, laptops and phones send."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from bench import ROOT

PHOTO = ROOT / "model" / "imagenet" / "samples" / "cat.jpg"
BOUNDARY = "quintet-bench"
# name -> (width, height), JPEG quality, noise in grey levels. Quality and noise give the file sizes that are typical of
# such photos: 17 KB, 250 KB and 2.5 MB. An enlarged photo lacks the sensor noise that makes a real one that large.
SIZES = {
    "small": ((320, 240), 83, 3.0),
    "medium": ((1280, 960), 87, 4.3),
    "large": ((4032, 3024), 85, 6.0),
}


@contextmanager
def temporary_files() -> Iterator[dict[str, Path]]:
    """Yield {size: JPEG file} in a temporary folder, with the body of an upload next to each file as .body."""
    with TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.jpg" for name in SIZES}
        for name, file in files.items():
            size, quality, noise = SIZES[name]
            photo(size, noise).save(file, "JPEG", quality=quality)
            file.with_suffix(".body").write_bytes(upload(file.read_bytes(), file.name))
        yield files


def photo(size: tuple[int, int], noise: float) -> Image.Image:
    """The cat photo scaled and cropped to `size`, with Gaussian `noise`; the same pixels at every call."""
    with Image.open(PHOTO) as opened:
        image = opened.convert("RGB")
    width, height = size
    scale = min(image.width / width, image.height / height)
    left, top = (image.width - width * scale) / 2, (image.height - height * scale) / 2
    image = image.resize(size, Image.Resampling.BICUBIC, (left, top, image.width - left, image.height - top))
    # One value for the three channels: noise in brightness, not in colour.
    grain = np.random.default_rng(0).normal(0, noise, (height, width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def upload(image: bytes, filename: str, content_type: str = "image/jpeg") -> bytes:
    """The multipart/form-data body that a browser or `curl -F file=@...` sends."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    return head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()
