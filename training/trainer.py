"""Fitting: the small network from scratch, or a new last layer on frozen EfficientNet features."""

import sys
import time
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from training import networks
from training.datasets import Dataset, Split
from training.progress import progress

BATCH = 64  # pictures at a time wherever no gradient is taken
PEAK_RATE = 3e-3
HEAD_RATE = 1e-3


@dataclass(frozen=True)
class Fit:
    """A trained network, its learning curves (loss, accuracy, val_loss, val_accuracy: a value an epoch), the time."""

    model: keras.Model
    history: dict[str, list[float]]
    seconds: float


def from_scratch(dataset: Dataset, epochs: int, batch_size: int) -> Fit:
    """Train the small CNN on the pictures, mirrored and shifted at random; the best epoch's weights are kept."""
    started = time.monotonic()
    model = networks.cnn(dataset.size, len(dataset.labels), dataset.grey)
    batches = _augmented(dataset.train, batch_size)
    steps = epochs * len(batches)
    rate = keras.optimizers.schedules.CosineDecay(
        PEAK_RATE / 30, max(1, steps * 9 // 10), warmup_target=PEAK_RATE, warmup_steps=steps // 10
    )
    history = _fit(
        model, batches, _batches(dataset.validation), epochs, keras.optimizers.AdamW(rate, weight_decay=1e-3)
    )
    return Fit(model, history, time.monotonic() - started)


def on_frozen_features(dataset: Dataset, epochs: int, batch_size: int) -> Fit:
    """Train a new last layer on the features that EfficientNet-Lite0 finds in each picture and its mirror image.

    The features are computed once, so that an epoch takes a moment and a few dozen photos are enough.
    """
    started = time.monotonic()
    model = networks.efficientnet_lite0(len(dataset.labels), dataset.size)
    pooled = keras.Model(model.input, model.get_layer("pooled").output)
    train = np.concatenate([_features(pooled, dataset.train, mirror) for mirror in (False, True)])
    validation = _features(pooled, dataset.validation, mirror=False)

    entry = keras.Input(train.shape[1:])
    head = keras.Model(entry, model.get_layer("classes")(model.get_layer("dropout")(entry)))
    batches = tf.data.Dataset.from_tensor_slices((train, np.tile(dataset.train.classes, 2)))
    batches = batches.shuffle(len(train)).batch(batch_size)
    held_out = tf.data.Dataset.from_tensor_slices((validation, dataset.validation.classes)).batch(BATCH)
    history = _fit(head, batches, held_out, epochs, keras.optimizers.Adam(HEAD_RATE))
    return Fit(model, history, time.monotonic() - started)


def set_seed(seed: int) -> None:
    """Make Python, NumPy and TensorFlow repeat themselves."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def probabilities(model: keras.Model, split: Split, what: str) -> np.ndarray:
    """Classify the pictures: float32 (n, labels); or, for a model that ends earlier, whatever it gives."""
    starts = range(0, len(split), BATCH)
    outputs = [
        model(split.rgb(start, start + BATCH), training=False).numpy()
        for start in progress(starts, what, f"batches of {BATCH}")
    ]
    return np.concatenate(outputs)


def _features(pooled: keras.Model, split: Split, mirror: bool) -> np.ndarray:
    """Return the pooled features of the pictures: float32 (n, 1280)."""
    images = split.images[:, :, ::-1] if mirror else split.images
    return probabilities(
        pooled,
        Split(images, split.classes),
        "Computing features of the mirrored pictures," if mirror else "Computing features,",
    )


def _augmented(split: Split, batch_size: int) -> tf.data.Dataset:
    """Return shuffled batches, each picture mirrored and each batch shifted at random."""
    shift = max(1, split.images.shape[2] // 28)

    def augment(images: tf.Tensor, classes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.cast(images, tf.float32)
        each = (tf.shape(images)[0], 1, 1, 1)
        images = tf.where(tf.random.uniform(each) < 0.5, tf.reverse(images, [2]), images)
        padded = tf.pad(images, [[0, 0], [shift, shift], [shift, shift], [0, 0]], "REFLECT")
        images = tf.image.random_crop(padded, tf.shape(images))  # one shift for the whole batch: ten times faster
        return _as_rgb(images), classes

    pictures = tf.data.Dataset.from_tensor_slices((split.images, split.classes))
    return pictures.shuffle(len(split)).batch(batch_size).map(augment).prefetch(2)


def _batches(split: Split) -> tf.data.Dataset:
    pictures = tf.data.Dataset.from_tensor_slices((split.images, split.classes)).batch(BATCH)
    return pictures.map(lambda images, classes: (_as_rgb(tf.cast(images, tf.float32)), classes)).prefetch(2)


def _as_rgb(images: tf.Tensor) -> tf.Tensor:
    return tf.repeat(images, 3, axis=3) if images.shape[3] == 1 else images


def _fit(
    model: keras.Model, train: tf.data.Dataset, validation: tf.data.Dataset, epochs: int, optimizer: keras.Optimizer
) -> dict[str, list[float]]:
    # XLA (jit_compile) takes seven times as long on a CPU for networks of this size.
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    best = BestWeights()
    verbose = 1 if sys.stdout.isatty() else 2  # a bar on a terminal, a line an epoch in a log file
    history = model.fit(
        train, epochs=epochs, validation_data=validation, callbacks=[best], shuffle=False, verbose=verbose
    ).history
    best.restore(model)
    return {name: [float(value) for value in values] for name, values in history.items()}


class BestWeights(keras.callbacks.Callback):
    """Remembers the weights of the epoch with the lowest validation loss."""

    def __init__(self) -> None:
        """Start with none."""
        super().__init__()
        self.loss, self.weights = float("inf"), None

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:  # noqa: ARG002 - Keras's signature
        """Keep the weights if they are the best so far."""
        if logs["val_loss"] < self.loss:
            self.loss, self.weights = logs["val_loss"], self.model.get_weights()

    def restore(self, model: keras.Model) -> None:
        """Give `model` the best weights back."""
        if self.weights is not None:
            model.set_weights(self.weights)
