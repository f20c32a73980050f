"""Pixels to probabilities and class-activation maps, by LiteRT. Knows no Flask."""

from contextlib import AbstractContextManager

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from app import bundle, images
from app.pool import Pool

_TOLERANCE = 0.05  # of the self-test: how far another CPU's arithmetic may move a probability


class Network:
    """One LiteRT interpreter. Not thread-safe: acquire it from the pool."""

    def __init__(self, loaded: bundle.Bundle):
        try:
            interpreter = Interpreter(model_path=str(loaded.path / bundle.MODEL), num_threads=1)
            self._classify = interpreter.get_signature_runner("serving_default")
            self.explains = "explain" in interpreter.get_signature_list()
            self._explain = interpreter.get_signature_runner("explain") if self.explains else None
            shape = tuple(self._classify.get_input_details()["image"]["shape"].tolist())
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise bundle.BundleError(f"{loaded.path / bundle.MODEL} cannot be run by LiteRT: {reason}") from error
        except KeyError as error:
            raise bundle.BundleError(f"{loaded.path / bundle.MODEL} has no input named {error}") from error
        wanted = (1, loaded.height, loaded.width, 3)
        if shape != wanted:  # LiteRT would reshape the graph and answer nonsense
            raise bundle.BundleError(f"{loaded.path / bundle.MODEL} takes {shape}, the card says {wanted}")

    def classify(self, pixels: Image.Image) -> np.ndarray:
        """RGB pixels of the model's size -> probabilities, float32 of shape (labels,)."""
        return self._classify(image=_tensor(pixels))["probabilities"][0]

    def explain(self, pixels: Image.Image, index: int) -> np.ndarray:
        """RGB pixels of the model's size -> class-activation map of class `index`, float32 of shape (rows, columns).

        Zhou et al., "Learning Deep Features for Discriminative Localization" (CVPR 2016): each feature map times the
        class's weight for it, summed. Exact for a network that ends in global average pooling and one dense layer.
        """
        return self._explain(image=_tensor(pixels), classes=np.array([index], np.int32))["maps"][0]


class Classifier:
    """A verified bundle and a pool of networks that run it."""

    def __init__(self, loaded: bundle.Bundle, networks: int = 1):
        """Load the networks and run the self-test. Raises BundleError where the graph does not fit the card."""
        self.bundle = loaded
        pool = [Network(loaded) for _ in range(networks)]
        self.explains = pool[0].explains
        self.default_top = min(5, len(loaded.labels))
        _self_test(loaded, pool[0])
        self._pool = Pool(pool)

    def acquire(self, timeout: float) -> AbstractContextManager[Network]:
        """Yield a network for exclusive use, waiting up to `timeout` seconds for one. Raises pool.BusyError."""
        return self._pool.acquire(timeout)


def _tensor(pixels: Image.Image) -> np.ndarray:
    """RGB picture -> float32 of shape (1, height, width, 3), values 0-255."""
    return np.asarray(pixels, np.float32)[np.newaxis]


def _self_test(loaded: bundle.Bundle, network: Network) -> None:
    """Run the first sample, or a grey picture where the bundle brings none, and compare with what the card expects."""
    where = loaded.path / bundle.MODEL
    sample = loaded.samples[0] if loaded.samples else None
    try:
        if sample:
            data = (loaded.path / sample["file"]).read_bytes()
            pixels = images.decode(data, loaded.width, loaded.height, loaded.resize).pixels
        else:
            pixels = Image.new("RGB", (loaded.width, loaded.height), "grey")
        probabilities = network.classify(pixels)
    except images.ImageError as error:
        raise bundle.BundleError(f"{loaded.path / sample['file']} cannot be used for the self-test: {error}") from error
    except (KeyError, ValueError, RuntimeError) as error:
        raise bundle.BundleError(f"{where} does not classify: {' '.join(str(error).split())}") from error
    if probabilities.shape != (len(loaded.labels),):
        raise bundle.BundleError(
            f"{where} has {probabilities.shape[-1]} outputs, but {loaded.path / bundle.LABELS} has "
            f"{len(loaded.labels)} labels: write the bundle again"
        )
    if not sample:
        return
    best = int(probabilities.argmax())
    found, expected = (loaded.labels[best], float(probabilities[best])), sample["expected"]
    if found[0] != expected["label"] or abs(found[1] - expected["probability"]) > _TOLERANCE:
        raise bundle.BundleError(
            f"{where} failed its self-test: {sample['file']} gives {found[0]} ({found[1]:.2f}), "
            f"the card expects {expected['label']} ({expected['probability']:.2f})"
        )
