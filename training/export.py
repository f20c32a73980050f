"""Convert Keras to LiteRT: one file with two signatures that share their weights.

`serving_default`: image float32 (1, height, width, 3), RGB, 0-255 -> probabilities float32 (1, labels), 0-1
`explain`: the same image, classes int32 (1,) -> maps float32 (1, rows, columns), and the probabilities again

`maps[0]` is the class-activation map of Zhou et al., "Learning Deep Features for Discriminative Localization" (2016):
the sum over all channels c of w[c, class] * features[c]. For a network that ends in global average pooling and one
dense layer the map is exact: its mean plus the bias of the class is the logit of the class.
"""

import functools
from collections.abc import Callable, Iterator
from tempfile import TemporaryDirectory

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

PRECISIONS = ("float32", "float16", "dynamic-int8", "int8")


class Signatures(tf.Module):
    """The two signatures of a network from `training.networks`, as functions whose weights are constants.

    The weights are constants because the converter does not initialise variables that two signatures share. It stores
    equal constants once.
    """

    def __init__(self, model: keras.Model) -> None:
        """Freeze the weights of `model`."""
        super().__init__()
        kernel, bias = model.get_layer("classes").get_weights()
        # Transposed to the layout of LiteRT's fully-connected operator, so that both signatures use the same buffer.
        self.kernel, self.bias = kernel.T, bias
        self.backbone = keras.Model(model.input, model.get_layer("features").output, name="backbone")
        image = tf.TensorSpec((1, *model.input.shape[1:]), tf.float32, "image")
        classes = tf.TensorSpec((1,), tf.int32, "classes")
        self.functions = {
            "serving_default": _frozen(self._classify, [image], ["probabilities"]),
            "explain": _frozen(self._explain, [image, classes], ["maps", "probabilities"]),
        }

    def _probabilities(self, features: tf.Tensor) -> tf.Tensor:
        pooled = tf.reduce_mean(features, (1, 2))
        return tf.nn.softmax(tf.matmul(pooled, self.kernel, transpose_b=True) + self.bias)

    def _classify(self, image: tf.Tensor) -> list[tf.Tensor]:
        return [self._probabilities(self.backbone(image, training=False))]

    def _explain(self, image: tf.Tensor, classes: tf.Tensor) -> list[tf.Tensor]:
        features = self.backbone(image, training=False)
        weights = tf.gather(self.kernel, classes)  # (1, channels)
        maps = tf.reduce_sum(features * weights[:, tf.newaxis, tf.newaxis], axis=3)
        return [maps, self._probabilities(features)]


def _frozen(function: Callable, inputs: list[tf.TensorSpec], outputs: list[str]) -> Callable:
    """Trace `function`, convert its variables to constants and name its outputs."""
    frozen = convert_variables_to_constants_v2(tf.function(function, inputs).get_concrete_function())

    def named(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(outputs, frozen(*tensors), strict=True))

    return tf.function(named, inputs).get_concrete_function()


def to_litert(model: keras.Model, precision: str, calibration: np.ndarray | None = None) -> bytes:
    """Return the content of `model.tflite`. The same network gives the same bytes.

    `precision`: one of PRECISIONS. `calibration`: only for "int8", images float32 (n, height, width, 3), 0-255, on
    which the converter measures the value ranges of the activations.
    Raises ValueError if "int8" has none.
    """
    module = Signatures(model)
    with TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=module.functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(module.functions))
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            if calibration is None:
                raise ValueError("int8 needs calibration images")
            converter.representative_dataset = functools.partial(_representative_dataset, calibration)
        model_content: bytes = converter.convert()
        return model_content


def _representative_dataset(images: np.ndarray) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    for image in images:
        yield "serving_default", {"image": image[np.newaxis]}
        yield "explain", {"image": image[np.newaxis], "classes": np.zeros(1, np.int32)}
