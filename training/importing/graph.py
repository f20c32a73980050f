"""A LiteRT model as Python objects: read its operators and constants, add some, write it again.

The format is TensorFlow Lite's schema; `ai_edge_litert.schema_py_generated` holds its classes, those ending in T are
plain objects.
"""

import copy

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from training import TrainingError

_KINDS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_DTYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.UINT8: np.uint8,
    schema.TensorType.INT8: np.int8,
}
_BRANCHING = {"IF", "WHILE", "CALL", "CALL_ONCE"}  # operators that name other subgraphs by their position
_TYPES = {dtype: code for code, dtype in _DTYPES.items()}


class Graph:
    """One subgraph of a model, with its tensors called by their number."""

    def __init__(self, content: bytes) -> None:
        """Parse a model that LiteRT has already accepted, and forget its signatures: ours take their place."""
        self.model = schema.ModelT.InitFromPackedBuf(content, 0)
        if any(buffer.offset > 1 for buffer in self.model.buffers):
            raise TrainingError("the model keeps its weights outside the LiteRT graph (over 2 GB): it cannot be taken")
        known = {signature.signatureKey: signature.subgraphIndex for signature in self.model.signatureDefs or ()}
        self.main = self.model.subgraphs[known.get(b"serving_default", next(iter(known.values()), 0))]
        self.model.signatureDefs = []
        kinds = {self.kind(operator) for subgraph in self.model.subgraphs for operator in subgraph.operators}
        if not any(kind in _BRANCHING or kind.startswith("STABLEHLO_") for kind in kinds):
            self.model.subgraphs = [self.main]  # the others are other signatures, such as our own `explain`

    def maker(self) -> str:
        """Say what wrote the model, as far as it says so itself."""
        said = (self.model.description or b"").decode(errors="replace").strip()
        for entry in self.model.metadata or ():
            data = self.model.buffers[entry.buffer].data
            if entry.name == b"min_runtime_version" and data is not None:
                said += f" For LiteRT {bytes(data).decode(errors='replace').strip(chr(0))} or later"
        return said.strip() or "unknown"

    def float32(self) -> bool:
        """Tell whether all is computed and stored in float32."""
        numbers = (self.dtype(number) for number in range(len(self.main.tensors)))
        return not any(dtype in (np.float16, np.int8, np.uint8) for dtype in numbers if dtype is not None)

    def branch(self) -> "Graph":
        """Return a copy of the subgraph within the same model; the two share their constants."""
        twin = copy.copy(self)
        twin.main = copy.deepcopy(self.main)
        self.model.subgraphs.append(twin.main)
        return twin

    def kind(self, operator: schema.OperatorT) -> str:
        """Return the operator's name, such as CONV_2D."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return _KINDS.get(max(code.builtinCode, code.deprecatedBuiltinCode), "?")

    def tensor(self, number: int) -> schema.TensorT:
        """Return a tensor."""
        return self.main.tensors[number]

    def shape(self, number: int) -> tuple[int, ...]:
        """Return a tensor's shape; -1 stands for a size that is left open."""
        tensor = self.tensor(number)
        shape = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
        return () if shape is None else tuple(int(size) for size in shape)

    def dtype(self, number: int) -> np.dtype | None:
        """Return a tensor's dtype; None for one that we do not handle."""
        dtype = _DTYPES.get(self.tensor(number).type)
        return None if dtype is None else np.dtype(dtype)

    def quantization(self, number: int) -> tuple[np.ndarray, np.ndarray, int] | None:
        """Return (scale, zero point, axis) of a quantised tensor: value = scale * (stored - zero point)."""
        found = self.tensor(number).quantization
        if found is None or found.scale is None or not len(found.scale):
            return None
        zero = np.zeros(1) if found.zeroPoint is None else np.asarray(found.zeroPoint)
        return np.asarray(found.scale, np.float64), zero, found.quantizedDimension

    def producer(self, number: int) -> schema.OperatorT | None:
        """Return the operator that a tensor comes from; None for inputs and constants."""
        return next((operator for operator in self.main.operators if number in _numbers(operator.outputs)), None)

    def consumers(self, number: int) -> list[schema.OperatorT]:
        """Return the operators that take a tensor."""
        return [operator for operator in self.main.operators if number in _numbers(operator.inputs)]

    def constant(self, number: int) -> np.ndarray | None:
        """Return a constant's real values, dequantised, or None where the tensor is computed."""
        made_by = self.producer(number)
        if made_by is not None:  # weights stored as float16 pass through DEQUANTIZE first
            return self.constant(made_by.inputs[0]) if self.kind(made_by) == "DEQUANTIZE" else None
        data = self.model.buffers[self.tensor(number).buffer].data
        dtype = self.dtype(number)
        if data is None or not len(data) or dtype is None:
            return None
        values = np.frombuffer(bytes(data), dtype).reshape(self.shape(number))
        quantization = self.quantization(number)
        if quantization is None:
            return values
        scale, zero, axis = quantization
        if len(scale) > 1:
            along = [1] * values.ndim
            along[axis] = -1
            scale, zero = scale.reshape(along), np.broadcast_to(zero, scale.shape).reshape(along)
        return ((values.astype(np.float64) - zero) * scale).astype(np.float32)

    def add_tensor(self, name: str, shape: tuple[int, ...], dtype: type = np.float32, buffer: int = 0) -> int:
        """Add a tensor and return its number. Sizes left open (-1) are known once the input's is."""
        sizes = [max(1, size) for size in shape]
        tensor = schema.TensorT(name=name, shape=sizes, type=_TYPES[np.dtype(dtype).type], buffer=buffer)
        self.main.tensors.append(tensor)
        return len(self.main.tensors) - 1

    def add_constant(self, name: str, values: np.ndarray) -> int:
        """Add a constant tensor and return its number."""
        self.model.buffers.append(schema.BufferT(data=np.frombuffer(values.tobytes(), np.uint8)))
        return self.add_tensor(name, values.shape, values.dtype.type, len(self.model.buffers) - 1)

    def add_input(self, name: str, shape: tuple[int, ...], dtype: type = np.float32) -> int:
        """Add an input and return its number."""
        number = self.add_tensor(name, shape, dtype)
        self.main.inputs = [*self.main.inputs, number]
        return number

    def add(
        self, kind: str, inputs: list[int], output: int, options: object = None, position: int | None = None
    ) -> int:
        """Add an operator, at the end or where `position` says, and return its output."""
        code = getattr(schema.BuiltinOperator, kind)
        self.model.operatorCodes.append(
            schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=1)
        )
        operator = schema.OperatorT(opcodeIndex=len(self.model.operatorCodes) - 1, inputs=inputs, outputs=[output])
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.main.operators.insert(len(self.main.operators) if position is None else position, operator)
        return output

    def sign(self, key: str, inputs: dict[str, int], outputs: dict[str, int]) -> None:
        """Give the subgraph a signature, and exactly these inputs and outputs."""
        self.main.inputs, self.main.outputs = list(inputs.values()), list(outputs.values())
        maps = [
            [schema.TensorMapT(name=name, tensorIndex=number) for name, number in named.items()]
            for named in (inputs, outputs)
        ]
        index = next(i for i, subgraph in enumerate(self.model.subgraphs) if subgraph is self.main)
        signature = schema.SignatureDefT(inputs=maps[0], outputs=maps[1], signatureKey=key, subgraphIndex=index)
        self.model.signatureDefs.append(signature)

    def pack(self) -> bytes:
        """Return the contents of the .tflite file."""
        builder = _AlignedBuilder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


class _AlignedBuilder(flatbuffers.Builder):
    """Puts weights on 16-byte boundaries, as the schema asks; Python's generated classes do not."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803 - flatbuffers' names
        return super().StartVector(elemSize, numElems, 16 if elemSize == 1 and numElems >= 16 else alignment)


def _numbers(tensors: np.ndarray | list[int] | None) -> list[int]:
    return [] if tensors is None else list(tensors)
