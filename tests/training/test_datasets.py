"""Splits, the committed subset, and the sources of Fashion-MNIST."""

import gzip
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from training import TrainingError, datasets, fashion_mnist, folders


def test_the_subset_is_stratified_and_its_parts_are_disjoint():
    dataset = fashion_mnist.load(full=False, seed=1)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [9000, 1000, 2000]
    for part in (dataset.train, dataset.validation, dataset.test):
        assert set(np.bincount(part.classes)) == {len(part) // 10}
    seen = [
        {picture.tobytes() for picture in part.images} for part in (dataset.train, dataset.validation, dataset.test)
    ]
    assert len(seen[0] & seen[2]) <= 2, "Fashion-MNIST itself repeats a few pictures"


def test_another_seed_validates_with_other_pictures():
    one, other = (fashion_mnist.load(full=False, seed=seed) for seed in (1, 2))
    assert not np.array_equal(one.validation.images, other.validation.images)
    assert np.array_equal(one.test.images, other.test.images)


@pytest.mark.parametrize("count", [3, 4, 10, 101])
def test_every_part_gets_every_class(count):
    classes = np.repeat([0, 1], [count, 3])
    parts = datasets.stratified_parts(classes, (0.15, 0.15), seed=1)
    assert sorted(np.concatenate(parts)) == list(range(count + 3))
    for part in parts:
        assert set(classes[part]) == {0, 1}


def test_idx_files_are_read(tmp_path):
    pictures = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    header = bytes([0, 0, 8, 3]) + np.array(pictures.shape, ">u4").tobytes()
    (tmp_path / "pictures.gz").write_bytes(gzip.compress(header + pictures.tobytes()))
    assert np.array_equal(fashion_mnist.read_idx(tmp_path / "pictures.gz"), pictures)


@pytest.fixture
def debian(tmp_path, monkeypatch):
    """Twenty pictures in the files of Debian's package, ten to train on and ten to test."""
    for split in ("train", "t10k"):
        labels = np.arange(10, dtype=np.uint8).repeat(20)
        pictures = np.broadcast_to(labels[:, None, None], (200, 28, 28)).copy()
        for name, array in ((f"{split}-labels-idx1", labels), (f"{split}-images-idx3", pictures)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (tmp_path / f"{name}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path)


@pytest.mark.usefixtures("debian")
def test_the_full_set_comes_from_debians_files_where_they_are():
    dataset = fashion_mnist.load(full=True, seed=1)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [180, 20, 200]
    assert np.array_equal(dataset.train.images[:, 0, 0, 0], dataset.train.classes)
    assert dataset.train.rgb(0, 2).shape == (2, 28, 28, 3)


def test_the_full_set_offline_is_one_line_with_the_cure(tmp_path, monkeypatch):
    pytest.importorskip("keras")
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "missing")
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # a port that nobody listens at
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr("urllib.request._opener", None)  # urllib remembers the proxies of its first request
    with pytest.raises(TrainingError, match=r"cannot be downloaded .*install Debian's dataset-fashion-mnist") as error:
        fashion_mnist.load(full=True, seed=1)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("debian")
def test_without_debians_files_keras_downloads_the_full_set(tmp_path, monkeypatch):
    keras = pytest.importorskip("keras")
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

        def nearby(name, origin, **rest):  # only the address is ours: the downloader and its cache are Keras's own
            return real(name, origin=f"http://127.0.0.1:{server.server_port}/{origin.rpartition('/')[2]}", **rest)

        monkeypatch.setattr("keras.src.datasets.fashion_mnist.get_file", nearby)
        dataset = fashion_mnist.load(full=True, seed=1)
        server.shutdown()
    assert len(dataset.test) == 200
    assert len(list(home.rglob("*.gz"))) == 4


def test_strange_class_names_are_fine_and_impossible_ones_are_not():
    datasets.check_labels(("a b", "<script>", "ä|ö", "日本", "1"), "--data x")
    for label in (" led", "", "two\nlines", "\udcff"):
        with pytest.raises(TrainingError, match="rename it"):
            datasets.check_labels(("fine", label), "--data x")


def test_training_and_serving_decode_alike(photos):
    dataset = folders.load(photos, 16, "stretch", seed=1)
    from app import images

    data = (photos / dataset.files[0]).read_bytes()
    served = np.asarray(images.decode(data, 16, 16, "stretch").pixels)
    assert np.array_equal(dataset.test.images[0], served)
