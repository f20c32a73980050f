"""The command train.py: what it writes, what it rejects, and what remains after Ctrl-C. Needs TensorFlow."""

import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import train as train_module
from app import bundle, images
from tests.conftest import ROOT
from tests.requirements import requires
from tests.training.conftest import FAST, command, contents, interrupt, train

requires("tensorflow")


def predict(read, path):
    """The probabilities that the bundle's model gives for an image file."""
    classify = Interpreter(model_path=str(read.path / "model.tflite")).get_signature_runner("serving_default")
    pixels = images.decode(path.read_bytes(), read.width, read.height, read.resize).pixels
    return classify(image=np.asarray(pixels, np.float32)[np.newaxis])["probabilities"][0]


def test_folder_of_photos_becomes_a_bundle_that_predicts_correctly(trained, photos):
    out, printed = trained
    read = bundle.read(out)
    assert read.labels == ("round", "square shape")
    assert (read.width, read.height, read.resize) == (16, 16, "stretch")
    assert read.card["dataset"]["splits"] == {"train": 20, "validation": 4, "test": 4}
    assert set(contents(out)) >= {bundle.Path(p) for p in ("README.md", "plots/confusion-matrix.png", "model.keras")}
    assert printed.splitlines()[-1] == f"Serve it:  MODEL={out} make run"
    right = 0
    for label, folder in enumerate(read.labels):
        for path in sorted((photos / folder).iterdir()):
            probabilities = predict(read, path)
            assert probabilities.sum() == pytest.approx(1, abs=1e-5)
            right += int(probabilities.argmax()) == label
    assert right >= 24, f"{right} of 28"


def test_printed_summary_and_readme_have_the_metrics_of_the_card(trained):
    out, printed = trained
    metrics = bundle.read(out).card["metrics"]
    assert re.search(rf"^test accuracy +{metrics['accuracy']:.2%} +on 4 images$", printed, re.MULTILINE)
    readme = (out / "README.md").read_text("utf-8")
    assert f"| accuracy | {metrics['accuracy']:.2%} |" in readme
    for label in ("round", "square shape"):
        assert f"\n| {label} | 2 | {metrics['per_class'][label]['precision']:.3f} |" in readme


def test_samples_are_predicted_as_the_card_expects(trained):
    read = bundle.read(trained[0])
    assert len(read.samples) == 4
    for sample in read.samples:
        probabilities = predict(read, read.path / sample["file"])
        assert read.labels[probabilities.argmax()] == sample["expected"]["label"]
        assert probabilities.max() == pytest.approx(sample["expected"]["probability"], abs=1e-3)


def test_same_seed_and_images_give_the_same_model(trained, retrained):
    assert (retrained[0] / "model.tflite").read_bytes() == (trained[0] / "model.tflite").read_bytes()


def test_unreadable_files_are_listed_counted_and_skipped(retrained):
    out, printed = retrained
    assert "Skipped 2 unreadable files:\n" in printed
    assert "\n  round/broken.jpg: " in printed
    assert "\n  round/text.png: " in printed
    assert "notes.txt" not in printed
    assert bundle.read(out).card["dataset"] | {"name": ""} == {
        "name": "",
        "images": 28,
        "classes": 2,
        "splits": {"train": 20, "validation": 4, "test": 4},
        "skipped": 2,
    }


def test_few_photos_are_enough_with_the_pretrained_backbone(photos, tmp_path):
    done = train("--data", photos, "--out", tmp_path / "mine", "--image-size", "64")
    assert done.returncode == 0, done.stderr
    card = bundle.read(tmp_path / "mine").card
    assert card["training"]["backbone"] == "efficientnet-lite0"
    assert card["metrics"]["accuracy"] == 1
    assert card["export"]["agreement"]["same_top1"] >= 0.99


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ("subset", "cnn", 14, 28, 64, "stretch", 1)),
        (["--data", "fashion_mnist", "--epochs", "3"], ("fashion_mnist", "cnn", 3, 28, 64, "stretch", 1)),
        (["--data", "photos", "--seed", "0"], ("photos", "efficientnet-lite0", 40, 224, 16, "center-crop:0.875", 0)),
        (["--data", "photos", "--backbone", "cnn", "--batch-size", "8"], ("photos", "cnn", 40, 96, 8, "stretch", 1)),
    ],
)
def test_defaults_depend_on_data_set_and_backbone(arguments, expected):
    args = train_module.parse(arguments)
    found = (args.data, args.backbone, args.epochs, args.image_size, args.batch_size, args.resize, args.seed)
    assert found == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "missing"], "--data missing: no such folder; give a folder with one subfolder of images per class"),
        (["--data", "a-file"], "--data a-file: not a folder; give the folder that contains the class folders"),
        (["--data", "empty"], "--data empty: found no images; put the images of each class in a subfolder"),
        (["--data", "loose"], "--data loose: found 1 image but no class folders; put the images"),
        (["--data", "one-class"], "--data one-class: expected at least two classes, found only 'round'; add another"),
        (["--data", "hollow"], "--data hollow: the class folder 'nothing' has no images; add some or remove it"),
        (["--data", "few"], "--data few: the class 'few' has 2 readable images, expected at least 3"),
        (["--data", "newline"], "--data newline: invalid class name 'line\\nbreak': expected one line"),
        (["--epochs", "0"], "invalid --epochs 0: expected a number from 1 to 1000"),
        (["--batch-size", "1025"], "invalid --batch-size 1025: expected a number from 1 to 1024"),
        (["--epochs", "many"], "argument --epochs: invalid int value: 'many'; see train.py --help"),
        (["--image-size", "64"], "invalid --image-size 64 for Fashion-MNIST: its images are 28x28 pixels; omit"),
        (["--data", "x", "--image-size", "63"], "invalid --image-size 63 for efficientnet-lite0: expected a number"),
        (["--backbone", "efficientnet-lite0"], "invalid --backbone efficientnet-lite0 for Fashion-MNIST: its images"),
        (["--pretrained", "--data", "photos"], "--pretrained does not train, so --data has no effect; omit --data"),
        (["--out", "loose"], "--out loose exists and is not a bundle; give a new folder"),
    ],
)
def test_invalid_argument_or_data_is_rejected_in_one_line_before_tensorflow(
    arguments, message, photos, tmp_path, monkeypatch, run
):
    one = next((photos / "round").iterdir())
    for path in ("empty", "loose", "one-class/round", "hollow/nothing", "few/few", "newline/line\nbreak"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "a-file").write_text("")
    for folder, count in (("loose", 1), ("one-class/round", 5), ("few/few", 2), ("newline/line\nbreak", 5)):
        for number in range(count):
            shutil.copy(one, tmp_path / folder / f"{number}.png")
    for folder in ("hollow", "few", "newline"):
        shutil.copytree(photos / "round", tmp_path / folder / "round")
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = run(*arguments)
    assert code == 2
    assert stderr.startswith(f"train.py: error: {message}")
    assert stderr.count("\n") == 1
    assert "TensorFlow" not in stdout


def test_rejected_argument_is_exit_code_2_of_the_process(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command("--data", "missing"), cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"train\.py: error: --data missing: .*\n", done.stderr)


@pytest.mark.parametrize("moment", ["Loading TensorFlow", "Epoch 2/", "Writing "])
def test_ctrl_c_keeps_the_old_bundle(moment, copied_shapes, photos, tmp_path):
    before = contents(copied_shapes)
    epochs = "3" if moment == "Writing " else "1000"
    code, stderr = interrupt(moment, "--data", photos, "--out", copied_shapes, *FAST[:-1], epochs)
    assert code == 130
    assert stderr.splitlines()[-1] == "train.py: interrupted; nothing was changed"
    assert "Traceback" not in stderr
    assert contents(copied_shapes) == before
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]


def test_bundle_that_cannot_be_written_is_an_error_in_one_line(trained, tmp_path, run):
    (tmp_path / "file").write_text("")
    model, labels = trained[0] / "model.tflite", trained[0] / "labels.txt"
    out = tmp_path / "file" / "model"
    code, _, stderr = run("--import", model, "--labels", labels, "--range", "0-255", "--out", out)
    assert code == 2
    assert re.fullmatch(
        rf"train\.py: error: {re.escape(str(tmp_path))}/file.*: .+; check the path, its permissions .*\n", stderr
    )


def test_card_is_valid_json_for_strict_parsers(trained):
    json.loads((trained[0] / "model.json").read_text("utf-8"), parse_constant=pytest.fail)
