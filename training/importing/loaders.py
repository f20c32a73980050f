"""Load a Keras file, a SavedModel folder or a .tflite file, and convert it to LiteRT."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from training import TrainingError
from training.importing import input_adapter, provenance, value_ranges
from training.importing.graph import Graph
from training.importing.interpreter import load_interpreter
from training.stderr_capture import capture_stderr

_AFFINE_OPERATORS = {"Mul": "MUL", "AddV2": "ADD", "Add": "ADD", "BiasAdd": "ADD", "Sub": "SUB", "RealDiv": "DIV"}
_PASS_THROUGH = ("Identity", "Cast", "StopGradient")


@dataclass(frozen=True)
class SourceModel:
    """A loaded model.

    `litert`: the same network as a .tflite, with nothing added.
    `input_shape`: of its input for one image.
    `predict`: runs the original model; it takes a batch of one for that input and returns the value of each output.
    `input_range`: the value range that its first operators show, or None; the converter may merge these operators.
    `facts`: `form`, `made_with` and `sha256` of the card's field `imported`.
    """

    litert: bytes
    input_shape: tuple[int, ...]
    predict: Callable[[np.ndarray], list[np.ndarray]]
    input_range: str | None
    facts: dict[str, str]


def load(path: Path, image_size: int | None) -> SourceModel:
    """Load a model; `image_size` is its width and height in pixels if its input does not fix them.

    Raises TrainingError with the reason if the model cannot be read, has not exactly one image as its input, or cannot
    be converted to LiteRT.
    """
    try:
        with capture_stderr():
            if path.is_dir():
                return _load_saved_model(path, image_size)
            if path.suffix.lower() == ".tflite":
                return _load_litert(path, image_size)
            return _load_keras(path, image_size)
    except TrainingError as error:
        raise TrainingError(f"--import {path}: {error}") from error


def _load_keras(path: Path, image_size: int | None) -> SourceModel:
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types
        raise TrainingError(_keras_reason(str(error))) from error
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple):
        what = f"it has {len(shape)} inputs" if isinstance(shape, list | dict) else "its input shape was not saved"
        raise TrainingError(f"{what}; expected a classifier with one image as its input")
    facts = {"form": "Keras file", "made_with": provenance.keras_version(path), "sha256": provenance.sha256(path)}
    return _convert(lambda image: model(image, training=False), shape, tf.float32, image_size, facts, model)


def _load_saved_model(path: Path, image_size: int | None) -> SourceModel:
    try:
        loaded = tf.saved_model.load(path)
    except Exception as error:
        raise TrainingError(f"cannot read the SavedModel: {_one_line(error)}") from error
    signatures = dict(loaded.signatures)
    if not signatures:
        raise TrainingError("the SavedModel has no signature; save it with model.export(), which adds one")
    if "serving_default" not in signatures and len(signatures) > 1:
        found = ", ".join(sorted(signatures))
        raise TrainingError(f"the SavedModel has no signature serving_default; its signatures: {found}")
    signature = signatures.get("serving_default") or next(iter(signatures.values()))
    inputs = signature.structured_input_signature[1]
    if len(inputs) != 1:
        names = ", ".join(sorted(inputs))
        raise TrainingError(f"it has {len(inputs)} inputs ({names}); expected a classifier with one image as its input")
    ((name, spec),) = inputs.items()
    if spec.dtype == tf.string:
        raise TrainingError(f"its input {name!r} takes encoded images (strings); export it with pixels as its input")
    if spec.shape.rank is None:
        raise TrainingError(f"its input {name!r} has no shape; export it with one, such as (None, 224, 224, 3)")
    facts = {
        "form": "SavedModel",
        "made_with": f"TensorFlow {loaded.tensorflow_version}",
        "sha256": provenance.sha256(path),
    }
    return _convert(lambda image: signature(**{name: image}), tuple(spec.shape), spec.dtype, image_size, facts, loaded)


def _load_litert(path: Path, image_size: int | None) -> SourceModel:
    content = path.read_bytes()
    load_interpreter(content)  # before the file is parsed, because the error message has more detail
    graph = Graph(content)
    content = graph.serialize()
    inputs = load_interpreter(content).get_input_details()
    if len(inputs) != 1:
        raise TrainingError(f"it has {len(inputs)} inputs; expected a classifier with one image as its input")
    signature = inputs[0]["shape_signature"]
    declared = tuple(int(size) for size in (signature if len(signature) else inputs[0]["shape"]))
    shape = input_adapter.fix_shape(declared, image_size)
    facts = {"form": "LiteRT file", "made_with": graph.description(), "sha256": provenance.sha256(path)}
    return SourceModel(content, shape, _litert_predict(content, shape), None, facts)


def _litert_predict(content: bytes, shape: tuple[int, ...]) -> Callable[[np.ndarray], list[np.ndarray]]:
    interpreter = load_interpreter(content, shape)
    first, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()

    def predict(image: np.ndarray) -> list[np.ndarray]:
        interpreter.set_tensor(first["index"], image)
        interpreter.invoke()
        found = []
        for output in outputs:
            values, (scale, zero_point) = interpreter.get_tensor(output["index"]), output["quantization"]
            found.append((values.astype(np.float32) - zero_point) * scale if scale else values)
        return found

    return predict


def _convert(
    call: Callable, shape: tuple, dtype: tf.DType, image_size: int | None, facts: dict[str, str], trackable: Any
) -> SourceModel:
    """Trace `call` for one image, convert its variables to constants and the result to LiteRT.

    `trackable`: the object that owns the variables.
    """
    fixed = input_adapter.fix_shape(shape, image_size)

    def flat(image: tf.Tensor) -> list[tf.Tensor]:
        return [tf.identity(output) for output in tf.nest.flatten(call(image))]

    try:
        traced = tf.function(flat, [tf.TensorSpec(fixed, dtype, "image")]).get_concrete_function()
        frozen = convert_variables_to_constants_v2(traced)
    except Exception as error:
        raise TrainingError(f"it cannot be traced for an input of {fixed}: {_one_line(error)}") from error
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], trackable)
    try:
        content = converter.convert()
    except ConverterError as error:
        raise TrainingError(f"LiteRT cannot run it: {_converter_reason(str(error))}") from error
    load_interpreter(content)

    def predict(image: np.ndarray) -> list[np.ndarray]:
        return [output.numpy() for output in traced(image)]

    return SourceModel(content, fixed, predict, _range_from_first_operators(frozen), facts)


def _range_from_first_operators(frozen: tf.types.experimental.ConcreteFunction) -> str | None:
    """Return the value range if the function begins with its own scaling of the input; None otherwise."""
    chain, current = value_ranges.AffineChain(), frozen.inputs[0]
    while True:
        consumers = [operation for operation in current.consumers() if operation.type not in ("Shape", "NoOp")]
        if len(consumers) != 1:
            break
        operation = consumers[0]
        if operation.type not in _PASS_THROUGH:
            others = [tensor for tensor in operation.inputs if tensor is not current]
            constant = _constant(others[0]) if len(others) == 1 else None
            name = _AFFINE_OPERATORS.get(operation.type, "")
            if not chain.append(name, constant, constant_first=operation.inputs[0] is not current):
                break
        current = operation.outputs[0]
    return chain.input_range()


def _constant(tensor: tf.Tensor) -> np.ndarray | None:
    while tensor.op.type in _PASS_THROUGH:
        tensor = tensor.op.inputs[0]
    value: np.ndarray | None = tf.get_static_value(tensor)
    return value


def _keras_reason(message: str) -> str:
    if "Lambda" in message and "code execution" in message:
        return "it has a Lambda layer, which contains Python code; save it with model.export() and import that folder"
    if found := re.search(r"Could not locate class '(\w+)'|Unknown layer: '(\w+)'", message):
        name = found[1] or found[2]
        return f"it uses the custom class {name}; save it with model.export() and import that folder"
    if "No model config found" in message:
        return "it contains only weights; save the whole model with model.save()"
    return f"Keras {keras.__version__} cannot read it: {_one_line(message)}"


def _converter_reason(message: str) -> str:
    found = re.findall(r"^(?:TF Select|Custom) ops: (.*)$", message, re.MULTILINE)
    names = sorted({name.strip() for line in found for name in line.split(",")})
    return f"it has no operator for {', '.join(names)}" if names else _one_line(message)


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
