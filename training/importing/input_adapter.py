"""The way in: from the RGB picture, 0-255, that serving gives to what the network was trained on, inside the graph."""

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from training import TrainingError
from training.importing import ranges
from training.importing.graph import Graph
from training.importing.ranges import Range


@dataclass(frozen=True)
class Entrance:
    """The network's own input: its `layout`, such as (1, 224, 224, 3), (height, width) in pixels, and its values."""

    layout: tuple[int, ...]
    size: tuple[int, int]
    range: Range
    dtype: np.dtype
    quantization: tuple[float, int] | None

    @property
    def channels_first(self) -> bool:
        """Tell whether the network takes (1, channels, height, width), as PyTorch's do."""
        return len(self.layout) == 4 and self.layout[3] not in (1, 3)

    def feed(self, pixels: np.ndarray) -> np.ndarray:
        """Bring uint8 (n, height, width, 3) to what the network's own input takes."""
        values = self.range.apply(pixels)
        if self.channels_first:
            values = values.transpose(0, 3, 1, 2)
        if self.quantization:
            scale, zero = self.quantization
            limits = np.iinfo(self.dtype)
            values = np.clip(np.round(values / scale) + zero, limits.min, limits.max)
        return values.astype(self.dtype).reshape(len(pixels), *self.layout[1:])


def layout(shape: tuple[int | None, ...], side: int | None) -> tuple[int, ...]:
    """Complete the shape of a model's input for one picture; sizes left open become `side`. Raises TrainingError."""
    shown = "(" + ", ".join("?" if size in (None, -1) else str(size) for size in shape) + ")"
    open_sizes = [size in (None, -1) for size in shape]
    if len(shape) == 4 and (shape[3] in (1, 3) or shape[1] in (1, 3)):
        sizes = (1, 2) if shape[3] in (1, 3) else (2, 3)
    elif len(shape) == 3:
        sizes = (1, 2)
    else:
        raise TrainingError(
            f"its input has the shape {shown}: pictures are (1, height, width, 3), or 1 in the last place for grey"
        )
    if not open_sizes[0] and shape[0] != 1:
        raise TrainingError(
            f"its input {shown} takes {shape[0]} pictures at once: export it for one, or for any number"
        )
    if any(open_sizes[i] for i in sizes):
        if side is None:
            raise TrainingError(f"its input {shown} leaves the size open: say --image-size PIXELS")
    elif side is not None and any(shape[i] != side for i in sizes):
        height, width = (shape[i] for i in sizes)
        raise TrainingError(f"--image-size {side}: it takes pictures of {width}x{height}: leave the option out")
    return tuple(1 if i == 0 else side if i in sizes and open_sizes[i] else int(n) for i, n in enumerate(shape))


def find(graph: Graph, taken: tuple[int, ...], chosen: str | None, first_steps: str | None) -> Entrance:
    """Find out what the graph's only input takes. `chosen`: --range; `first_steps`: the range that these speak for."""
    number = graph.main.inputs[0]
    dtype, quantization = graph.dtype(number), graph.quantization(number)
    if dtype is None or dtype not in (np.float32, np.uint8, np.int8) or (dtype == np.int8 and not quantization):
        raise TrainingError(f"its input is of type {_type(graph, number)}: float32, uint8 or quantised int8 are taken")
    channels = 1 if len(taken) == 3 else taken[3] if taken[3] in (1, 3) else taken[1]
    if chosen:
        name, found = chosen, "given"
    elif dtype == np.uint8 and not quantization:
        name, found = "0-255", "read from the input's type, uint8"
    elif quantization:
        name, found = _quantized_range(graph, number), "read from the input's quantisation"
    else:
        name, found = first_steps or _first_steps(graph), "read from the model's first steps"
    if name is None:
        raise TrainingError(
            f"what values it was trained on cannot be told from the model: say --range {ranges.CHOICES}"
        )
    first = len(taken) == 4 and taken[3] not in (1, 3)
    size = taken[2:] if first else taken[1:3]
    affine = None if quantization is None else (float(quantization[0][0]), int(quantization[1][0]))
    return Entrance(taken, (size[0], size[1]), ranges.named(name, channels, found), dtype, affine)


def build(graph: Graph, entrance: Entrance) -> int:
    """Put the steps from the RGB picture to the network's own input before it; returns the new input's number."""
    own = graph.main.inputs[0]
    graph.tensor(own).shape, graph.tensor(own).shapeSignature = list(entrance.layout), None
    height, width = entrance.size
    channels = len(entrance.range.offset)
    steps: list[tuple] = []  # operator, constants, options, shape of what it gives, its dtype
    if not entrance.range.identity:
        kernel = entrance.range.matrix.astype(np.float32)[:, np.newaxis, np.newaxis]
        constants = [kernel, entrance.range.offset.astype(np.float32)]
        options = schema.Conv2DOptionsT(
            padding=schema.Padding.VALID, strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1
        )
        steps.append(("CONV_2D", constants, options, (1, height, width, channels), np.float32))
    if entrance.channels_first:
        order = np.array([0, 3, 1, 2], np.int32)
        steps.append(("TRANSPOSE", [order], schema.TransposeOptionsT(), entrance.layout, np.float32))
    if len(entrance.layout) == 3:
        shape = np.array(entrance.layout, np.int32)
        steps.append(("RESHAPE", [shape], schema.ReshapeOptionsT(newShape=shape), entrance.layout, np.float32))
    if entrance.quantization:
        steps.append(("QUANTIZE", [], schema.QuantizeOptionsT(), entrance.layout, entrance.dtype))
    elif entrance.dtype != np.float32:
        options = schema.CastOptionsT(inDataType=schema.TensorType.FLOAT32, outDataType=graph.tensor(own).type)
        steps.append(("CAST", [], options, entrance.layout, entrance.dtype))
    if not steps:
        return own
    image = current = graph.add_tensor("image", (1, height, width, 3))
    for position, (kind, constants, options, shape, dtype) in enumerate(steps):
        last = position == len(steps) - 1
        output = own if last else graph.add_tensor(f"entrance/{kind.lower()}", shape, dtype)
        numbers = [graph.add_constant(f"entrance/{kind.lower()}/{i}", values) for i, values in enumerate(constants)]
        current = graph.add(kind, [current, *numbers], output, options, position)
    return image


def _first_steps(graph: Graph) -> str | None:
    """Name the range that the graph's first operators speak for, where it begins with a scaling of its own."""
    steps, current = ranges.FirstSteps(), graph.main.inputs[0]
    while True:
        followers = [operator for operator in graph.consumers(current) if graph.kind(operator) != "SHAPE"]
        if len(followers) != 1:
            break
        operator = followers[0]
        if graph.kind(operator) == "QUANTIZE" and not steps.taken:
            return _quantized_range(graph, operator.outputs[0])
        if graph.kind(operator) not in ("CAST", "DEQUANTIZE"):
            others = [number for number in operator.inputs if number != current]
            constant = graph.constant(others[0]) if len(others) == 1 else None
            if not steps.take(graph.kind(operator), constant, operator.inputs[0] != current):
                break
        current = operator.outputs[0]
    return steps.range()


def _quantized_range(graph: Graph, number: int) -> str | None:
    limits = np.iinfo(graph.dtype(number))
    scale, zero, _ = graph.quantization(number)
    return ranges.of_quantization(*(float(scale[0]) * (end - int(zero[0])) for end in (limits.min, limits.max)))


def _type(graph: Graph, number: int) -> str:
    names = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
    return names[graph.tensor(number).type].lower()
