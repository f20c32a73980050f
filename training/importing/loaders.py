"""A model as it was made elsewhere, brought to LiteRT, with the means to ask the original for its own answer."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from training import TrainingError
from training.importing import entrance, provenance, ranges
from training.importing.graph import Graph
from training.importing.running import interpreter
from training.quiet import quiet

_KINDS = {"Mul": "MUL", "AddV2": "ADD", "Add": "ADD", "BiasAdd": "ADD", "Sub": "SUB", "RealDiv": "DIV"}
_PASSING = ("Identity", "Cast", "StopGradient")


@dataclass(frozen=True)
class Original:
    """`litert`: the same network as LiteRT, nothing added. `layout`: the shape of its input, for one picture.

    `predict` takes what that input takes, and gives what each of its outputs gives. `first_steps` is the value range
    that its first operators speak for, where they do and LiteRT's no longer show it.
    """

    litert: bytes
    layout: tuple[int, ...]
    predict: Callable[[np.ndarray], list[np.ndarray]]
    first_steps: str | None
    facts: dict


def load(path: Path, side: int | None) -> Original:
    """Load a Keras file, SavedModel folder or .tflite. Raises TrainingError with the reason where LiteRT cannot run it.

    `side` is the picture's width and height in pixels where the model leaves them open.
    """
    try:
        with quiet():
            if path.is_dir():
                return _saved_model(path, side)
            return _litert(path, side) if path.suffix.lower() == ".tflite" else _keras(path, side)
    except TrainingError as error:
        raise TrainingError(f"--import {path}: {error}") from error


def _keras(path: Path, side: int | None) -> Original:
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises all kinds
        raise TrainingError(_keras_reason(str(error))) from error
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple):
        what = f"has {len(shape)} inputs" if isinstance(shape, list | dict) else "was saved without its input's shape"
        raise TrainingError(f"it {what}: a classifier here takes one picture")
    facts = {"form": "Keras file", "made_with": provenance.keras_version(path), "sha256": provenance.sha256(path)}
    return _converted(lambda image: model(image, training=False), shape, tf.float32, side, facts, model)


def _saved_model(path: Path, side: int | None) -> Original:
    try:
        loaded = tf.saved_model.load(path)
    except Exception as error:
        raise TrainingError(f"no SavedModel can be read there: {_line(error)}") from error
    signatures = dict(loaded.signatures)
    if not signatures:
        raise TrainingError("the SavedModel has no signature: save it by model.export(), which gives it one")
    if "serving_default" not in signatures and len(signatures) > 1:
        raise TrainingError(f"the SavedModel has no signature serving_default, only {', '.join(sorted(signatures))}")
    signature = signatures.get("serving_default") or next(iter(signatures.values()))
    inputs = signature.structured_input_signature[1]
    if len(inputs) != 1:
        raise TrainingError(
            f"it has {len(inputs)} inputs ({', '.join(sorted(inputs))}): a classifier takes one picture"
        )
    ((name, spec),) = inputs.items()
    if spec.dtype == tf.string:
        raise TrainingError(f"its input {name!r} takes encoded pictures (strings): export one that takes pixels")
    if spec.shape.rank is None:
        raise TrainingError(f"its input {name!r} has no shape: export it with one, such as (None, 224, 224, 3)")
    facts = {
        "form": "SavedModel",
        "made_with": f"TensorFlow {loaded.tensorflow_version}",
        "sha256": provenance.sha256(path),
    }
    return _converted(lambda image: signature(**{name: image}), tuple(spec.shape), spec.dtype, side, facts, loaded)


def _litert(path: Path, side: int | None) -> Original:
    content = path.read_bytes()
    interpreter(content)
    graph = Graph(content)
    content = graph.pack()
    inputs = interpreter(content).get_input_details()
    if len(inputs) != 1:
        raise TrainingError(f"it has {len(inputs)} inputs: a classifier here takes one picture")
    signature = inputs[0]["shape_signature"]
    layout = entrance.layout(tuple(int(size) for size in (signature if len(signature) else inputs[0]["shape"])), side)
    facts = {"form": "LiteRT file", "made_with": graph.maker(), "sha256": provenance.sha256(path)}
    return Original(content, layout, _litert_predict(content, layout), None, facts)


def _litert_predict(content: bytes, layout: tuple[int, ...]) -> Callable[[np.ndarray], list[np.ndarray]]:
    loaded = interpreter(content, layout)
    first, outputs = loaded.get_input_details()[0], loaded.get_output_details()

    def predict(image: np.ndarray) -> list[np.ndarray]:
        loaded.set_tensor(first["index"], image)
        loaded.invoke()
        found = []
        for output in outputs:
            values, (scale, zero) = loaded.get_tensor(output["index"]), output["quantization"]
            found.append((values.astype(np.float32) - zero) * scale if scale else values)
        return found

    return predict


def _converted(call: Callable, shape: tuple, dtype: tf.DType, side: int | None, facts: dict, owner: object) -> Original:
    """Trace `call` for one picture, turn its variables into constants and convert it."""
    layout = entrance.layout(shape, side)

    def flat(image: tf.Tensor) -> list[tf.Tensor]:
        return [tf.identity(output) for output in tf.nest.flatten(call(image))]

    try:
        traced = tf.function(flat, [tf.TensorSpec(layout, dtype, "image")]).get_concrete_function()
        frozen = convert_variables_to_constants_v2(traced)
    except Exception as error:
        raise TrainingError(f"it cannot be traced for a picture of {layout}: {_line(error)}") from error
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], owner)
    try:
        content = converter.convert()
    except ConverterError as error:
        raise TrainingError(f"LiteRT cannot run it: {_converter_reason(str(error))}") from error
    interpreter(content)
    return Original(
        content, layout, lambda image: [output.numpy() for output in traced(image)], _first_steps(frozen), facts
    )


def _first_steps(frozen: tf.types.experimental.ConcreteFunction) -> str | None:
    """Name the value range that the first operators speak for; the converter may merge them into later ones."""
    steps, current = ranges.FirstSteps(), frozen.inputs[0]
    while True:
        followers = [operation for operation in current.consumers() if operation.type not in ("Shape", "NoOp")]
        if len(followers) != 1:
            break
        operation = followers[0]
        if operation.type not in _PASSING:
            others = [tensor for tensor in operation.inputs if tensor is not current]
            constant = _constant(others[0]) if len(others) == 1 else None
            if not steps.take(_KINDS.get(operation.type, ""), constant, operation.inputs[0] is not current):
                break
        current = operation.outputs[0]
    return steps.range()


def _constant(tensor: tf.Tensor) -> np.ndarray | None:
    while tensor.op.type in _PASSING:
        tensor = tensor.op.inputs[0]
    return tf.get_static_value(tensor)


def _keras_reason(message: str) -> str:
    if "Lambda" in message and "code execution" in message:
        return "it holds a Lambda layer, which is Python code that loading would run: import its model.export() instead"
    if found := re.search(r"Could not locate class '(\w+)'|Unknown layer: '(\w+)'", message):
        name = found[1] or found[2]
        return f"it is built with the class {name}, which Keras does not have: import its model.export() instead"
    if "No model config found" in message:
        return "it holds weights only: save the whole model, by model.save()"
    return f"Keras {keras.__version__} cannot read it: {_line(message)}"


def _converter_reason(message: str) -> str:
    found = re.findall(r"^(?:TF Select|Custom) ops: (.*)$", message, re.MULTILINE)
    names = sorted({name.strip() for line in found for name in line.split(",")})
    return f"it has no operator for {', '.join(names)}" if names else _line(message)


def _line(error: object) -> str:
    return " ".join(str(error).split())[:300]
