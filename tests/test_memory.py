"""Freed memory returns to the system. Processes of their own are measured, because glibc's settings stay."""

import subprocess
import sys

import pytest

from app import memory
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux: it reads /proc")

# What glibc does after a large block was freed: it takes the next ones from the heap, and a small block that is
# allocated later keeps them there.
_SCRIPT = """
import ctypes
from app import memory

glibc = ctypes.CDLL(None)
glibc.malloc.restype = ctypes.c_void_p
glibc.free.argtypes = glibc.memset.argtypes = None

def allocate(size):
    block = ctypes.c_void_p(glibc.malloc(ctypes.c_size_t(size)))
    glibc.memset(block, 1, ctypes.c_size_t(size))
    return block

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

{configure}
before = resident()
glibc.free(allocate(30 * 2**20))
large = allocate(20 * 2**20)
small = allocate(100_000)
glibc.free(large)
{release}
print(resident() - before)
"""


def kept(configure="", release=""):
    """The bytes that stay with the process after a block of 20 MiB was freed."""
    script = _SCRIPT.format(configure=configure, release=release)
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.fixture
def _glibc():
    if kept() < 15 * 2**20:
        pytest.skip("needs glibc: this C library returns memory without being told to")


@pytest.mark.usefixtures("_glibc")
def test_large_block_returns_to_the_system_when_it_is_freed():
    assert kept(configure="memory.configure()") < 5 * 2**20


@pytest.mark.usefixtures("_glibc")
def test_release_returns_memory_from_the_middle_of_the_heap():
    assert kept(release="memory.release()") < 5 * 2**20


_FAULTS = """
import ctypes
import resource
from app import memory

glibc = ctypes.CDLL(None)
glibc.malloc.restype = ctypes.c_void_p
memory.configure()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = ctypes.c_void_p(glibc.malloc(ctypes.c_size_t(4 * 2**20)))
    glibc.memset(block, 1, ctypes.c_size_t(4 * 2**20))
    glibc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.usefixtures("_glibc")
def test_block_of_the_size_of_a_photo_is_used_again_without_the_system():
    run = subprocess.run([sys.executable, "-c", _FAULTS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(run.stdout) < 100  # page faults; 1,024 if the memory comes from the system


_HEAPS = """
import ctypes
import threading
from app import memory

glibc = ctypes.CDLL(None)
{configure}
both = threading.Barrier(2)

def allocate():
    glibc.malloc(1000)
    both.wait()

threads = [threading.Thread(target=allocate) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
glibc.fdopen.restype = ctypes.c_void_p
glibc.malloc_info(0, ctypes.c_void_p(glibc.fdopen(1, b"w")))
glibc.fflush(None)
"""


def heaps(configure=""):
    """The number of heaps after two threads have allocated memory."""
    script = _HEAPS.format(configure=configure)
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout.count("<heap nr=")


@pytest.mark.usefixtures("_glibc")
def test_all_threads_share_one_heap():
    assert heaps() > 1
    assert heaps(configure="memory.configure()") == 1


def test_container_without_cgroups_has_no_limit(tmp_path):
    assert memory.limit(tmp_path) is None
