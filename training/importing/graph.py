"""Read, edit and write a LiteRT graph as Python objects.

The file format is TensorFlow Lite's flatbuffer schema. `ai_edge_litert.schema_py_generated` has its classes; those with
a name ending in T are plain objects. As in the schema, a tensor is identified by its index in its subgraph, and
operators list the indices of their inputs and outputs.
"""

import copy

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from training import TrainingError

_OPERATOR_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_TYPE_NAMES = {code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
_DTYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.UINT8: np.uint8,
    schema.TensorType.INT8: np.int8,
}
_TYPE_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_SUBGRAPH_OPERATORS = {"IF", "WHILE", "CALL", "CALL_ONCE"}  # they refer to other subgraphs by index


class Graph:
    """A LiteRT model, and the subgraph of it that computes the classification."""

    def __init__(self, content: bytes) -> None:
        """Parse the content of a .tflite file that LiteRT can load, and remove its signatures.

        Raises TrainingError if the weights are outside the flatbuffer.
        """
        self.model = schema.ModelT.InitFromPackedBuf(content, 0)
        if any(buffer.offset > 1 for buffer in self.model.buffers):
            raise TrainingError("its weights are stored outside the LiteRT graph (over 2 GB), which is not supported")
        signatures = {signature.signatureKey: signature.subgraphIndex for signature in self.model.signatureDefs or ()}
        index = signatures.get(b"serving_default", next(iter(signatures.values()), 0))
        self.subgraph = self.model.subgraphs[index]
        self.model.signatureDefs = []
        names = {self.operator_name(operator) for subgraph in self.model.subgraphs for operator in subgraph.operators}
        if not any(name in _SUBGRAPH_OPERATORS or name.startswith("STABLEHLO_") for name in names):
            self.model.subgraphs = [self.subgraph]  # the others belong to other signatures, such as our `explain`

    def description(self) -> str:
        """Return the model's own description and required LiteRT version, or "unknown"."""
        text: str = (self.model.description or b"").decode(errors="replace").strip()
        for entry in self.model.metadata or ():
            data = self.model.buffers[entry.buffer].data
            if entry.name == b"min_runtime_version" and data is not None:
                text += f" For LiteRT {bytes(data).decode(errors='replace').strip(chr(0))} or later"
        return text.strip() or "unknown"

    def is_float32(self) -> bool:
        """Whether all weights and activations are float32."""
        dtypes = [self.dtype(index) for index in range(len(self.subgraph.tensors))]
        return not any(dtype in (np.float16, np.int8, np.uint8) for dtype in dtypes if dtype is not None)

    def copy_subgraph(self) -> "Graph":
        """Add a copy of the subgraph to the model and return a Graph of it; both share the model's constants."""
        duplicate = copy.copy(self)
        duplicate.subgraph = copy.deepcopy(self.subgraph)
        self.model.subgraphs.append(duplicate.subgraph)
        return duplicate

    def operator_name(self, operator: schema.OperatorT) -> str:
        """Return the operator's name in the schema, such as CONV_2D; "?" if the schema does not have it."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return _OPERATOR_NAMES.get(max(code.builtinCode, code.deprecatedBuiltinCode), "?")

    def tensor(self, index: int) -> schema.TensorT:
        """Return a tensor."""
        return self.subgraph.tensors[index]

    def shape(self, index: int) -> tuple[int, ...]:
        """Return a tensor's shape; -1 is a size that is not fixed."""
        tensor = self.tensor(index)
        shape = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
        return () if shape is None else tuple(int(size) for size in shape)

    def dtype(self, index: int) -> np.dtype | None:
        """Return a tensor's dtype; None for a type that this module does not support."""
        dtype = _DTYPES.get(self.tensor(index).type)
        return None if dtype is None else np.dtype(dtype)

    def type_name(self, index: int) -> str:
        """Return the name of a tensor's type in the schema, in lower case."""
        return _TYPE_NAMES[self.tensor(index).type]

    def quantization(self, index: int) -> tuple[np.ndarray, np.ndarray, int] | None:
        """Return (scales, zero points, axis) if a tensor is quantised: value = scale * (stored - zero point)."""
        found = self.tensor(index).quantization
        if found is None or found.scale is None or not len(found.scale):
            return None
        zero_points = np.zeros(1) if found.zeroPoint is None else np.asarray(found.zeroPoint)
        return np.asarray(found.scale, np.float64), zero_points, found.quantizedDimension

    def producer(self, index: int) -> schema.OperatorT | None:
        """Return the operator that computes a tensor; None for inputs and constants."""
        return next((operator for operator in self.subgraph.operators if index in _indices(operator.outputs)), None)

    def first_producer_not_in(self, names: tuple[str, ...], index: int) -> schema.OperatorT | None:
        """Follow a tensor back, skipping operators with these names; returns the first other operator, or None."""
        operator = self.producer(index)
        while operator is not None and self.operator_name(operator) in names:
            operator = self.producer(operator.inputs[0])
        return operator

    def consumers(self, index: int) -> list[schema.OperatorT]:
        """Return the operators that use a tensor."""
        return [operator for operator in self.subgraph.operators if index in _indices(operator.inputs)]

    def constant(self, index: int) -> np.ndarray | None:
        """Return a constant's values, dequantised to float32 if it is quantised; None if the tensor is computed."""
        operator = self.producer(index)
        if operator is not None:  # weights stored as float16 pass through DEQUANTIZE
            return self.constant(operator.inputs[0]) if self.operator_name(operator) == "DEQUANTIZE" else None
        data = self.model.buffers[self.tensor(index).buffer].data
        dtype = self.dtype(index)
        if data is None or not len(data) or dtype is None:
            return None
        values = np.frombuffer(bytes(data), dtype).reshape(self.shape(index))
        quantization = self.quantization(index)
        if quantization is None:
            return values
        scales, zero_points, axis = quantization
        if len(scales) > 1:
            per_channel = [1] * values.ndim
            per_channel[axis] = -1
            zero_points = np.broadcast_to(zero_points, scales.shape).reshape(per_channel)
            scales = scales.reshape(per_channel)
        return ((values.astype(np.float64) - zero_points) * scales).astype(np.float32)

    def add_tensor(self, name: str, shape: tuple[int, ...], dtype: type = np.float32, buffer: int = 0) -> int:
        """Add a tensor and return its index. LiteRT computes sizes that are not fixed (-1) from the input's."""
        sizes = [max(1, size) for size in shape]
        tensor = schema.TensorT(name=name, shape=sizes, type=_TYPE_CODES[np.dtype(dtype).type], buffer=buffer)
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def add_constant(self, name: str, values: np.ndarray) -> int:
        """Add a constant tensor and return its index."""
        self.model.buffers.append(schema.BufferT(data=np.frombuffer(values.tobytes(), np.uint8)))
        return self.add_tensor(name, values.shape, values.dtype.type, len(self.model.buffers) - 1)

    def add_operator(
        self, name: str, inputs: list[int], output: int, options: object = None, position: int | None = None
    ) -> int:
        """Add an operator at the end, or at `position` in the order of execution, and return its output's index."""
        code = getattr(schema.BuiltinOperator, name)
        self.model.operatorCodes.append(
            schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=1)
        )
        operator = schema.OperatorT(opcodeIndex=len(self.model.operatorCodes) - 1, inputs=inputs, outputs=[output])
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        operators = self.subgraph.operators
        operators.insert(len(operators) if position is None else position, operator)
        return output

    def add_signature(self, key: str, inputs: dict[str, int], outputs: dict[str, int]) -> None:
        """Add a signature for the subgraph, and set the subgraph's inputs and outputs to these tensors."""
        self.subgraph.inputs, self.subgraph.outputs = list(inputs.values()), list(outputs.values())
        input_maps, output_maps = (
            [schema.TensorMapT(name=name, tensorIndex=index) for name, index in tensors.items()]
            for tensors in (inputs, outputs)
        )
        index = next(i for i, subgraph in enumerate(self.model.subgraphs) if subgraph is self.subgraph)
        self.model.signatureDefs.append(
            schema.SignatureDefT(inputs=input_maps, outputs=output_maps, signatureKey=key, subgraphIndex=index)
        )

    def serialize(self) -> bytes:
        """Return the content of the .tflite file."""
        builder = _AlignedBuilder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


class _AlignedBuilder(flatbuffers.Builder):
    """Align weights to 16 bytes, as the schema requires; the generated Python classes do not."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803 - flatbuffers' names
        return super().StartVector(elemSize, numElems, 16 if elemSize == 1 and numElems >= 16 else alignment)


def _indices(tensors: np.ndarray | list[int] | None) -> list[int]:
    return [] if tensors is None else list(tensors)
