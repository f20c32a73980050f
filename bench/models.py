"""The models that are measured: a name, the bundle to serve, and the Keras file for the peer that needs one."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from bench import CACHE, ROOT

# The committed bundle has no Keras file: this builds the network again from the weights in this repository.
_IMAGENET = "import sys; from training.networks import efficientnet_lite0; efficientnet_lite0(1000).save(sys.argv[1])"


class Model(NamedTuple):
    name: str
    bundle: Path
    keras: Path | None = None


def prepare() -> list[Model]:
    """Return the reference CNN and the ImageNet bundle of the repository; make the missing files."""
    CACHE.mkdir(exist_ok=True)
    reference, imagenet = CACHE / "reference-cnn", CACHE / "imagenet.keras"
    if not (reference / "model.json").is_file():
        print("Making the reference CNN (about 20 s) ...", flush=True)
        _python("-m", "bench.reference_cnn", str(reference))
    if not imagenet.is_file():
        print("Making EfficientNet-Lite0 as a Keras file (about 20 s) ...", flush=True)
        _python("-c", _IMAGENET, str(imagenet))
    return [
        Model("reference-cnn", reference, reference / "model.keras"),
        Model("imagenet", ROOT / "model" / "imagenet", imagenet),
    ]


def _python(*arguments: str) -> None:
    """Run Python in a separate process, so that TensorFlow's threads and memory do not affect the measurements."""
    run = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"cannot make a model to measure:\n{run.stderr.strip()[-2000:]}")
