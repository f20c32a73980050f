"""Run the model with LiteRT: pixels to probabilities and class-activation maps. Independent of Flask."""

from contextlib import AbstractContextManager

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from app import images
from app.bundle import LABELS, MODEL, Bundle, BundleError
from app.pool import Pool

_TOLERANCE = 0.05  # difference of the self-test's probability, because CPUs round differently


class Network:
    """One LiteRT interpreter. Not thread-safe: acquire it from the pool."""

    def __init__(self, bundle: Bundle):
        """Load the bundle's model. Raises BundleError if LiteRT cannot run it, or if its input is not the card's."""
        path = bundle.path / MODEL
        try:
            interpreter = Interpreter(model_path=str(path), num_threads=1)
            self._classify = interpreter.get_signature_runner("serving_default")
            self.explains = "explain" in interpreter.get_signature_list()
            if self.explains:
                self._explain = interpreter.get_signature_runner("explain")
            shape = tuple(self._classify.get_input_details()["image"]["shape"].tolist())
        except ValueError as error:
            raise BundleError(f"{path} cannot be run by LiteRT: {_one_line(error)}") from error
        except KeyError as error:
            raise BundleError(f"{path} has no input named {error}") from error
        expected = (1, bundle.height, bundle.width, 3)
        if shape != expected:  # LiteRT would reshape the graph and return wrong probabilities
            raise BundleError(f"{path} takes {shape}, the card says {expected}")

    def classify(self, pixels: Image.Image) -> np.ndarray:
        """RGB pixels of the model's size -> probabilities, float32 of shape (labels,)."""
        return self._classify(image=_tensor(pixels))["probabilities"][0]

    def explain(self, pixels: Image.Image, index: int) -> np.ndarray:
        """RGB pixels of the model's size -> class-activation map of class `index`, float32 of shape (rows, columns).

        Call it only if `explains` is true.

        Zhou et al., "Learning Deep Features for Discriminative Localization" (CVPR 2016): each feature map times the
        class's weight for it, summed. Exact for a network that ends in global average pooling and one dense layer.
        """
        return self._explain(image=_tensor(pixels), classes=np.array([index], np.int32))["maps"][0]


class Classifier:
    """A verified bundle and a pool of networks that run it."""

    def __init__(self, bundle: Bundle, networks: int = 1):
        """Load the networks and run the self-test. Raises BundleError if the model does not fit the card."""
        self.bundle = bundle
        pool = [Network(bundle) for _ in range(networks)]
        self.explains = pool[0].explains
        self.default_top = min(5, len(bundle.labels))
        _self_test(bundle, pool[0])
        self._pool = Pool(pool)

    def acquire(self, timeout: float) -> AbstractContextManager[Network]:
        """Yield a network for exclusive use, waiting up to `timeout` seconds for one. Raises pool.BusyError."""
        return self._pool.acquire(timeout)


def _tensor(pixels: Image.Image) -> np.ndarray:
    """RGB image -> float32 of shape (1, height, width, 3), values 0-255."""
    return np.asarray(pixels, np.float32)[np.newaxis]


def _self_test(bundle: Bundle, network: Network) -> None:
    """Classify the first sample and compare with the card. Raises BundleError if the results differ.

    For a bundle without samples, a grey image is classified, and only the number of outputs is checked.
    """
    path = bundle.path / MODEL
    sample = bundle.samples[0] if bundle.samples else None
    try:
        probabilities = network.classify(_sample_pixels(bundle, sample))
    except (KeyError, ValueError, RuntimeError) as error:
        raise BundleError(f"{path} cannot classify an image: {_one_line(error)}") from error
    if probabilities.shape != (len(bundle.labels),):
        raise BundleError(
            f"{path} has {probabilities.shape[-1]} outputs, but {bundle.path / LABELS} has "
            f"{len(bundle.labels)} labels: write the bundle again"
        )
    if sample is None:
        return
    index = int(probabilities.argmax())
    label, probability = bundle.labels[index], float(probabilities[index])
    expected = sample["expected"]
    if label != expected["label"] or abs(probability - expected["probability"]) > _TOLERANCE:
        raise BundleError(
            f"{path} failed its self-test: {sample['file']} gives {label} ({probability:.2f}), "
            f"the card expects {expected['label']} ({expected['probability']:.2f})"
        )


def _sample_pixels(bundle: Bundle, sample: dict | None) -> Image.Image:
    if sample is None:
        return Image.new("RGB", (bundle.width, bundle.height), "grey")
    path = bundle.path / sample["file"]
    try:
        return images.decode(path.read_bytes(), bundle.width, bundle.height, bundle.resize).pixels
    except images.ImageError as error:
        raise BundleError(f"{path} cannot be used for the self-test: {error}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
