"""The signature `explain`, where the graph ends in global average pooling and one dense layer.

Such a graph's class-activation map is exact, see `training.export`, whose signature this is. In a LiteRT graph the
pooling is MEAN or AVERAGE_POOL_2D, and the dense layer FULLY_CONNECTED or a 1x1 CONV_2D.
"""

from typing import NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from training.importing.answers import PASSING
from training.importing.graph import Graph


class Ending(NamedTuple):
    """`features`: the tensor (1, rows, columns, channels) that is pooled. `kernel`: float32 (outputs, channels).

    `weights` is the kernel's own tensor, where it is float32 in the graph already.
    """

    features: int
    kernel: np.ndarray
    weights: int | None


def find(graph: Graph, output: int) -> Ending | None:
    """Follow the graph back from the network's output to the pooled features; None where it does not end so."""
    skipped = (*PASSING, "SOFTMAX", "LOGISTIC")
    operator = graph.producer(output)
    while operator is not None and graph.kind(operator) in skipped:
        operator = graph.producer(operator.inputs[0])
    if operator is not None and graph.kind(operator) == "ADD" and graph.constant(operator.inputs[1]) is not None:
        operator = graph.producer(operator.inputs[0])  # the bias
    if operator is None or graph.kind(operator) not in ("FULLY_CONNECTED", "CONV_2D"):
        return None
    if operator.builtinOptions.fusedActivationFunction != schema.ActivationFunctionType.NONE:
        return None
    kernel = graph.constant(operator.inputs[1])
    if kernel is None or kernel.shape[1:-1] not in ((), (1, 1)):
        return None
    weights = int(operator.inputs[1]) if graph.dtype(operator.inputs[1]) == np.float32 else None
    kernel = kernel.reshape(kernel.shape[0], -1).astype(np.float32)
    operator = graph.producer(operator.inputs[0])
    while operator is not None and graph.kind(operator) in PASSING:
        operator = graph.producer(operator.inputs[0])
    if operator is None or not _pools_everything(graph, operator):
        return None
    features = int(operator.inputs[0])
    known = graph.dtype(features) in (np.float32, np.uint8, np.int8)
    return Ending(features, kernel, weights) if known and graph.shape(features)[3] == kernel.shape[1] else None


def build(graph: Graph, ending: Ending, image: int, probabilities: int) -> None:
    """Add a second subgraph: the picture and a class -> maps float32 (1, rows, columns), and the probabilities."""
    kernel, weights = ending.kernel, ending.weights
    if len(kernel) == 1:  # one output, two labels: what speaks for one speaks against the other
        kernel, weights = np.concatenate([-kernel, kernel]), None
    twin = graph.branch()
    _, rows, columns, channels = twin.shape(ending.features)
    classes = twin.add_tensor("classes", (1,), np.int32)
    features = ending.features
    if twin.dtype(features) != np.float32:
        real = twin.add_tensor("explain/features", twin.shape(features))
        features = twin.add("DEQUANTIZE", [features], real, schema.DequantizeOptionsT())
    if weights is None:
        weights = twin.add_constant("explain/kernel", kernel)
    chosen = twin.add_tensor("explain/chosen", (1, *twin.shape(weights)[1:]))
    twin.add("GATHER", [weights, classes], chosen, schema.GatherOptionsT(axis=0))
    shape = np.array([1, 1, 1, channels], np.int32)
    factors = twin.add_tensor("explain/factors", (1, 1, 1, channels))
    options = schema.ReshapeOptionsT(newShape=shape)
    twin.add("RESHAPE", [chosen, twin.add_constant("explain/shape", shape)], factors, options)
    weighted = twin.add_tensor("explain/weighted", (1, rows, columns, channels))
    twin.add("MUL", [features, factors], weighted, schema.MulOptionsT())
    axis = twin.add_constant("explain/axis", np.array([3], np.int32))
    maps = twin.add_tensor("explain/maps", (1, rows, columns))
    twin.add("SUM", [weighted, axis], maps, schema.ReducerOptionsT(keepDims=False))
    twin.sign("explain", {"image": image, "classes": classes}, {"maps": maps, "probabilities": probabilities})


def _pools_everything(graph: Graph, operator: schema.OperatorT) -> bool:
    shape = graph.shape(operator.inputs[0])
    if len(shape) != 4:
        return False
    if graph.kind(operator) == "MEAN":
        axes = graph.constant(operator.inputs[1])
        return axes is not None and sorted(int(axis) % 4 for axis in axes.reshape(-1)) == [1, 2]
    options = operator.builtinOptions
    return graph.kind(operator) == "AVERAGE_POOL_2D" and (options.filterHeight, options.filterWidth) == shape[1:3]
