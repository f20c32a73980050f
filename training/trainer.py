"""Training: the small CNN from scratch, or a new last layer on frozen EfficientNet-Lite0 features."""

import sys
import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training import networks
from training.datasets import Dataset, Split
from training.progress import progress

INFERENCE_BATCH = 64  # images, for validation and prediction
CNN_LEARNING_RATE = 3e-3  # the peak; see train_cnn for the schedule
LAST_LAYER_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class TrainingResult:
    """A trained network.

    `history`: the learning curves `loss`, `accuracy`, `val_loss` and `val_accuracy`, one value for each epoch.
    `seconds`: the training time.
    """

    model: keras.Model
    history: dict[str, list[float]]
    seconds: float


def train_cnn(dataset: Dataset, epochs: int, batch_size: int) -> TrainingResult:
    """Train the small CNN from scratch on randomly mirrored and shifted images; keeps the best epoch's weights.

    The learning rate rises linearly for 10 % of the steps, then falls along a cosine.
    """
    started = time.monotonic()
    model = networks.cnn(dataset.size, len(dataset.labels), dataset.grey)
    batches = _augmented_batches(dataset.train, batch_size)
    steps = epochs * len(batches)
    rate = keras.optimizers.schedules.CosineDecay(
        CNN_LEARNING_RATE / 30,
        max(1, steps * 9 // 10),
        warmup_target=CNN_LEARNING_RATE,
        warmup_steps=steps // 10,
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-3)
    history = _fit(model, batches, _validation_batches(dataset.validation), epochs, optimizer)
    return TrainingResult(model, history, time.monotonic() - started)


def train_last_layer(dataset: Dataset, epochs: int, batch_size: int) -> TrainingResult:
    """Train a new last layer of EfficientNet-Lite0 on the features of each image and its mirror image.

    The backbone is frozen, so its features are computed once: an epoch takes less than a second and a few dozen photos
    are enough.
    """
    started = time.monotonic()
    model = networks.efficientnet_lite0(len(dataset.labels), dataset.size)
    backbone = keras.Model(model.input, model.get_layer("pooled").output)
    features = np.concatenate(
        [
            predict(backbone, dataset.train, "Computing features"),
            predict(backbone, _mirrored(dataset.train), "Computing features of mirrored images"),
        ]
    )
    classes = np.tile(dataset.train.classes, 2)
    validation_features = predict(backbone, dataset.validation, "Computing features of validation images")

    inputs = keras.Input(features.shape[1:])
    last_layer = keras.Model(inputs, model.get_layer("classes")(model.get_layer("dropout")(inputs)))
    batches = tf.data.Dataset.from_tensor_slices((features, classes)).shuffle(len(features)).batch(batch_size)
    validation = tf.data.Dataset.from_tensor_slices((validation_features, dataset.validation.classes))
    optimizer = keras.optimizers.Adam(LAST_LAYER_LEARNING_RATE)
    history = _fit(last_layer, batches, validation.batch(INFERENCE_BATCH), epochs, optimizer)
    return TrainingResult(model, history, time.monotonic() - started)


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, and use deterministic operations."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def predict(model: keras.Model, split: Split, description: str) -> np.ndarray:
    """Run `model` on all images of `split`; returns its output, float32 (n, ...): (n, labels) for a classifier.

    `description` begins the progress line.
    """
    signature = [tf.TensorSpec((None, *model.input.shape[1:]), tf.float32)]
    run = tf.function(lambda images: model(images, training=False), signature)  # a graph: 4 times as fast as eager mode
    starts = range(0, len(split), INFERENCE_BATCH)
    outputs = [
        run(split.rgb(start, start + INFERENCE_BATCH)).numpy()
        for start in progress(starts, description, f"batches of {INFERENCE_BATCH}")
    ]
    return np.concatenate(outputs)


def _mirrored(split: Split) -> Split:
    return Split(split.images[:, :, ::-1], split.classes)


def _augmented_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Return shuffled batches; each image is mirrored at random and each batch shifted at random."""
    shift = max(1, split.images.shape[2] // 28)  # pixels, in each direction

    def augment(images: tf.Tensor, classes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.cast(images, tf.float32)
        one_per_image = (tf.shape(images)[0], 1, 1, 1)
        images = tf.where(tf.random.uniform(one_per_image) < 0.5, tf.reverse(images, [2]), images)
        padded = tf.pad(images, [[0, 0], [shift, shift], [shift, shift], [0, 0]], "REFLECT")
        images = tf.image.random_crop(padded, tf.shape(images))  # one shift for the whole batch: ten times faster
        return _to_rgb(images), classes

    images = tf.data.Dataset.from_tensor_slices((split.images, split.classes))
    return images.shuffle(len(split)).batch(batch_size).map(augment).prefetch(2)


def _validation_batches(split: Split) -> tf.data.Dataset:
    batches = tf.data.Dataset.from_tensor_slices((split.images, split.classes)).batch(INFERENCE_BATCH)
    return batches.map(lambda images, classes: (_to_rgb(tf.cast(images, tf.float32)), classes)).prefetch(2)


def _to_rgb(images: tf.Tensor) -> tf.Tensor:
    return tf.repeat(images, 3, axis=3) if images.shape[3] == 1 else images


def _fit(
    model: keras.Model, train: tf.data.Dataset, validation: tf.data.Dataset, epochs: int, optimizer: keras.Optimizer
) -> dict[str, list[float]]:
    # XLA (jit_compile) takes seven times as long on a CPU for networks of this size.
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    best = BestWeights()
    verbose = 1 if sys.stdout.isatty() else 2  # a progress bar on a terminal, one line for each epoch in a log file
    history = model.fit(
        train, epochs=epochs, validation_data=validation, callbacks=[best], shuffle=False, verbose=verbose
    ).history
    best.restore(model)
    return {name: [float(value) for value in values] for name, values in history.items()}


class BestWeights(keras.callbacks.Callback):
    """Keep the weights of the epoch with the lowest validation loss."""

    def __init__(self) -> None:
        """Start without weights."""
        super().__init__()
        self.loss = float("inf")
        self.weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:  # noqa: ARG002 - Keras's signature
        """Copy the weights if this epoch's validation loss is the lowest so far."""
        if logs["val_loss"] < self.loss:
            self.loss, self.weights = logs["val_loss"], self.model.get_weights()

    def restore(self, model: keras.Model) -> None:
        """Set the weights of `model` to the kept ones; if every loss was NaN, the last epoch's weights stay."""
        if self.weights is not None:
            model.set_weights(self.weights)
