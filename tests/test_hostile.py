"""Damaged and hostile images: each is decoded or refused with the right error, in little time and memory."""

import itertools
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import image_formats, images
from tests import hostile
from tests.conftest import ROOT

SECONDS = 2
MEGABYTES = 300


def outcome(data):
    """The type of the error that decoding `data` raises, or None if it is decoded."""
    try:
        image = images.decode(data, 96, 96)
    except images.ImageError as error:
        message = str(error)
        assert "\n" not in message
        return type(error)
    assert image.pixels.size == (96, 96)
    assert image.pixels.mode == "RGB"
    return None


def test_thousands_of_damaged_images_are_decoded_or_refused_in_time():
    outcomes = set()
    for data in itertools.chain(hostile.truncated(), hostile.mutated(5000)):
        started = time.perf_counter()
        outcomes.add(outcome(data))
        assert time.perf_counter() - started < SECONDS, data[:64]
    # The corpus causes every outcome.
    assert outcomes == {None, images.UnsupportedImageError, images.ImageTooLargeError, images.CorruptImageError}


@given(form=st.sampled_from(sorted({data[:12] for _, data in hostile.seeds()})), rest=st.binary(max_size=300))
def test_any_bytes_after_a_signature_are_decoded_or_refused(form, rest):
    outcome(form + rest)


@pytest.fixture(scope="module")
def bombs():
    return dict(hostile.bombs())


EXPECTED = {
    "bmp-huge": "ImageTooLargeError",
    "bmp-rle-huge": "CorruptImageError",
    "gif-10000-frames": "ok",
    "gif-65535x65535": "ImageTooLargeError",
    "gif-small-screen-large-frame": "ImageTooLargeError",
    "jpeg-65535x65535": "ImageTooLargeError",
    "jpeg-just-under-the-limit": "ok",
    "jpeg-progressive-65535x65535": "ImageTooLargeError",
    "jpeg-progressive-many-scans": "CorruptImageError",
    "jpeg-within-a-jpeg": "ok",
    "png-2000-texts": "ok",
    "png-50000x50000": "ImageTooLargeError",
    "png-iccp-bomb": "CorruptImageError",
    "png-itxt-bomb": "CorruptImageError",
    "png-just-under-the-limit": "ok",
    "png-more-data-than-pixels": "ok",
    "png-ztxt-bomb": "CorruptImageError",
    "tiff-loop": "CorruptImageError",
    "webp-16383x16383": "ImageTooLargeError",
    "webp-just-under-the-limit": "ok",
}

# Each bomb is decoded in its own process, so that the peak memory of the process is that of the bomb.
DECODE = """
import re, sys, time
from app import images
data = sys.stdin.buffer.read()
started = time.perf_counter()
try:
    images.decode(data, 224, 224, "center-crop:0.875")
    name = "ok"
except images.ImageError as error:
    name = type(error).__name__
seconds = time.perf_counter() - started
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())  # ru_maxrss would count the parent's memory
print(name, seconds, int(peak[1]) // 1024)
"""


@pytest.mark.parametrize("name", EXPECTED)
def test_bomb_takes_little_time_and_memory(bombs, name):
    run = subprocess.run([sys.executable, "-c", DECODE], cwd=ROOT, input=bombs[name], capture_output=True, check=True)
    found, seconds, megabytes = run.stdout.split()
    assert found.decode() == EXPECTED[name]
    assert float(seconds) < SECONDS
    assert int(megabytes) < MEGABYTES


def test_corpus_has_every_format():
    assert {form.upper() for form in hostile.FORMATS} == {known.name.upper() for known in image_formats.FORMATS}


def test_every_bomb_of_the_corpus_is_tested(bombs):
    assert bombs.keys() == EXPECTED.keys()
