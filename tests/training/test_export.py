"""Keras against LiteRT, and class-activation maps against their definition."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

keras = pytest.importorskip("keras")

from training import export, fashion_mnist, fitting, measures, networks, precisions, pretrained  # noqa: E402
from training.datasets import Split  # noqa: E402


@pytest.fixture(scope="module")
def network():
    """A network with weights that are not all the same, batch normalisation included."""
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
def pictures():
    return fashion_mnist.load(full=False, seed=1).test


@pytest.fixture(scope="module")
def exported(network):
    return export.to_litert(network, "float32")


def test_float32_export_agrees_with_keras_on_held_out_pictures(network, exported, pictures):
    few = Split(pictures.images[:300], pictures.classes[:300])
    agreement = measures.agreement(
        fitting.probabilities(network, few, "Keras"), measures.litert_probabilities(exported, few)
    )
    assert agreement.max_difference < 1e-4
    assert agreement.same_top1 == 1


@pytest.mark.parametrize("index", [0, 7])
def test_class_activation_map_is_exact(network, exported, pictures, index):
    image = pictures.rgb(0, 1)
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


def test_both_signatures_share_their_weights(network, exported):
    parameters = sum(weights.size for weights in network.get_weights()) * 4
    assert len(exported) < 1.1 * parameters


def test_the_same_network_gives_the_same_bytes(network, exported):
    assert export.to_litert(network, "float32") == exported


def test_a_white_background_is_answered_as_a_black_one(network, pictures):
    image = pictures.rgb(0, 1)
    assert image[0, [0, 0, -1, -1], [0, -1, 0, -1]].max() == 0, "the test wants a picture with black corners"
    np.testing.assert_allclose(network(image).numpy(), network(255 - image).numpy(), atol=1e-5)


def test_an_export_that_disagrees_is_refused():
    expected = np.eye(2, dtype=np.float32)[np.zeros(100, int)]
    wrong = expected.copy()
    wrong[:2] = [0.4, 0.6]
    agreement = measures.agreement(expected, wrong)
    assert agreement.same_top1 == pytest.approx(0.98)
    with pytest.raises(measures.TrainingError, match=r"98\.0%"):
        measures.check(agreement, "float16")


def test_the_committed_imagenet_model_agrees_with_keras(imagenet):
    images = precisions.crops(10, seed=2)
    pictures = Split(images, np.zeros(len(images), np.int64))
    expected = fitting.probabilities(pretrained.network(), pictures, "Keras")
    found = measures.litert_probabilities((imagenet.path / "model.tflite").read_bytes(), pictures)
    agreement = measures.agreement(expected, found)
    assert agreement.same_top1 >= 0.99
    assert agreement.max_difference < 0.05
