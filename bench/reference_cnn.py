"""Write the bundle of the reference CNN: `python -m bench.reference_cnn OUT`.

Four 3x3 convolutions of 32, 64, 128 and 128 filters at 96 pixels, each with batch normalisation, ReLU and 2x2 max
pooling, then global average pooling and 10 classes: 243,000 parameters, what a first tutorial builds. Its weights are
random, for only its speed is of interest; they come from a seed, so that every server can be held to the same answer.
"""

import sys
from pathlib import Path

import keras
from keras import layers

from app import bundle
from training import export

SIDE, CLASSES = 96, 10


def network() -> keras.Model:
    """Build it; `features` and `classes` are the layer names that training/export.py wants."""
    keras.utils.set_random_seed(1)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 255, name="scale")(image)
    for block, filters in enumerate((32, 64, 128, 128)):
        x = layers.Conv2D(filters, 3, padding="same", name=f"conv{block}")(x)
        x = layers.BatchNormalization(name=f"norm{block}")(x)
        x = layers.ReLU(name=f"relu{block}")(x)
        x = layers.MaxPooling2D(name="features" if block == 3 else f"pool{block}")(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    # Ten times the usual spread: a sure answer, which a rounding error does not turn into another one.
    spread = keras.initializers.VarianceScaling(100.0, "fan_avg")
    return keras.Model(image, layers.Dense(CLASSES, "softmax", kernel_initializer=spread, name="classes")(x))


def write(folder: Path) -> None:
    model = network()
    with bundle.writing(folder) as staged:
        (staged / bundle.MODEL).write_bytes(export.to_litert(model, "float32"))
        (staged / bundle.LABELS).write_text("".join(f"class {number}\n" for number in range(CLASSES)))
        model.save(staged / "model.keras")
        card = {
            "name": "reference-cnn",
            "input": {"height": SIDE, "width": SIDE},
            "resize": "stretch",
            "labels": CLASSES,
            "samples": [],
        }
        bundle.write_card(staged, card)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
