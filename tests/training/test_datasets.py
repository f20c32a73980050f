"""Splits, the committed subset, and the sources of Fashion-MNIST. Two tests need TensorFlow, for Keras's downloader."""

import gzip
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from app import images
from tests.requirements import requires
from training import TrainingError, datasets, fashion_mnist, image_folder


def test_subset_is_stratified_and_its_splits_are_disjoint():
    dataset = fashion_mnist.load(full=False, seed=1)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [9000, 1000, 2000]
    for part in (dataset.train, dataset.validation, dataset.test):
        assert set(np.bincount(part.classes)) == {len(part) // 10}
    seen = [{image.tobytes() for image in part.images} for part in (dataset.train, dataset.validation, dataset.test)]
    assert [len(part) for part in seen] == [9000, 1000, 2000]
    assert len(set.union(*seen)) == 12000


def test_another_seed_chooses_other_validation_images():
    one, other = (fashion_mnist.load(full=False, seed=seed) for seed in (1, 2))
    assert not np.array_equal(one.validation.images, other.validation.images)
    assert np.array_equal(one.test.images, other.test.images)


@pytest.mark.parametrize("count", [3, 4, 10, 101])
def test_every_part_has_every_class(count):
    classes = np.repeat([0, 1], [count, 3])
    parts = datasets.stratified_parts(classes, (0.15, 0.15), seed=1)
    assert sorted(np.concatenate(parts)) == list(range(count + 3))
    for part in parts:
        assert set(classes[part]) == {0, 1}


def test_gzipped_idx_file_is_read(tmp_path):
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    header = bytes([0, 0, 8, 3]) + np.array(images.shape, ">u4").tobytes()
    (tmp_path / "images.gz").write_bytes(gzip.compress(header + images.tobytes()))
    assert np.array_equal(fashion_mnist.read_idx(tmp_path / "images.gz"), images)


@pytest.fixture
def debian(tmp_path, monkeypatch):
    """200 training and 200 test images, 20 of each class, in the files of Debian's package."""
    for split in ("train", "t10k"):
        labels = np.arange(10, dtype=np.uint8).repeat(20)
        images = np.broadcast_to(labels[:, None, None], (200, 28, 28)).copy()
        for name, array in ((f"{split}-labels-idx1", labels), (f"{split}-images-idx3", images)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (tmp_path / f"{name}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path)


@pytest.mark.usefixtures("debian")
def test_full_set_is_read_from_debians_package_if_installed():
    dataset = fashion_mnist.load(full=True, seed=1)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [180, 20, 200]
    assert np.array_equal(dataset.train.images[:, 0, 0, 0], dataset.train.classes)
    assert dataset.train.rgb(0, 2).shape == (2, 28, 28, 3)


def test_full_set_without_network_is_an_error_with_the_fix(tmp_path, monkeypatch):
    requires("tensorflow")
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "missing")
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens on this port
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr("urllib.request._opener", None)  # urllib remembers the proxies of its first request
    with pytest.raises(
        TrainingError, match=r"cannot download the data set .*install Debian's package dataset"
    ) as error:
        fashion_mnist.load(full=True, seed=1)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("debian")
def test_full_set_is_downloaded_by_keras_without_debians_package(tmp_path, monkeypatch):
    requires("tensorflow")
    import keras

    home = tmp_path / "keras"
    home.mkdir()
    monkeypatch.setattr("urllib.request._opener", None)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(home))
    served = fashion_mnist.DEBIAN
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "missing")
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        real = keras.utils.get_file

        def get_file(name, origin, **rest):  # replaces only the address; the downloader and its cache are Keras's
            return real(name, origin=f"http://127.0.0.1:{server.server_port}/{origin.rpartition('/')[2]}", **rest)

        monkeypatch.setattr("keras.src.datasets.fashion_mnist.get_file", get_file)
        dataset = fashion_mnist.load(full=True, seed=1)
        server.shutdown()
    assert len(dataset.test) == 200
    assert len(list(home.rglob("*.gz"))) == 4


def test_class_names_must_be_one_line_of_text():
    datasets.check_labels(("a b", "<script>", "ä|ö", "日本", "1"), "--data x")
    for label in (" led", "", "two\nlines", "\udcff"):
        with pytest.raises(TrainingError, match="rename it"):
            datasets.check_labels(("fine", label), "--data x")


def test_training_and_serving_decode_images_alike(photos):
    dataset = image_folder.load(photos, 16, "stretch", seed=1)
    for file, pixels in zip(dataset.files, dataset.test.images, strict=True):
        served = images.decode((photos / file).read_bytes(), 16, 16, "stretch").pixels
        assert np.array_equal(pixels, np.asarray(served))
