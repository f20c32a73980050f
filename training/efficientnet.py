"""EfficientNet-Lite0 in Keras, with the committed ImageNet weights.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019), in the Lite variant of
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite: without squeeze-and-excitation, and
with ReLU6 instead of swish.
"""

import keras
import numpy as np
from keras import layers

from training.weights import EFFICIENTNET_LITE0

SIZE = 224  # pixels, width and height
RESIZE = "center-crop:0.875"
# For each stage: (repeats, kernel size, stride of the first repeat, expansion, filters); table 1 of the paper
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def features(image: keras.KerasTensor) -> keras.KerasTensor:
    """Add the backbone: RGB float32 (n, h, w, 3), 0-255 -> features float32 (n, h/32, w/32, 1280), 0-6.

    The last layer is named `features`.
    """
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="scale")(image)
    x = layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="stem_conv")(x)
    x = _batch_norm_relu(x, "stem_bn")
    block = 0
    for repeats, kernel, stride, expansion, filters in STAGES:
        for repeat in range(repeats):
            x = _inverted_residual(x, kernel, stride if repeat == 0 else 1, expansion, filters, f"block{block}")
            block += 1
    x = layers.Conv2D(1280, 1, use_bias=False, name="head_conv")(x)
    return _batch_norm_relu(x, "head_bn", relu_name="features")


def load_weights(model: keras.Model) -> None:
    """Load the committed weights into `model`, except into a `classes` layer with another number of labels."""
    with np.load(EFFICIENTNET_LITE0, allow_pickle=False) as arrays:
        for layer in model.layers:
            values = [arrays.get(f"{layer.name}/{weight.name}") for weight in layer.weights]
            if layer.name == "classes" and values[0].shape != layer.weights[0].shape:
                continue
            layer.set_weights(values)


def _batch_norm_relu(x: keras.KerasTensor, name: str, relu_name: str | None = None) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=name)(x)
    return layers.ReLU(6, name=relu_name or name.replace("_bn", "_relu"))(x)


def _inverted_residual(
    x: keras.KerasTensor, kernel: int, stride: int, expansion: int, filters: int, name: str
) -> keras.KerasTensor:
    shortcut = x
    channels = x.shape[-1]
    if expansion != 1:
        x = layers.Conv2D(channels * expansion, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _batch_norm_relu(x, f"{name}_expand_bn")
    x = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv")(x)
    x = _batch_norm_relu(x, f"{name}_depthwise_bn")
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=f"{name}_project_bn")(x)
    return layers.Add(name=f"{name}_add")([shortcut, x]) if stride == 1 and channels == filters else x
