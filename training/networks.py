"""The Keras networks. Each ends in global average pooling and one dense layer, so class-activation maps are exact.

Input: RGB float32 (n, height, width, 3), 0-255; scaling is part of the network. Output: probabilities float32
(n, labels), 0-1. The layer before the pooling is named `features` and the dense layer `classes`; `export` needs both
names.
"""

import keras
import numpy as np
from keras import layers

from training import efficientnet
from training.datasets import LUMA


def cnn(size: tuple[int, int], labels: int, grey: bool = False) -> keras.Model:
    """Build a small VGG-like network to train from scratch; `size` is (height, width) in pixels.

    `grey` is for objects on a plain background: the network then uses only the absolute difference between a pixel's
    brightness and the mean brightness of the four corners. A network trained on grey objects on black gives the same
    output for the same objects on white.
    """
    image = keras.Input((*size, 3), name="image")
    x = layers.Rescaling(1 / 255, name="scale")(image)
    if grey:
        luma = layers.Dense(1, use_bias=False, trainable=False, name="luma")
        x = luma(x)
        luma.set_weights([np.array(LUMA, np.float32)[:, np.newaxis]])
        corners = x[:, :: size[0] - 1, :: size[1] - 1]
        x = keras.ops.abs(x - keras.ops.mean(corners, axis=(1, 2), keepdims=True))
    for block, (filters, convolutions) in enumerate(((32, 1), (64, 2), (128, 2))):
        if block:
            x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
        for i in range(convolutions):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"block{block}_conv{i}")(x)
            x = layers.BatchNormalization(momentum=0.9, name=f"block{block}_bn{i}")(x)
            last = block == 2 and i == convolutions - 1
            x = layers.ReLU(name="features" if last else f"block{block}_relu{i}")(x)
    return _classifier(image, x, labels, "cnn")


def efficientnet_lite0(labels: int, size: tuple[int, int] = (efficientnet.SIZE, efficientnet.SIZE)) -> keras.Model:
    """Build EfficientNet-Lite0 with ImageNet weights; `size` is (height, width) in pixels.

    With 1,000 labels the `classes` layer has ImageNet weights too; otherwise it is initialised at random.
    """
    image = keras.Input((*size, 3), name="image")
    model = _classifier(image, efficientnet.features(image), labels, "efficientnet-lite0")
    efficientnet.load_weights(model)
    return model


def _classifier(image: keras.KerasTensor, features: keras.KerasTensor, labels: int, name: str) -> keras.Model:
    pooled = layers.GlobalAveragePooling2D(name="pooled")(features)
    pooled = layers.Dropout(0.2, name="dropout")(pooled)
    probabilities = layers.Dense(labels, activation="softmax", name="classes")(pooled)
    return keras.Model(image, probabilities, name=name)
