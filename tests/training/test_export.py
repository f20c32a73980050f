"""LiteRT exports agree with Keras, and class-activation maps with their definition. Needs TensorFlow."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.requirements import requires

requires("tensorflow")

import keras  # noqa: E402

from training import (  # noqa: E402
    compare_precisions,
    export,
    fashion_mnist,
    metrics,
    networks,
    pretrained,
    trainer,
)
from training.datasets import Split  # noqa: E402


@pytest.fixture(scope="module")
def network():
    """A network in which all weights differ, those of batch normalisation included."""
    keras.utils.set_random_seed(1)
    model = networks.cnn((28, 28), 10, grey=True)
    generator = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, weights.shape) for weights in layer.get_weights()])
    kernel, bias = model.get_layer("classes").get_weights()
    model.get_layer("classes").set_weights([kernel, generator.normal(size=bias.shape)])
    return model


@pytest.fixture(scope="module")
def images():
    """The test images of the committed Fashion-MNIST subset."""
    return fashion_mnist.load(full=False, seed=1).test


@pytest.fixture(scope="module")
def exported(network):
    return export.to_litert(network, "float32")


def test_float32_export_agrees_with_keras_on_test_images(network, exported, images):
    few = Split(images.images[:300], images.classes[:300])
    agreement = metrics.compare(trainer.predict(network, few, "Keras"), metrics.litert_probabilities(exported, few))
    assert agreement.max_difference < 1e-4
    assert agreement.same_top1 == 1


@pytest.mark.parametrize("index", [0, 7])
def test_class_activation_map_is_exact(network, exported, images, index):
    image = images.rgb(0, 1)
    explain = Interpreter(model_content=exported).get_signature_runner("explain")
    answer = explain(image=image, classes=np.array([index], np.int32))
    features = keras.Model(network.input, network.get_layer("features").output)(image).numpy()[0]
    kernel, bias = network.get_layer("classes").get_weights()
    assert answer["maps"].shape == (1, 7, 7)
    np.testing.assert_allclose(answer["maps"][0], features @ kernel[:, index], atol=1e-4)
    # The mean of the map plus the bias is the logit, and logits give the probabilities up to softmax.
    logits = features.mean(axis=(0, 1)) @ kernel + bias
    assert answer["maps"].mean() + bias[index] == pytest.approx(logits[index], abs=1e-4)
    softmax = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(answer["probabilities"][0], softmax, atol=1e-5)


def test_weights_are_stored_once_for_both_signatures(network, exported):
    parameters = sum(weights.size for weights in network.get_weights()) * 4
    assert len(exported) < 1.1 * parameters


def test_same_network_gives_the_same_bytes(network, exported):
    assert export.to_litert(network, "float32") == exported


def test_white_background_gives_the_same_output_as_black(network, images):
    image = images.rgb(0, 1)
    assert image[0, [0, 0, -1, -1], [0, -1, 0, -1]].max() == 0, "this test needs an image with black corners"
    np.testing.assert_allclose(network(image).numpy(), network(255 - image).numpy(), atol=1e-5)


def test_export_that_disagrees_with_keras_is_an_error():
    expected = np.eye(2, dtype=np.float32)[np.zeros(100, int)]
    wrong = expected.copy()
    wrong[:2] = [0.4, 0.6]
    agreement = metrics.compare(expected, wrong)
    assert agreement.same_top1 == pytest.approx(0.98)
    with pytest.raises(metrics.TrainingError, match=r"the float16 export has .* for only 98\.0% of the test"):
        metrics.check_agreement(agreement, "float16")


def test_committed_imagenet_model_agrees_with_keras(imagenet):
    crops = compare_precisions.crops(10, seed=2)
    split = Split(crops, np.zeros(len(crops), np.int64))
    expected = trainer.predict(pretrained.network(), split, "Keras")
    found = metrics.litert_probabilities((imagenet.path / "model.tflite").read_bytes(), split)
    agreement = metrics.compare(expected, found)
    assert agreement.same_top1 >= 0.99
    assert agreement.max_difference < 0.05


def test_float32_export_may_differ_by_rounding_only():
    expected = np.array([[0.6, 0.4]], np.float32)
    metrics.check_agreement(metrics.compare(expected, expected + np.array([5e-5, -5e-5])), "float32")
    different = metrics.compare(expected, expected + np.array([2e-4, -2e-4]))
    metrics.check_agreement(different, "float16")
    with pytest.raises(metrics.TrainingError, match=r"differs from Keras by 2\.0e-04, more than 1e-04"):
        metrics.check_agreement(different, "float32")


def test_metrics_of_known_predictions():
    classes = np.array([0, 0, 1, 2])
    probabilities = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2]])
    assert metrics.confusion_matrix(classes, probabilities).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    found = metrics.evaluate(("a", "b", "c"), classes, probabilities)
    assert (found["accuracy"], found["top5_accuracy"]) == (0.5, 1.0)
    assert found["loss"] == 0.8483  # -(ln 0.7 + ln 0.3 + ln 0.8 + ln 0.2) / 4
    assert found["per_class"] == {
        "a": {"pictures": 2, "precision": 0.5, "recall": 0.5, "f1": 0.5},
        "b": {"pictures": 1, "precision": 0.5, "recall": 1.0, "f1": 0.6667},
        "c": {"pictures": 1, "precision": 0.0, "recall": 0.0, "f1": 0.0},
    }
