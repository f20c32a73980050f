"""train.py --import: existing models in every format give the same predictions when the app serves them.

Needs TensorFlow.
"""

import base64
import hashlib
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from app import bundle, create_app
from app.config import Config
from tests.conftest import ROOT
from tests.requirements import requires
from tests.training.conftest import contents, interrupt

requires("tensorflow")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2  # noqa: E402

from training import TrainingError, export, networks  # noqa: E402
from training.datasets import LUMA  # noqa: E402
from training.importing import input_adapter, value_ranges  # noqa: E402

# Keras and the converter give deprecation warnings about their own code while the tests make the models.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
tf.get_logger().setLevel("ERROR")
layers = keras.layers
SIDE = 24


def network(ending, first=None, shape=(SIDE, SIDE, 3)):
    """A small network whose outputs differ between images: the layer `first`, a convolution, and `ending`."""
    keras.utils.set_random_seed(1)
    image = keras.Input(shape)
    x = layers.Reshape((*shape, 1))(image) if len(shape) == 2 else image
    x = first(x) if first else x
    x = layers.Conv2D(8, 3, strides=2, padding="same")(x)
    x = layers.ReLU(name="features")(layers.BatchNormalization()(x))
    model = keras.Model(image, ending(x))
    generator = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, weights.shape) for weights in layer.get_weights()])
        if isinstance(layer, layers.Dense):
            layer.set_weights([generator.normal(0, 3, weights.shape) for weights in layer.get_weights()])
    return model


def pooled(labels, activation):
    """The ending that allows a heatmap: global average pooling and one dense layer."""
    return lambda x: layers.Dense(labels, activation, name="classes")(
        layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    )


def mobilenet_ending(x):
    """The ending of MobileNet v1: average pooling over the whole image, and a 1x1 convolution as the dense layer."""
    x = layers.AveragePooling2D(SIDE // 2)(x)
    return layers.Softmax()(layers.Reshape((3,))(layers.Conv2D(3, 1, name="classes")(x)))


def frozen(model, shape):
    """The network as a function whose weights are constants."""
    trace = tf.function(lambda image: model(image, training=False), [tf.TensorSpec(shape)]).get_concrete_function()
    return convert_variables_to_constants_v2(trace)


def litert(model, *, eight_bit=None, float16=False, low=0, high=1):
    """The content of a .tflite without signatures. `eight_bit`: the dtype of input and output if quantised."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen(model, (1, *model.input_shape[1:]))])
    if eight_bit or float16:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if float16:
        converter.target_spec.supported_types = [tf.float16]
    if eight_bit:
        generator = np.random.default_rng(1)
        shape = (1, *model.input_shape[1:])
        converter.representative_dataset = lambda: (
            [generator.uniform(low, high, shape).astype(np.float32)] for _ in range(50)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = eight_bit
    return converter.convert()


@pytest.fixture
def labels(tmp_path):
    def write(count):
        path = tmp_path / "names.txt"
        path.write_text("".join(f"label {i}\n" for i in range(count)))
        return path

    return write


@pytest.fixture
def imported(run, labels, tmp_path):
    """Import a model and return its bundle: `imported(path, number of labels, *options)`."""

    def imported(path, count, *options):
        out = tmp_path / "imported"
        code, _, stderr = run("--import", path, "--labels", labels(count), "--out", out, *options)
        assert (code, stderr) == (0, "")
        return bundle.read(out)

    return imported


def images(side=SIDE):
    """Four images of smooth colours: uint8 (side, side, 3)."""
    generator = np.random.default_rng(7)
    coarse = generator.integers(0, 256, (4, 4, 4, 3), np.uint8)
    return [np.asarray(Image.fromarray(one).resize((side, side))) for one in coarse]


def served(read, image):
    """The probabilities that the app returns, in the order of the labels, and whether it returns a heatmap."""
    client = create_app(Config(model=str(read.path))).test_client()
    png = io.BytesIO()
    Image.fromarray(image).save(png, "PNG")
    body = {"instances": [{"b64": base64.b64encode(png.getvalue()).decode()}]}
    response = client.post(f"/predict?top={len(read.labels)}", json=body)
    assert response.status_code == 200, response.text
    (entry,) = response.get_json()["predictions"]
    by_index = {one["index"]: one["probability"] for one in entry["top"]}
    explained = client.post("/predict?explain=1", json=body)
    heatmap = explained.status_code == 200 and explained.get_json()["predictions"][0]["heatmap"].startswith("data:")
    assert heatmap or "has no heatmap" in explained.text
    return np.array([by_index[i] for i in range(len(read.labels))]), heatmap


def softmax(values):
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def from_255(pixels):
    return pixels


def from_1(pixels):
    return pixels / 255


def from_torch(pixels):
    return (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]


def from_signed(pixels):
    return pixels / 127.5 - 1


def from_caffe(pixels):
    return pixels[..., ::-1] - [103.939, 116.779, 123.68]


def from_grey(pixels):
    return pixels @ LUMA / 255


def as_file(name):
    def save(model, folder):
        model.save(folder / name)
        return folder / name

    save.__name__ = name
    return save


def as_saved_model(model, folder):
    model.export(folder / "saved", verbose=False)
    return folder / "saved"


def as_litert(**options):
    def save(model, folder):
        (folder / "model.tflite").write_bytes(litert(model, **options))
        return folder / "model.tflite"

    save.__name__ = "-".join(["tflite", *(getattr(value, "name", str(value)) for value in options.values())])
    return save


def unit(x):
    return layers.Rescaling(1 / 255)(x)


def augmented(x):
    return layers.Rescaling(1 / 127.5, offset=-1)(layers.RandomFlip()(x))


def normalised(x):
    return layers.Normalization(mean=[120.0, 115, 100], variance=[58.0**2] * 3)(x)


def plain(values):
    return values


def two(values):
    return np.array([1 - values[0], values[0]])


def two_of_logit(values):
    return two(1 / (1 + np.exp(-values)))


def depth_pooled(x):
    """Pooling over the channels instead of the image; the dense layer still has as many inputs as there are pixels."""
    x = keras.ops.mean(layers.Conv2D((SIDE // 2) ** 2, 1)(x), axis=3)
    return layers.Dense(3, "softmax")(layers.Flatten()(x))


ENDINGS = {
    "softmax": (pooled(3, "softmax"), 3, plain),
    "logits": (pooled(3, None), 3, softmax),
    "sigmoid": (pooled(1, "sigmoid"), 2, two),
    "logit": (pooled(1, None), 2, two_of_logit),
    "independent": (pooled(3, "sigmoid"), 3, plain),
    "mobilenet": (mobilenet_ending, 3, plain),
    "flat": (lambda x: layers.Dense(3, "softmax")(layers.Flatten()(x)), 3, plain),
    "depth": (depth_pooled, 3, plain),
}


@pytest.mark.parametrize(
    ("save", "first", "ending", "values", "options", "precision"),
    [
        (as_file("m.keras"), unit, "softmax", from_255, [], 1e-5),
        (as_file("m.keras"), augmented, "logits", from_255, [], 1e-5),
        (as_file("m.h5"), None, "logits", from_torch, ["--range", "torch"], 1e-4),
        (as_file("m.keras"), None, "flat", from_caffe, ["--range", "caffe"], 1e-4),
        (as_file("m.keras"), unit, "depth", from_255, [], 1e-5),
        (as_saved_model, normalised, "sigmoid", from_255, [], 1e-5),
        (as_saved_model, None, "mobilenet", from_signed, ["--range", "+-1"], 1e-5),
        (as_litert(), None, "logit", from_1, ["--range", "0-1"], 1e-5),
        (as_litert(), augmented, "independent", from_255, [], 1e-5),
        (as_litert(float16=True), None, "softmax", from_255, ["--range", "0-255"], 0.01),
        (as_litert(eight_bit=tf.uint8), None, "softmax", from_1, [], 0.05),
        (as_litert(eight_bit=tf.int8, low=-1), None, "mobilenet", from_signed, [], 0.05),
        (as_litert(eight_bit=tf.float32, high=255), None, "logits", from_255, [], 0.1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_imported_model_is_served_with_the_probabilities_of_the_original(
    save, first, ending, values, options, precision, imported, tmp_path
):
    last, count, expected = ENDINGS[ending]
    model = network(last, first)
    read = imported(save(model, tmp_path), count, *options)
    assert (read.width, read.height, read.resize) == (SIDE, SIDE, "stretch")
    for image in images():
        own = values(image.astype(np.float64))[np.newaxis].astype(np.float32)
        found, heatmap = served(read, image)
        np.testing.assert_allclose(found, expected(model(own, training=False).numpy()[0]), atol=precision)
        assert heatmap == (ending not in ("flat", "depth"))


@pytest.mark.parametrize(
    ("shape", "options", "values", "side"),
    [
        ((None, None, 3), ["--image-size", 32, "--range", "0-1"], from_1, 32),
        ((SIDE, SIDE, 1), ["--range", "0-1"], lambda pixels: from_grey(pixels)[..., np.newaxis], SIDE),
        ((SIDE, SIDE), ["--range", "0-1"], from_grey, SIDE),
        ((3, SIDE, SIDE), ["--range", "0-1"], lambda pixels: from_1(pixels).transpose(2, 0, 1), SIDE),
    ],
    ids=["size not fixed", "grey", "grey without channels", "channels first"],
)
def test_input_shapes_are_adapted(shape, options, values, side, imported, tmp_path):
    model = network(pooled(3, "softmax"), layers.Permute((2, 3, 1)) if shape[0] == 3 else None, shape)
    read = imported(as_file("m.keras")(model, tmp_path), 3, *options)
    assert (read.width, read.height) == (side, side)
    for image in images(side):
        expected = model(values(image.astype(np.float64))[np.newaxis].astype(np.float32)).numpy()[0]
        np.testing.assert_allclose(served(read, image)[0], expected, atol=1e-5)


def test_litert_file_without_a_fixed_image_size(imported, tmp_path):
    model = network(pooled(3, "softmax"), unit, (None, None, 3))
    trace = frozen(model, (None, None, None, 3))
    path = tmp_path / "any-size.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([trace]).convert())
    read = imported(path, 3, "--image-size", 40, "--range", "0-255")
    image = images(40)[0]
    probabilities, heatmap = served(read, image)
    np.testing.assert_allclose(probabilities, model(image[np.newaxis].astype(np.float32)).numpy()[0], atol=1e-5)
    assert heatmap


@pytest.mark.parametrize(
    ("save", "ending", "signs"),
    [
        (as_file("m.keras"), "softmax", [1]),
        (as_litert(eight_bit=tf.uint8), "softmax", [1]),
        (as_litert(float16=True), "logits", [1]),
        (as_saved_model, "mobilenet", [1]),
        (as_file("m.keras"), "sigmoid", [-1, 1]),
    ],
)
def test_heatmap_is_the_class_activation_map(save, ending, signs, imported, tmp_path):
    last, count, _ = ENDINGS[ending]
    model = network(last)
    options = [] if save.__qualname__.startswith("as_litert") and ending == "softmax" else ["--range", "0-1"]
    read = imported(save(model, tmp_path), count, *options)
    explain = Interpreter(model_path=str(read.path / "model.tflite")).get_signature_runner("explain")
    image = images()[0]
    features = keras.Model(model.input, model.get_layer("features").output)(image[np.newaxis] / np.float32(255))[0]
    kernel = model.get_layer("classes").get_weights()[0].reshape(8, -1)
    for index in range(count):
        found = explain(image=image[np.newaxis].astype(np.float32), classes=np.array([index], np.int32))["maps"][0]
        sign, column = (signs[index], 0) if count == 2 else (1, index)
        expected = sign * features.numpy() @ kernel[:, column]
        np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())


def test_network_trained_here_is_imported_as_it_is_exported(imported, tmp_path):
    keras.utils.set_random_seed(1)
    model = networks.cnn((28, 28), 10, grey=True)
    read = imported(as_file("m.keras")(model, tmp_path), 10)
    exported, reimported = export.to_litert(model, "float32"), (read.path / "model.tflite").read_bytes()
    kernel = model.get_layer("classes").get_weights()[0].T.tobytes()
    assert reimported.count(kernel) == exported.count(kernel) == 1, "the signatures must share their weights"
    for index in (0, 7):
        inputs = {"image": images(28)[0][np.newaxis].astype(np.float32), "classes": np.array([index], np.int32)}
        expected, found = (
            Interpreter(model_content=content).get_signature_runner("explain")(**inputs)
            for content in (exported, reimported)
        )
        for name in ("maps", "probabilities"):
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
    assert (read.path / "model.keras").read_bytes() == (tmp_path / "m.keras").read_bytes()


def test_reference_cnn_of_the_benchmarks(tmp_path):
    script = ROOT / "bench" / "reference_cnn.py"
    subprocess.run([sys.executable, script, tmp_path / "cnn"], check=True, capture_output=True, timeout=120)
    read = bundle.read(tmp_path / "cnn")
    model = keras.saving.load_model(read.path / "model.keras")
    assert (read.width, read.height, len(read.labels), model.count_params()) == (96, 96, 10, 243_530)
    image = images(96)[0]
    probabilities, heatmap = served(read, image)
    np.testing.assert_allclose(probabilities, model(image[np.newaxis]).numpy()[0], atol=1e-5)
    assert heatmap


def test_same_model_gives_the_same_bytes(imported, tmp_path):
    model = as_file("m.keras")(network(pooled(3, None)), tmp_path)
    first, second = (imported(model, 3, "--range", "torch").card["files"]["model.tflite"] for _ in range(2))
    assert first == second


def test_ctrl_c_keeps_the_old_bundle(labels, imported, tmp_path):
    model = as_file("m.keras")(network(pooled(3, "softmax"), unit), tmp_path)
    read = imported(model, 3)
    before = contents(read.path)
    code, stderr = interrupt("Writing ", "--import", model, "--labels", labels(3), "--out", read.path)
    assert (code, stderr) == (130, "\ntrain.py: interrupted; nothing was changed\n")
    assert contents(read.path) == before


def test_litert_file_of_a_bundle_can_be_imported_again(imagenet, run, tmp_path):
    model, labels = imagenet.path / "model.tflite", imagenet.path / "labels.txt"
    arguments = ("--out", tmp_path / "again", "--resize", imagenet.resize, "--samples", imagenet.path / "samples")
    code, _, stderr = run("--import", model, "--labels", labels, "--range", "0-255", *arguments)
    assert (code, stderr) == (0, "")
    read = bundle.read(tmp_path / "again")
    assert (read.path / "model.tflite").stat().st_size < 1.01 * model.stat().st_size
    expected = [served(imagenet, image) for image in images(224)]
    for (probabilities, _), image in zip(expected, images(224), strict=True):
        found, heatmap = served(read, image)
        np.testing.assert_allclose(found, probabilities, atol=1e-5)
        assert heatmap


@pytest.fixture
def shapes(tmp_path):
    """Arguments that import a network for the two labels of `photos`."""
    (tmp_path / "shapes.txt").write_text("round\nsquare shape\n")
    model = as_file("m.keras")(network(pooled(1, "sigmoid"), unit), tmp_path)
    return ["--import", model, "--labels", tmp_path / "shapes.txt", "--out", tmp_path / "out"]


def test_samples_in_label_folders_keep_their_labels(photos, run, shapes, tmp_path):
    code, stdout, _ = run(*shapes, "--samples", photos)
    assert code == 0
    read = bundle.read(tmp_path / "out")
    assert [sample["label"] for sample in read.samples] == ["round", "square shape"] * 4
    assert "4.jpg" in stdout
    page = create_app(Config(model=str(read.path))).test_client().get("/")
    assert 'alt="square shape"' in page.text


def test_loose_samples_have_no_label_and_the_page_shows_them(photos, run, shapes, tmp_path):
    assert run(*shapes, "--samples", photos / "round", "--resize", "center-crop:0.9")[0] == 0
    read = bundle.read(tmp_path / "out")
    assert [sample["label"] for sample in read.samples] == [None] * 8
    assert read.resize == "center-crop:0.9"
    assert 'alt="1.jpg"' in create_app(Config(model=str(read.path))).test_client().get("/").text


def test_card_and_readme_describe_the_source(imported, tmp_path):
    model = network(pooled(3, "softmax"), unit)
    read = imported(as_file("mine.keras")(model, tmp_path), 3)
    digest = hashlib.sha256((tmp_path / "mine.keras").read_bytes()).hexdigest()
    facts = read.card["imported"]
    assert (facts["form"], facts["file"], facts["sha256"]) == ("Keras file", "mine.keras", digest)
    assert facts["made_with"] == f"Keras {keras.__version__}"
    assert facts["range"] == "0-255"
    assert set(read.card["metrics"].values()) == {None}
    readme = (read.path / "README.md").read_text("utf-8")
    assert f"| source | Keras file `mine.keras`, SHA-256 `{digest}` |" in readme
    assert "| input values | 0-255, detected from the model's first operators |" in readme
    assert "| heatmap | yes; exact" in readme
    json.loads((read.path / "model.json").read_text("utf-8"), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"\xef\xbb\xbfone\r\ntwo\r\nthr\xc3\xa9e\r\n", ("one", "two", "thrée")),
        (b"one\ntwo\nthree", ("one", "two", "three")),
    ],
    ids=["BOM and CRLF", "no last newline"],
)
def test_labels_file_may_have_bom_crlf_or_no_last_newline(text, names, run, tmp_path):
    (tmp_path / "names.txt").write_bytes(text)
    model = as_file("m.keras")(network(pooled(3, "softmax"), unit), tmp_path)
    assert run("--import", model, "--labels", tmp_path / "names.txt", "--out", tmp_path / "out")[0] == 0
    assert bundle.read(tmp_path / "out").labels == names


class Doubled(keras.layers.Layer):
    """A custom class, which Keras cannot load."""

    def call(self, x):
        return x * 2


class Inverse(tf.Module):
    """A model that needs an operator which LiteRT does not have."""

    @tf.function(input_signature=[tf.TensorSpec((None, 3, 3, 3))])
    def classify(self, image):
        return tf.nn.softmax(tf.linalg.inv(image[..., 0])[:, 0])


def inverse(folder):
    module = Inverse()
    tf.saved_model.save(module, folder / "inverse", signatures=module.classify)
    return folder / "inverse"


def flex(folder):
    module = Inverse()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.classify.get_concrete_function()], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    (folder / "flex.tflite").write_bytes(converter.convert())
    return folder / "flex.tflite"


def encoded(folder):
    module = tf.Module()
    module.classify = tf.function(
        lambda data: tf.cast(tf.strings.length(data), tf.float32), [tf.TensorSpec([], tf.string)]
    )
    tf.saved_model.save(module, folder / "encoded", signatures=module.classify)
    return folder / "encoded"


def saved(name, build):
    return lambda folder: as_file(name)(build(), folder)


def written(name, text):
    def write(folder):
        (folder / name).write_text(text)
        return folder / name

    return write


def weights(folder):
    network(pooled(3, "softmax")).save_weights(folder / "m.weights.h5")
    return folder / "m.weights.h5"


def of_layers(*more, shape=(SIDE, SIDE, 3)):
    return lambda: keras.Sequential([keras.Input(shape), *more])


def two_inputs():
    first, second = keras.Input((4, 4, 3)), keras.Input((4, 4, 3))
    return keras.Model([first, second], layers.Flatten()(first + second))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (saved("m.keras", lambda: network(pooled(3, "softmax"))), [], "cannot be detected; add --range"),
        (saved("m.keras", lambda: network(pooled(4, "softmax"), unit)), [], "its output has 4 values, but"),
        (saved("m.keras", lambda: network(pooled(1, "sigmoid"), unit)), [], "its output has one value (yes or no)"),
        (saved("m.keras", lambda: network(lambda x: x, unit)), [], "has the shape (1, 12, 12, 8), not (1, labels)"),
        (
            saved("m.keras", lambda: network(pooled(3, None), None, (None, None, 3))),
            [],
            "(?, ?, ?, 3) does not fix the",
        ),
        (
            saved("m.keras", lambda: network(pooled(3, None))),
            ["--image-size", 32],
            "32 contradicts the model, whose input takes 24x24",
        ),
        (saved("m.keras", of_layers(layers.Dense(3), shape=(9,))), [], "input has the shape (?, 9); expected images"),
        (saved("m.keras", of_layers(layers.Flatten(), layers.Dense(3), shape=(8, 8, 4))), [], "the shape (?, 8, 8, 4)"),
        (saved("m.keras", two_inputs), [], "it has 2 inputs"),
        (saved("m.keras", of_layers(Doubled())), [], "it uses the custom class Doubled; save it with model.export()"),
        (saved("m.h5", of_layers(Doubled())), [], "it uses the custom class Doubled; save it with model.export()"),
        (saved("m.keras", of_layers(layers.Lambda(lambda x: x))), [], "it has a Lambda layer"),
        (weights, [], "it contains only weights"),
        (written("m.keras", "hello"), [], "cannot read it"),
        (written("m.tflite", "hello"), [], "it is damaged or not a LiteRT model"),
        (inverse, ["--range", "0-1"], "LiteRT cannot run it: it has no operator for MatrixInverse"),
        (flex, ["--range", "0-1"], "LiteRT cannot run it: it needs TensorFlow's own operators MatrixInverse"),
        (encoded, [], "takes encoded images (strings)"),
        (
            saved("m.keras", lambda: network(pooled(3, None), None, (SIDE, SIDE, 1))),
            ["--range", "torch"],
            "--range torch is for colour",
        ),
    ],
)
def test_unsupported_model_is_an_error_in_one_line(make, options, message, run, labels, tmp_path):
    model = make(tmp_path)
    code, _, stderr = run("--import", model, "--labels", labels(3), "--out", tmp_path / "out", *options)
    assert code == 2
    assert stderr.startswith(f"train.py: error: --import {model}: ")
    assert message in stderr
    assert stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


GOOD = ("--import", "m.keras", "--labels", "good.txt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--import", "m.keras"], "--import needs --labels FILE"),
        (["--import", "none.keras", "--labels", "good.txt"], "--import none.keras: no such file or folder"),
        (["--import", "good.txt", "--labels", "good.txt"], "unknown model format; expected a Keras file"),
        (["--import", "photos", "--labels", "good.txt"], "unknown model format; expected a Keras file"),
        (["--import", "m.keras", "--labels", "none.txt"], "--labels none.txt: no such file"),
        (["--import", "m.keras", "--labels", "blank.txt"], "--labels blank.txt: line 2 is empty"),
        (["--import", "m.keras", "--labels", "twice.txt"], "line 3 repeats the label 'a' of line 1; make"),
        (["--import", "m.keras", "--labels", "latin.txt"], "--labels latin.txt: line 2 is not UTF-8"),
        (["--import", "m.keras", "--labels", "one.txt"], "expected at least two labels, found 1"),
        ([*GOOD, "--range", "0-2"], "invalid --range 0-2: expected 0-255,"),
        ([*GOOD, "--resize", "crop"], "invalid --resize crop: expected stretch"),
        ([*GOOD, "--image-size", "4"], "invalid --image-size 4: expected a number from 8 to 4096"),
        ([*GOOD, "--epochs", "4"], "--import does not train, so --epochs has no effect; omit --epochs"),
        ([*GOOD, "--pretrained"], "--import does not train, so --pretrained has no effect"),
        ([*GOOD, "--samples", "none"], "--samples none: no such folder"),
        ([*GOOD, "--samples", "empty"], "--samples empty: no images found"),
        ([*GOOD, "--samples", "photos"], "the subfolder 'c' is not one of the labels; rename it"),
        ([*GOOD, "--samples", "broken"], "--samples broken: 1.jpg: "),
        ([*GOOD, "--out", "empty"], None),
        (["--import", "bundle/m.keras", "--labels", "good.txt", "--out", "bundle"], "--out bundle contains the model"),
        (["--labels", "good.txt"], "--labels needs --import MODEL"),
    ],
)
def test_invalid_argument_is_rejected_before_tensorflow_is_loaded(arguments, message, run, cat, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "photos/c", "broken", "bundle"):
        (tmp_path / folder).mkdir(parents=True)
    for name, text in {
        "good": b"a\nb",
        "blank": b"a\n\nb",
        "twice": b"a\nb\na",
        "latin": b"a\n\xe4",
        "one": b"a",
    }.items():
        (tmp_path / f"{name}.txt").write_bytes(text)
    for name in ("m.keras", "bundle/m.keras", "bundle/model.json"):
        (tmp_path / name).write_text("")
    (tmp_path / "photos/c/1.jpg").write_bytes(cat)
    (tmp_path / "broken/1.jpg").write_bytes(cat[:300])
    code, stdout, stderr = run(*arguments)
    assert code == 2
    if message is None:  # only the model is wrong: a bundle may be written to an empty folder
        assert "cannot read it" in stderr
        return
    assert message in stderr
    assert stderr.count("\n") == 1
    assert stdout == ""


@pytest.mark.parametrize(
    ("shape", "image_size", "fixed"),
    [
        ((None, 20, 30, 3), None, (1, 20, 30, 3)),
        ((1, 1, 20, 30), None, (1, 1, 20, 30)),
        ((-1, -1, -1, 1), 40, (1, 40, 40, 1)),
        ((-1, 3, None, 30), 40, (1, 3, 40, 30)),
        ((None, None, None), 40, (1, 40, 40)),
        ((1, 40, 40, 3), 40, (1, 40, 40, 3)),
    ],
)
def test_input_shape_is_completed_for_one_image(shape, image_size, fixed):
    assert input_adapter.fix_shape(shape, image_size) == fixed


@pytest.mark.parametrize(
    ("shape", "image_size", "message"),
    [
        ((8, 20, 20, 3), None, "its input (8, 20, 20, 3) takes 8 images at once; export it for one"),
        ((1, -1, 20, 3), None, "its input (1, ?, 20, 3) does not fix the image size; add --image-size PIXELS"),
        ((1, 20, 30, 3), 20, "--image-size 20 contradicts the model, whose input takes 30x20; omit --image-size"),
        ((1, 20, 30, 4), None, "its input has the shape (1, 20, 30, 4); expected images as (1, height, width, 3)"),
        ((1, 20), None, "its input has the shape (1, 20); expected images"),
    ],
)
def test_input_shape_that_is_not_one_image_is_an_error(shape, image_size, message):
    with pytest.raises(TrainingError) as error:
        input_adapter.fix_shape(shape, image_size)
    assert str(error.value).startswith(message)


def test_value_range_is_detected_from_the_first_operators():
    def of(*steps):
        chain = value_ranges.AffineChain()
        for kind, value in steps:
            assert chain.append(kind, np.array(value))
        return chain.input_range()

    assert of(("MUL", 1 / 255)) == "0-255"
    assert of(("SUB", [123.7, 116.8, 103.9])) == "0-255"
    assert of(("DIV", 127.5), ("SUB", 1)) == "0-255"
    assert of(("MUL", 2), ("SUB", 1)) == "0-1"
    assert of(("SUB", [0.485, 0.456, 0.406]), ("DIV", [0.229, 0.224, 0.225])) == "0-1"
    assert of(("MUL", 255)) == "0-1"
    assert of() is None
    assert of(("MUL", 1000)) is None
