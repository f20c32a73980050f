"""The signature `explain`, for a graph that ends in global average pooling and one dense layer.

The class-activation map of such a graph is exact; see `training.export`, which adds the same signature to networks
trained here. In a LiteRT graph the pooling is MEAN or AVERAGE_POOL_2D, and the dense layer FULLY_CONNECTED or a 1x1
CONV_2D.
"""

from typing import NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from training.importing.graph import Graph
from training.importing.output_adapter import RESHAPING


class ClassifierHead(NamedTuple):
    """Global average pooling and one dense layer at the end of a graph.

    `features`: the index of the tensor (1, rows, columns, channels) that is pooled.
    `kernel`: the dense layer's weights, float32 (outputs, channels).
    `kernel_tensor`: their index if they are float32 in the graph, else None.
    """

    features: int
    kernel: np.ndarray
    kernel_tensor: int | None


def find(graph: Graph, output: int) -> ClassifierHead | None:
    """Follow the graph back from the network's output tensor to the pooled features; None if it has no such head."""
    dense = graph.first_producer_not_in((*RESHAPING, "SOFTMAX", "LOGISTIC"), output)
    if dense is not None and graph.operator_name(dense) == "ADD" and graph.constant(dense.inputs[1]) is not None:
        dense = graph.producer(dense.inputs[0])  # the ADD is the bias
    if dense is None or graph.operator_name(dense) not in ("FULLY_CONNECTED", "CONV_2D"):
        return None
    if dense.builtinOptions.fusedActivationFunction != schema.ActivationFunctionType.NONE:
        return None
    kernel = graph.constant(dense.inputs[1])
    if kernel is None or kernel.shape[1:-1] not in ((), (1, 1)):
        return None
    kernel_tensor = int(dense.inputs[1]) if graph.dtype(dense.inputs[1]) == np.float32 else None
    kernel = kernel.reshape(kernel.shape[0], -1).astype(np.float32)
    pooling = graph.first_producer_not_in(RESHAPING, dense.inputs[0])
    if pooling is None or not _is_global_average_pooling(graph, pooling):
        return None
    features = int(pooling.inputs[0])
    supported = graph.dtype(features) in (np.float32, np.uint8, np.int8)
    same_channels = graph.shape(features)[3] == kernel.shape[1]
    return ClassifierHead(features, kernel, kernel_tensor) if supported and same_channels else None


def add_explain_signature(graph: Graph, head: ClassifierHead, image: int, probabilities: int) -> None:
    """Add the signature `explain` to the graph's model, as a second subgraph.

    `image` and `probabilities`: the indices of these tensors. The signature takes the image and classes, int32 (1,). It
    returns maps, float32 (1, rows, columns), and probabilities, float32 (1, labels).
    """
    kernel, kernel_tensor = head.kernel, head.kernel_tensor
    if len(kernel) == 1:  # one output for two labels: the first label's weights are the negative of the second's
        kernel, kernel_tensor = np.concatenate([-kernel, kernel]), None
    explain_graph = graph.copy_subgraph()
    add_tensor, add_operator = explain_graph.add_tensor, explain_graph.add_operator
    classes = add_tensor("classes", (1,), np.int32)
    features = head.features
    _, rows, columns, channels = explain_graph.shape(features)
    if explain_graph.dtype(features) != np.float32:
        real = add_tensor("explain/features", explain_graph.shape(features))
        features = add_operator("DEQUANTIZE", [features], real, schema.DequantizeOptionsT())
    if kernel_tensor is None:
        kernel_tensor = explain_graph.add_constant("explain/kernel", kernel)
    row = add_tensor("explain/row", (1, *explain_graph.shape(kernel_tensor)[1:]))
    add_operator("GATHER", [kernel_tensor, classes], row, schema.GatherOptionsT(axis=0))
    shape = np.array([1, 1, 1, channels], np.int32)
    weights = add_tensor("explain/weights", (1, 1, 1, channels))
    reshape = schema.ReshapeOptionsT(newShape=shape)
    add_operator("RESHAPE", [row, explain_graph.add_constant("explain/shape", shape)], weights, reshape)
    weighted = add_tensor("explain/weighted", (1, rows, columns, channels))
    add_operator("MUL", [features, weights], weighted, schema.MulOptionsT())
    axis = explain_graph.add_constant("explain/axis", np.array([3], np.int32))
    maps = add_tensor("explain/maps", (1, rows, columns))
    add_operator("SUM", [weighted, axis], maps, schema.ReducerOptionsT(keepDims=False))
    inputs, outputs = {"image": image, "classes": classes}, {"maps": maps, "probabilities": probabilities}
    explain_graph.add_signature("explain", inputs, outputs)


def _is_global_average_pooling(graph: Graph, operator: schema.OperatorT) -> bool:
    shape = graph.shape(operator.inputs[0])
    if len(shape) != 4:
        return False
    if graph.operator_name(operator) == "MEAN":
        axes = graph.constant(operator.inputs[1])
        return axes is not None and sorted(int(axis) % 4 for axis in axes.reshape(-1)) == [1, 2]
    options = operator.builtinOptions
    is_average_pooling = graph.operator_name(operator) == "AVERAGE_POOL_2D"
    return is_average_pooling and (options.filterHeight, options.filterWidth) == shape[1:3]
