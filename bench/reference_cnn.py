"""Write a bundle of the reference CNN to the folder OUT: `python -m bench.reference_cnn OUT`.

The network has four 3x3 convolutions with 32, 64, 128 and 128 filters, each with batch normalisation, ReLU and 2x2 max
pooling, then global average pooling and a dense layer with 10 classes: 243,000 parameters for images of 96x96 pixels,
as in an introductory tutorial. The weights are random, because only the speed matters. They are generated from a fixed
seed, so that the answers of all servers can be compared. OUT/model.keras is the Keras network; `train.py --import`
converts it to the other files.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
from keras import layers

TRAIN = Path(__file__).parent.parent / "train.py"
SIDE, CLASSES, SEED = 96, 10, 1
FILTERS = (32, 64, 128, 128)


def network() -> keras.Model:
    """Build the network: RGB float32 (n, 96, 96, 3), 0-255 -> probabilities float32 (n, 10)."""
    keras.utils.set_random_seed(SEED)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 255, name="scale")(image)
    for block, filters in enumerate(FILTERS):
        x = layers.Conv2D(filters, 3, padding="same", name=f"conv{block}")(x)
        x = layers.BatchNormalization(name=f"norm{block}")(x)
        x = layers.ReLU(name=f"relu{block}")(x)
        x = layers.MaxPooling2D(name=f"pool{block}")(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    # Ten times the usual spread gives a clear winner that rounding errors cannot change.
    spread = keras.initializers.VarianceScaling(100.0, "fan_avg")
    return keras.Model(image, layers.Dense(CLASSES, "softmax", kernel_initializer=spread, name="classes")(x))


def write(folder: Path) -> int:
    """Write the bundle to `folder` and return train.py's exit code."""
    with TemporaryDirectory() as temporary:
        model, labels = Path(temporary) / "reference-cnn.keras", Path(temporary) / "labels.txt"
        network().save(model)
        labels.write_text("".join(f"class {number}\n" for number in range(CLASSES)))
        command = [sys.executable, str(TRAIN), "--import", str(model), "--labels", str(labels)]
        return subprocess.run([*command, "--out", str(folder.resolve())], check=False).returncode


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m bench.reference_cnn OUT")
    sys.exit(write(Path(sys.argv[1])))
