"""The way out: from what the network gives to one probability for each label, inside the graph."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from training import TrainingError
from training.importing.graph import Graph

PASSING = ("RESHAPE", "SQUEEZE", "DEQUANTIZE", "QUANTIZE", "CAST")
_SAID = {
    "probabilities": "probabilities, as they are",
    "logits": "logits; a softmax was added",
    "independent": "a yes or no for each label by itself; the probabilities do not add up to 1",
    "sigmoid": "the second label's probability; the first gets the rest",
    "logit": "the second label's logit; a sigmoid was added, and the first label gets the rest",
}


@dataclass(frozen=True)
class Answers:
    """Which output holds the answers, and what they mean: a key of the words above."""

    number: int
    position: int
    meaning: str

    @property
    def said(self) -> str:
        """Say the meaning in words."""
        return _SAID[self.meaning]

    def read(self, outputs: list[np.ndarray]) -> np.ndarray:
        """Turn the original's outputs for one picture into probabilities, float64 (labels,)."""
        values = np.asarray(outputs[self.position], np.float64).reshape(-1)
        if self.meaning == "logits":
            powers = np.exp(values - values.max())
            return powers / powers.sum()
        if self.meaning == "logit":
            values = 1 / (1 + np.exp(-values))
        return np.array([1 - values[0], values[0]]) if len(values) == 1 else values


def find(graph: Graph, answers: Sequence[list[np.ndarray]], labels: int, where: str) -> Answers:
    """Find the output with one value a label, and what it means. `answers`: of the original, for some pictures."""
    shapes = [values.shape for values in answers[0]]
    fitting = [i for i, shape in enumerate(shapes) if _fits(shape, labels)]
    if len(fitting) != 1:
        shown = ", ".join(str(shape) for shape in shapes)
        if fitting:
            raise TrainingError(f"it has {len(shapes)} outputs ({shown}) and more than one fits: export it with one")
        counts = [int(np.prod(shape)) for shape in shapes if max(shape, default=1) == np.prod(shape)]
        if not counts:
            raise TrainingError(f"its output has the shape {shown}, not (1, labels): it is no classifier of pictures")
        if counts[0] == 1:
            raise TrainingError(f"it gives one value, yes or no, and {where} has {labels} labels: two are needed")
        raise TrainingError(f"it gives {counts[0]:,} values, and {where} has {labels:,} labels")
    position = fitting[0]
    number = int(graph.main.outputs[position])
    if graph.dtype(number) not in (np.float32, np.uint8, np.int8):
        raise TrainingError("its output is neither float32 nor quantised to 8 bits: export it with one that is")
    values = np.array([np.asarray(outputs[position], np.float64).reshape(-1) for outputs in answers])
    if not np.isfinite(values).all():
        raise TrainingError("it gives values that are no numbers (nan or inf) for ordinary pictures")
    last = _last_step(graph, number)
    if values.shape[1] == 1:
        return Answers(number, position, "sigmoid" if last == "LOGISTIC" else "logit")
    if last == "LOGISTIC":
        return Answers(number, position, "independent")
    sums_to_one = values.min() >= 0 and np.abs(values.sum(axis=1) - 1).max() < 0.02
    return Answers(number, position, "probabilities" if last == "SOFTMAX" or sums_to_one else "logits")


def build(graph: Graph, answers: Answers, labels: int) -> int:
    """Add the steps to probabilities, float32 (1, labels), after the network's output; returns their number."""
    current = answers.number
    own = 1 if answers.meaning in ("sigmoid", "logit") else labels
    if graph.dtype(current) != np.float32:
        kind, options = ("DEQUANTIZE", schema.DequantizeOptionsT())
        if graph.quantization(current) is None:
            kind, options = "CAST", schema.CastOptionsT(graph.tensor(current).type, schema.TensorType.FLOAT32)
        current = graph.add(kind, [current], graph.add_tensor("answers/float", graph.shape(current)), options)
    if graph.shape(current) != (1, own):
        shape = np.array([1, own], np.int32)
        constant = graph.add_constant("answers/shape", shape)
        flat = graph.add_tensor("answers/flat", (1, own))
        current = graph.add("RESHAPE", [current, constant], flat, schema.ReshapeOptionsT(newShape=shape))
    if answers.meaning == "logit":
        current = graph.add("LOGISTIC", [current], graph.add_tensor("answers/sigmoid", (1, 1)))
    if own == 1:  # (p,) to (1 - p, p)
        weights = graph.add_constant("answers/signs", np.array([[-1], [1]], np.float32))
        bias = graph.add_constant("answers/rest", np.array([1, 0], np.float32))
        both = graph.add_tensor("answers/both", (1, 2))
        current = graph.add("FULLY_CONNECTED", [current, weights, bias], both, schema.FullyConnectedOptionsT())
    if answers.meaning == "logits":
        softmax = graph.add_tensor("answers/softmax", (1, labels))
        current = graph.add("SOFTMAX", [current], softmax, schema.SoftmaxOptionsT(beta=1.0))
    return current


def _fits(shape: tuple[int, ...], labels: int) -> bool:
    count = int(np.prod(shape))
    return max(shape, default=1) == count and (count == labels or (count == 1 and labels == 2))


def _last_step(graph: Graph, number: int) -> str:
    operator = graph.producer(number)
    while operator is not None and graph.kind(operator) in PASSING:
        operator = graph.producer(operator.inputs[0])
    return "" if operator is None else graph.kind(operator)
