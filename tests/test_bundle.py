import json
import os
import signal
import subprocess
import sys

import pytest
from flask import Flask

from app import bundle, create_app
from app.bundle import BundleError
from app.config import Config
from tests.conftest import ROOT


def serve(folder) -> Flask:
    return create_app(Config(model=str(folder)))


def test_copied_bundle_is_served(copied_bundle):
    assert serve(copied_bundle).test_client().get("/ready").status_code == 200


@pytest.mark.parametrize("name", ["model.tflite", "labels.txt", "samples/cat.jpg"])
def test_damaged_file_is_named(copied_bundle, name):
    path = copied_bundle / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} is damaged: its sha256 is \w{{8}}\.\.\., model.json says \w{{8}}"):
        serve(copied_bundle)


@pytest.mark.parametrize("name", ["model.tflite", "labels.txt", "samples/cat.jpg"])
def test_missing_file_is_named(copied_bundle, name):
    (copied_bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        serve(copied_bundle)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"no bundle at .*/nowhere: the folder does not exist"):
        serve(tmp_path / "nowhere")


def test_folder_without_card_is_not_a_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"has no model\.json"):
        serve(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": "many"}, "the field 'labels' is missing or not of type int"),
        ({"input": {"width": 224}}, "input.height is None, expected 1 to 4096"),
        ({"input": {"width": 0, "height": 224}}, "input.width is 0"),
        ({"resize": "squash"}, "resize is 'squash'"),
        ({"resize": "center-crop:0"}, "resize is 'center-crop:0'"),
        ({"files": {}}, "files has no digest of model.tflite"),
        ({"files": {"model.tflite": "", "labels.txt": "", "../x": ""}}, "no file with a digest"),
        ({"files": {"model.tflite": "", "labels.txt": "", "../x": ""}, "samples": []}, "'../x' is outside the bundle"),
        ({"files": {"model.tflite": "", "labels.txt": "", "/x": ""}, "samples": []}, "'/x' is outside the bundle"),
        ({"samples": [{"file": "samples/none.jpg"}]}, "no file with a digest"),
        ({"samples": [{"file": "samples/none.jpg", "label": None, "expected": {}}]}, "no file with a digest"),
        ({"samples": ["samples/cat.jpg"]}, "no file with a digest"),
        ({"samples": [{"file": "samples/cat.jpg", "label": None, "expected": {"label": "cat"}}]}, "no expected label"),
        (
            {"samples": [{"file": "samples/cat.jpg", "label": None, "expected": {"probability": 1}}]},
            "no expected label",
        ),
        ({"samples": [{"file": "samples/cat.jpg", "label": None, "expected": None}]}, "no expected label"),
        ({"input": {"width": 4097, "height": 224}}, "input.width is 4097"),
        ({"resize": "center-crop:1.1"}, "resize is 'center-crop:1.1'"),
        ({"name": None}, "the field 'name'"),
    ],
)
def test_invalid_card_is_refused(copied_bundle, edit_card, fields, message):
    edit_card(**fields)
    with pytest.raises(BundleError) as raised:
        serve(copied_bundle)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_card_that_is_not_json_is_refused(copied_bundle):
    (copied_bundle / "model.json").write_text("{", "utf-8")
    with pytest.raises(BundleError, match=r"model\.json is not valid JSON"):
        serve(copied_bundle)


def rewrite(folder, name, content):
    """Replace a file of the bundle, and its digest in the card."""
    (folder / name).write_bytes(content)
    card = json.loads((folder / "model.json").read_text("utf-8"))
    bundle.write_card(folder, card)


def test_more_labels_than_the_card_says_are_refused(copied_bundle):
    labels = (copied_bundle / "labels.txt").read_bytes()
    rewrite(copied_bundle, "labels.txt", labels + b"one more\n")
    with pytest.raises(BundleError, match=r"labels\.txt has 1001 labels, model\.json says 1000"):
        serve(copied_bundle)


def test_more_labels_than_the_model_has_outputs_are_refused(copied_bundle, edit_card):
    labels = (copied_bundle / "labels.txt").read_bytes()
    edit_card(labels=1001)
    rewrite(copied_bundle, "labels.txt", labels + b"one more\n")
    with pytest.raises(BundleError, match=r"has 1000 outputs, but .*labels\.txt has 1001 labels"):
        serve(copied_bundle)


def test_file_that_is_not_a_model_is_refused(copied_bundle):
    rewrite(copied_bundle, "model.tflite", b"not a flatbuffer")
    with pytest.raises(BundleError, match=r"model\.tflite cannot be run by LiteRT"):
        serve(copied_bundle)


def test_model_with_another_input_size_is_refused(copied_bundle, edit_card):
    edit_card(input={"width": 100, "height": 100})
    with pytest.raises(BundleError, match=r"takes \(1, 224, 224, 3\), the card says \(1, 100, 100, 3\)"):
        serve(copied_bundle)


def test_self_test_with_another_label_is_refused(copied_bundle, edit_card, imagenet):
    first = {**imagenet.samples[0], "expected": {"label": "toaster", "probability": 0.9}}
    edit_card(samples=[first])
    with pytest.raises(BundleError, match=r"failed its self-test: samples/.* the card expects toaster"):
        serve(copied_bundle)


@pytest.mark.parametrize(("difference", "passes"), [(-0.06, False), (-0.04, True), (0.04, True), (0.06, False)])
def test_self_test_allows_a_difference_of_5_percent(copied_bundle, edit_card, client, imagenet, difference, passes):
    content = (imagenet.path / imagenet.samples[0]["file"]).read_bytes()
    entry = client.post("/predict", data=content, content_type="image/jpeg").get_json()["predictions"][0]
    expected = {"label": entry["label"], "probability": entry["probability"] + difference}
    edit_card(samples=[{**imagenet.samples[0], "expected": expected}])
    if passes:
        serve(copied_bundle)
    else:
        with pytest.raises(BundleError, match="failed its self-test"):
            serve(copied_bundle)


def test_bundle_without_samples_is_served(copied_bundle, edit_card):
    edit_card(samples=[])
    assert serve(copied_bundle).test_client().get("/").status_code == 200


def test_written_bundle_replaces_the_whole_old_one(copied_bundle, imagenet):
    with bundle.writing(copied_bundle) as staged:
        for name in ("model.tflite", "labels.txt"):
            (staged / name).write_bytes((imagenet.path / name).read_bytes())
        bundle.write_card(staged, {**imagenet.card, "name": "new", "samples": []})
    assert bundle.read(copied_bundle).name == "new"
    assert [path.name for path in copied_bundle.parent.iterdir()] == ["imagenet"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_writing_leaves_the_old_bundle(copied_bundle, imagenet, error):
    with pytest.raises(error), bundle.writing(copied_bundle) as staged:
        (staged / "model.tflite").write_bytes(b"half")
        raise error
    assert bundle.read(copied_bundle) == bundle.Bundle(copied_bundle, imagenet.card, imagenet.labels)
    assert [path.name for path in copied_bundle.parent.iterdir()] == ["imagenet"]


def test_bundle_that_cannot_be_read_does_not_replace_the_old_one(copied_bundle, imagenet):
    with pytest.raises(BundleError, match=r"labels\.txt is missing"), bundle.writing(copied_bundle) as staged:
        (staged / "model.tflite").write_bytes(b"x")
        (staged / "labels.txt").write_bytes(b"x")
        bundle.write_card(staged, imagenet.card | {"samples": []})
        (staged / "labels.txt").unlink()
    assert bundle.read(copied_bundle).version == imagenet.version


def test_folder_with_other_files_is_not_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("not a bundle")
    with pytest.raises(BundleError, match="exists and is not a bundle"), bundle.writing(tmp_path):
        pytest.fail("the block must not be entered")
    assert (tmp_path / "notes.txt").read_text() == "not a bundle"


@pytest.mark.parametrize("crash_at", range(1, 4))
def test_whole_bundle_is_read_after_a_kill_at_any_rename(copied_bundle, imagenet, crash_at):
    # The writer kills itself before its first, second or third change to the file system.
    code = f"""
import os, pathlib, shutil, signal, sys
from app import bundle
calls = 0
def crash_before(function):
    def wrapped(*args, **kwargs):
        global calls
        calls += armed
        if calls == {crash_at}:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return wrapped
armed = 0
pathlib.Path.rename = crash_before(pathlib.Path.rename)
shutil.rmtree = crash_before(shutil.rmtree)
source, folder = map(pathlib.Path, sys.argv[1:])
with bundle.writing(folder) as staged:
    for name in ("model.tflite", "labels.txt"):
        (staged / name).write_bytes((source / name).read_bytes())
    bundle.write_card(staged, {{**bundle.read(source).card, "name": "new", "samples": []}})
    armed = 1
"""
    command = [sys.executable, "-c", code, str(imagenet.path), str(copied_bundle)]
    killed = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert bundle.read(copied_bundle).name == ("new" if crash_at == 3 else "imagenet")
    with bundle.writing(copied_bundle) as staged:  # the next run removes the remaining files of the killed one
        for path in imagenet.path.iterdir():
            if path.name in ("model.tflite", "labels.txt"):
                (staged / path.name).write_bytes(path.read_bytes())
        bundle.write_card(staged, {**imagenet.card, "samples": []})
    assert [path.name for path in copied_bundle.parent.iterdir()] == ["imagenet"]
