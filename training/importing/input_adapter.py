"""The input adapter: operators from the server's RGB image, 0-255, to the values that the network was trained on."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from training import TrainingError
from training.importing import value_ranges
from training.importing.graph import Graph
from training.importing.value_ranges import ValueRange

# Where (height, width, channels) are in the shape of an input for one image, after the number of images
_CHANNELS_LAST = (1, 2, 3)
_CHANNELS_FIRST = (2, 3, 1)  # as in PyTorch
_NO_CHANNELS = (1, 2, None)  # grey


@dataclass(frozen=True)
class InputAdapter:
    """The properties of the network's own input.

    `shape`: of the input for one image, such as (1, 224, 224, 3). `size`: (height, width) in pixels. `range`: the
    values it was trained on. `quantization`: (scale, zero point) if the input is quantised.
    """

    shape: tuple[int, ...]
    size: tuple[int, int]
    range: ValueRange
    dtype: np.dtype
    quantization: tuple[float, int] | None

    @property
    def channels_first(self) -> bool:
        """Whether the network takes (1, channels, height, width), as in PyTorch."""
        return _axes(self.shape) == _CHANNELS_FIRST

    def convert(self, images: np.ndarray) -> np.ndarray:
        """Convert images, uint8 (n, height, width, 3), to what the network's own input takes."""
        values = self.range.apply(images)
        if self.channels_first:
            values = values.transpose(0, 3, 1, 2)
        if self.quantization:
            scale, zero_point = self.quantization
            limits = np.iinfo(self.dtype)
            values = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max)
        return values.astype(self.dtype).reshape(len(images), *self.shape[1:])


def fix_shape(shape: tuple[int | None, ...], image_size: int | None) -> tuple[int, ...]:
    """Return the shape of a model's input for one image. Sizes that are not fixed are None or -1 in `shape`.

    `image_size`: --image-size; the width and height in pixels if they are not fixed. Raises TrainingError if the input
    does not take one image, or if its size is unknown or contradicts `image_size`.
    """
    fixed = tuple(None if size == -1 else size for size in shape)
    shown = f"({', '.join('?' if size is None else str(size) for size in fixed)})"
    axes = _axes(fixed)
    if axes is None:
        raise TrainingError(
            f"its input has the shape {shown}; expected images as (1, height, width, 3), or 1 channel for grey"
        )
    if fixed[0] not in (None, 1):
        raise TrainingError(f"its input {shown} takes {fixed[0]} images at once; export it for one, or for any number")
    height, width = (fixed[axis] for axis in axes[:2])
    if image_size is None and None in (height, width):
        raise TrainingError(f"its input {shown} does not fix the image size; add --image-size PIXELS")
    if image_size is not None and None not in (height, width) and (height, width) != (image_size, image_size):
        raise TrainingError(
            f"--image-size {image_size} contradicts the model, whose input takes {width}x{height}; omit --image-size"
        )
    if image_size is not None:
        height, width = height or image_size, width or image_size
    complete = list(fixed)
    complete[0], complete[axes[0]], complete[axes[1]] = 1, height, width
    return tuple(size for size in complete if size is not None)  # all are known now: _axes needs known channels


def detect(graph: Graph, shape: tuple[int, ...], chosen: str | None, detected: str | None) -> InputAdapter:
    """Detect the properties of the graph's only input. Raises TrainingError if its type or range is not supported.

    `shape`: from `fix_shape`. `chosen`: --range, or None. `detected`: the value range found before conversion, or None.
    """
    index = graph.subgraph.inputs[0]
    dtype, quantization = graph.dtype(index), graph.quantization(index)
    if dtype is None or dtype not in (np.float32, np.uint8, np.int8) or (dtype == np.int8 and not quantization):
        raise TrainingError(
            f"its input has the type {graph.type_name(index)}; expected float32, uint8 or quantised int8"
        )
    name, found = _detect_range(graph, index, chosen, detected)
    height, width, channels = _axes(shape) or _NO_CHANNELS
    return InputAdapter(
        shape=shape,
        size=(shape[height], shape[width]),
        range=value_ranges.create(name, 1 if channels is None else shape[channels], found),
        dtype=dtype,
        quantization=None if quantization is None else (float(quantization[0][0]), int(quantization[1][0])),
    )


class _Step(NamedTuple):
    """An operator to add, with its constants, its options, and the shape and dtype of its output."""

    operator: str
    constants: list[np.ndarray]
    options: object
    shape: tuple[int, ...]
    dtype: Any = np.float32


def prepend(graph: Graph, adapter: InputAdapter) -> int:
    """Add the operators from the RGB image to the network's own input; returns the index of the new input.

    The new input is float32 (1, height, width, 3), RGB, 0-255.
    """
    own = graph.subgraph.inputs[0]
    graph.tensor(own).shape, graph.tensor(own).shapeSignature = list(adapter.shape), None
    steps = _steps(adapter, graph.tensor(own).type)
    if not steps:
        return own
    image = current = graph.add_tensor("image", (1, *adapter.size, 3))
    for position, step in enumerate(steps):
        name = f"input_adapter/{step.operator.lower()}"
        last = position == len(steps) - 1
        output = own if last else graph.add_tensor(name, step.shape, step.dtype)
        constants = [graph.add_constant(f"{name}/{i}", values) for i, values in enumerate(step.constants)]
        current = graph.add_operator(step.operator, [current, *constants], output, step.options, position)
    return image


def _axes(shape: tuple[int | None, ...]) -> tuple[int, int, int | None] | None:
    """Return the axes of (height, width, channels) in the shape of an input; None if it does not take images."""
    if len(shape) == 3:
        return _NO_CHANNELS
    if len(shape) == 4 and shape[3] in (1, 3):
        return _CHANNELS_LAST
    if len(shape) == 4 and shape[1] in (1, 3):
        return _CHANNELS_FIRST
    return None


def _steps(adapter: InputAdapter, own_type: int) -> list[_Step]:
    """Return the operators of the adapter; `own_type` is the schema's type of the network's own input."""
    shape, channels = adapter.shape, len(adapter.range.offset)
    steps = []
    if not adapter.range.is_identity:  # an affine map of the channels is a 1x1 convolution
        kernel = adapter.range.matrix.astype(np.float32)[:, np.newaxis, np.newaxis]
        constants = [kernel, adapter.range.offset.astype(np.float32)]
        convolution = schema.Conv2DOptionsT(
            padding=schema.Padding.VALID, strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1
        )
        steps.append(_Step("CONV_2D", constants, convolution, (1, *adapter.size, channels)))
    if adapter.channels_first:
        order = np.array([0, 3, 1, 2], np.int32)
        steps.append(_Step("TRANSPOSE", [order], schema.TransposeOptionsT(), shape))
    if len(shape) == 3:
        target = np.array(shape, np.int32)
        steps.append(_Step("RESHAPE", [target], schema.ReshapeOptionsT(newShape=target), shape))
    if adapter.quantization:
        steps.append(_Step("QUANTIZE", [], schema.QuantizeOptionsT(), shape, adapter.dtype))
    elif adapter.dtype != np.float32:
        cast = schema.CastOptionsT(inDataType=schema.TensorType.FLOAT32, outDataType=own_type)
        steps.append(_Step("CAST", [], cast, shape, adapter.dtype))
    return steps


def _detect_range(graph: Graph, index: int, chosen: str | None, detected: str | None) -> tuple[str, str]:
    """Return the name of the value range, and how it was found. Raises TrainingError if it cannot be detected."""
    if chosen:
        return chosen, "given"
    name: str | None
    if graph.quantization(index):
        name, found = _quantized_range(graph, index), "detected from the input's quantisation"
    elif graph.dtype(index) == np.uint8:
        name, found = "0-255", "detected from the input's type, uint8"
    else:
        name, found = detected or _range_from_first_operators(graph), "detected from the model's first operators"
    if name is None:
        raise TrainingError(
            f"the values it was trained on cannot be detected; add --range with one of {value_ranges.CHOICES}"
        )
    return name, found


def _range_from_first_operators(graph: Graph) -> str | None:
    """Return the value range if the graph begins with its own scaling of the input; None otherwise."""
    chain, current = value_ranges.AffineChain(), graph.subgraph.inputs[0]
    while True:
        consumers = [operator for operator in graph.consumers(current) if graph.operator_name(operator) != "SHAPE"]
        if len(consumers) != 1:
            break
        operator = consumers[0]
        name = graph.operator_name(operator)
        if name == "QUANTIZE" and not chain.length:
            return _quantized_range(graph, operator.outputs[0])
        if name not in ("CAST", "DEQUANTIZE"):
            others = [other for other in operator.inputs if other != current]
            constant = graph.constant(others[0]) if len(others) == 1 else None
            if not chain.append(name, constant, constant_first=operator.inputs[0] != current):
                break
        current = operator.outputs[0]
    return chain.input_range()


def _quantized_range(graph: Graph, index: int) -> str | None:
    dtype, quantization = graph.dtype(index), graph.quantization(index)
    if dtype is None or quantization is None:
        return None
    scale, zero_point = float(quantization[0][0]), int(quantization[1][0])
    limits = np.iinfo(dtype)
    return value_ranges.from_limits(scale * (limits.min - zero_point), scale * (limits.max - zero_point))
