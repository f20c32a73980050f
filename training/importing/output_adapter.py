"""The output adapter: operators from the network's output to one probability for each label."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from training import TrainingError
from training.importing.graph import Graph

RESHAPING = ("RESHAPE", "SQUEEZE", "DEQUANTIZE", "QUANTIZE", "CAST")  # operators that keep the values as they are
DESCRIPTIONS = {
    "probabilities": "probabilities; used as they are",
    "logits": "logits; a softmax was added",
    "independent": "an independent probability for each label; they do not add up to 1",
    "sigmoid": "the probability of the second label; the first label gets the rest",
    "logit": "the logit of the second label; a sigmoid was added, and the first label gets the rest",
}


@dataclass(frozen=True)
class OutputAdapter:
    """The output that has the classification, and the kind of its values.

    `tensor`: its index in the graph. `position`: its position among the network's outputs. `kind`: a key of
    DESCRIPTIONS.
    """

    tensor: int
    position: int
    kind: str

    @property
    def description(self) -> str:
        """What the values are, as text for the card."""
        return DESCRIPTIONS[self.kind]

    def to_probabilities(self, outputs: list[np.ndarray]) -> np.ndarray:
        """Convert the network's outputs for one image to probabilities, float64 (labels,)."""
        values = np.asarray(outputs[self.position], np.float64).reshape(-1)
        if self.kind == "logits":
            powers = np.exp(values - values.max())
            return powers / powers.sum()
        if self.kind == "logit":
            values = 1 / (1 + np.exp(-values))
        return np.array([1 - values[0], values[0]]) if len(values) == 1 else values


def detect(graph: Graph, outputs: Sequence[list[np.ndarray]], labels: int, labels_file: str) -> OutputAdapter:
    """Find the output with one value for each label, and the kind of its values.

    `outputs`: for each of several images, the values of each of the network's outputs. `labels`: their number.
    Raises TrainingError if no output fits the labels, or more than one.
    """
    position = _find_position([values.shape for values in outputs[0]], labels, labels_file)
    index = int(graph.subgraph.outputs[position])
    if graph.dtype(index) not in (np.float32, np.uint8, np.int8):
        raise TrainingError(
            f"its output has the type {graph.type_name(index)}; expected float32, or uint8 or int8 if quantised"
        )
    values = np.array([np.asarray(of_image[position], np.float64).reshape(-1) for of_image in outputs])
    if not np.isfinite(values).all():
        raise TrainingError("its output is not finite (NaN or infinity) for ordinary images")
    return OutputAdapter(index, position, _kind(graph, index, values))


def append(graph: Graph, adapter: OutputAdapter, labels: int) -> int:
    """Add the operators from the network's output to probabilities, float32 (1, labels); returns their index."""
    current = adapter.tensor
    values = 1 if adapter.kind in ("sigmoid", "logit") else labels
    if graph.dtype(current) != np.float32:
        real = graph.add_tensor("output_adapter/float", graph.shape(current))
        if graph.quantization(current) is None:
            cast = schema.CastOptionsT(graph.tensor(current).type, schema.TensorType.FLOAT32)
            current = graph.add_operator("CAST", [current], real, cast)
        else:
            current = graph.add_operator("DEQUANTIZE", [current], real, schema.DequantizeOptionsT())
    if graph.shape(current) != (1, values):
        shape = np.array([1, values], np.int32)
        constant = graph.add_constant("output_adapter/shape", shape)
        flat = graph.add_tensor("output_adapter/flat", (1, values))
        current = graph.add_operator("RESHAPE", [current, constant], flat, schema.ReshapeOptionsT(newShape=shape))
    if adapter.kind == "logit":
        current = graph.add_operator("LOGISTIC", [current], graph.add_tensor("output_adapter/sigmoid", (1, 1)))
    if values == 1:  # (p,) to (1 - p, p)
        signs = graph.add_constant("output_adapter/signs", np.array([[-1], [1]], np.float32))
        bias = graph.add_constant("output_adapter/bias", np.array([1, 0], np.float32))
        both = graph.add_tensor("output_adapter/both", (1, 2))
        options = schema.FullyConnectedOptionsT()
        current = graph.add_operator("FULLY_CONNECTED", [current, signs, bias], both, options)
    if adapter.kind == "logits":
        softmax = graph.add_tensor("output_adapter/softmax", (1, labels))
        current = graph.add_operator("SOFTMAX", [current], softmax, schema.SoftmaxOptionsT(beta=1.0))
    return current


def _find_position(shapes: list[tuple[int, ...]], labels: int, labels_file: str) -> int:
    """Return the position of the only output that fits the labels."""
    positions = [position for position, shape in enumerate(shapes) if _fits(shape, labels)]
    if len(positions) == 1:
        return positions[0]
    shown = ", ".join(str(shape) for shape in shapes)
    if positions:
        raise TrainingError(
            f"more than one of its {len(shapes)} outputs ({shown}) fits the labels; export it with one output"
        )
    counts = [int(np.prod(shape)) for shape in shapes if _is_vector(shape)]
    if not counts:
        raise TrainingError(f"its output has the shape {shown}, not (1, labels); it is not an image classifier")
    if counts[0] == 1:
        raise TrainingError(f"its output has one value (yes or no), but {labels_file} has {labels} labels; expected 2")
    raise TrainingError(f"its output has {counts[0]:,} values, but {labels_file} has {labels:,} labels")


def _is_vector(shape: tuple[int, ...]) -> bool:
    return max(shape, default=1) == np.prod(shape)


def _fits(shape: tuple[int, ...], labels: int) -> bool:
    count = int(np.prod(shape))
    return _is_vector(shape) and (count == labels or (count == 1 and labels == 2))


def _kind(graph: Graph, index: int, values: np.ndarray) -> str:
    """Return the kind of an output's values, from the graph's last operator and the values, (images, outputs)."""
    operator = graph.first_producer_not_in(RESHAPING, index)
    last = "" if operator is None else graph.operator_name(operator)
    if values.shape[1] == 1:
        return "sigmoid" if last == "LOGISTIC" else "logit"
    if last == "LOGISTIC":
        return "independent"
    adds_up_to_one = values.min() >= 0 and np.abs(values.sum(axis=1) - 1).max() < 0.02
    return "probabilities" if last == "SOFTMAX" or adds_up_to_one else "logits"
