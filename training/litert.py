"""Run an exported model with LiteRT, as the server does."""

from collections.abc import Callable

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from training.stderr_capture import capture_stderr


def load_classifier(model: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Load the content of `model.tflite` on one thread.

    Returns a function from an image, float32 or uint8 (1, height, width, 3), RGB, 0-255, to its probabilities, float32
    (labels,).
    """
    with capture_stderr():
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()  # LiteRT prints a notice about its CPU kernels here
        run = interpreter.get_signature_runner("serving_default")

    def classify(image: np.ndarray) -> np.ndarray:
        probabilities: np.ndarray = run(image=image.astype(np.float32))["probabilities"][0]
        return probabilities

    return classify
