"""train.py from the outside: what it writes, what it refuses, and what Ctrl-C leaves behind."""

import json
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from app import bundle, images
from tests.training.conftest import FAST, ROOT, command


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_photos_becomes_a_bundle_that_answers_right(trained, photos):
    out, printed = trained
    read = bundle.read(out)
    assert read.labels == ("round", "square shape")
    assert (read.width, read.height, read.resize) == (16, 16, "stretch")
    assert read.card["dataset"]["splits"] == {"train": 20, "validation": 4, "test": 4}
    assert set(contents(out)) >= {bundle.Path(p) for p in ("README.md", "plots/confusion-matrix.png", "model.keras")}
    assert f"MODEL={out} make run" in printed
    assert "test accuracy" in printed
    classify = Interpreter(model_path=str(out / "model.tflite")).get_signature_runner("serving_default")
    right = 0
    for label, folder in enumerate(read.labels):
        for path in sorted((photos / folder).iterdir()):
            pixels = images.decode(path.read_bytes(), read.width, read.height, read.resize).pixels
            answer = classify(image=np.asarray(pixels, np.float32)[np.newaxis])["probabilities"][0]
            assert answer.sum() == pytest.approx(1, abs=1e-5)
            right += int(answer.argmax()) == label
    assert right >= 24, f"{right} of 28"


def test_samples_are_answered_as_the_card_expects(trained):
    read = bundle.read(trained[0])
    classify = Interpreter(model_path=str(read.path / "model.tflite")).get_signature_runner("serving_default")
    assert 1 <= len(read.samples) <= 8
    for sample in read.samples:
        pixels = images.decode((read.path / sample["file"]).read_bytes(), read.width, read.height, read.resize).pixels
        answer = classify(image=np.asarray(pixels, np.float32)[np.newaxis])["probabilities"][0]
        assert read.labels[answer.argmax()] == sample["expected"]["label"]
        assert answer.max() == pytest.approx(sample["expected"]["probability"], abs=1e-3)


def test_the_same_seed_gives_the_same_model(trained, photos, train, tmp_path):
    done = train("--data", photos, "--out", tmp_path / "again", *FAST)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again/model.tflite").read_bytes() == (trained[0] / "model.tflite").read_bytes()


def test_few_photos_are_enough_with_the_pretrained_backbone(photos, train, tmp_path):
    done = train("--data", photos, "--out", tmp_path / "mine", "--image-size", "64")
    assert done.returncode == 0, done.stderr
    card = bundle.read(tmp_path / "mine").card
    assert card["training"]["backbone"] == "efficientnet-lite0"
    assert card["metrics"]["accuracy"] == 1
    assert card["export"]["agreement"]["same_top1"] >= 0.99


def test_unreadable_files_are_named_counted_and_skipped(photos, train, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos/round/broken.jpg").write_bytes(b"\xff\xd8 cut off")
    (tmp_path / "photos/round/text.png").write_text("no picture")
    (tmp_path / "photos/round/notes.txt").write_text("not counted: no picture's name")
    done = train("--data", tmp_path / "photos", "--out", tmp_path / "out", *FAST[:-1], "1")
    assert done.returncode == 0, done.stderr
    assert "Skipped 2 unreadable files:" in done.stdout
    assert "round/broken.jpg" in done.stdout
    assert "round/text.png" in done.stdout
    assert bundle.read(tmp_path / "out").card["dataset"] | {"name": ""} == {
        "name": "",
        "images": 28,
        "classes": 2,
        "splits": {"train": 20, "validation": 4, "test": 4},
        "skipped": 2,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "missing"], "--data missing: no such folder"),
        (["--data", "a-file"], "--data a-file is a file"),
        (["--data", "empty"], "--data empty has no pictures"),
        (["--data", "loose"], "--data loose has 1 picture but no class folders"),
        (["--data", "one-class"], "at least two classes, found only 'round'"),
        (["--data", "hollow"], "the class folder 'nothing' has no pictures"),
        (["--data", "few"], "the class 'few' has 2 readable pictures"),
        (["--data", "newline"], "class name 'line\\nbreak' starts, ends or breaks"),
        (["--epochs", "0"], "--epochs 0 is out of range: choose 1 to 1000"),
        (["--epochs", "many"], "argument --epochs: invalid int value: 'many'"),
        (["--image-size", "64"], "--image-size 64: Fashion-MNIST is 28x28"),
        (["--backbone", "efficientnet-lite0"], "wants photos"),
        (["--pretrained", "--data", "photos"], "--pretrained trains nothing"),
        (["--out", "loose"], "--out loose exists and is no bundle"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(arguments, message, photos, tmp_path):
    one = next((photos / "round").iterdir())
    for path in ("empty", "loose", "one-class/round", "hollow/nothing", "few/few", "newline/line\nbreak"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "a-file").write_text("")
    for folder, count in (("loose", 1), ("one-class/round", 5), ("few/few", 2), ("newline/line\nbreak", 5)):
        for number in range(count):
            shutil.copy(one, tmp_path / folder / f"{number}.png")
    for folder in ("hollow", "few", "newline"):
        shutil.copytree(photos / "round", tmp_path / folder / "round")
    done = subprocess.run(
        command(*arguments), cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("train.py: error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "TensorFlow" not in done.stdout, "a bad argument must be refused before TensorFlow is loaded"


@pytest.mark.parametrize("moment", ["Loading TensorFlow", "Epoch 2/", "Writing "])
def test_ctrl_c_keeps_the_old_bundle_whole(moment, trained, photos, tmp_path):
    out = tmp_path / "shapes"
    shutil.copytree(trained[0], out)
    before = contents(out)
    epochs = "3" if moment == "Writing " else "1000"
    arguments = ["--data", photos, "--out", out, *FAST[:-1], epochs]
    with subprocess.Popen(
        command(*arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith(moment):
                process.send_signal(signal.SIGINT)
                break
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "train.py: interrupted; nothing was changed"
    assert "Traceback" not in stderr
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]


def test_a_model_that_cannot_be_written_is_one_line(photos, train, tmp_path):
    (tmp_path / "file").write_text("")
    done = train("--data", photos, "--out", tmp_path / "file" / "model", *FAST[:-1], "1")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("train.py: error: ")
    assert "Traceback" not in done.stderr


def test_the_card_is_valid_json_for_strict_readers(trained):
    json.loads((trained[0] / "model.json").read_text(), parse_constant=pytest.fail)
