"""Load a model with LiteRT; the error says why LiteRT cannot run it."""

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from training import TrainingError


def load_interpreter(content: bytes, shape: tuple[int, ...] | None = None) -> Interpreter:
    """Load a .tflite model on one thread and allocate its tensors; `shape`: the new shape of the first input.

    Raises TrainingError with the reason if LiteRT cannot run the model.
    """
    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        if shape is not None:
            first = interpreter.get_input_details()[0]
            if tuple(first["shape"]) != shape:
                interpreter.resize_tensor_input(first["index"], shape)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise TrainingError(f"LiteRT cannot run it: {_reason(content, error)}") from error
    return interpreter


def _reason(content: bytes, error: Exception) -> str:
    message = " ".join(str(error).split())
    try:
        codes = schema.ModelT.InitFromPackedBuf(content, 0).operatorCodes or []
    except Exception:  # the schema classes raise many types of errors for bytes that are not a model
        return f"it is damaged or not a LiteRT model ({message[:200]})"
    custom = sorted({code.customCode.decode(errors="replace") for code in codes if code.customCode})
    if flex := [name.removeprefix("Flex") for name in custom if name.startswith("Flex")]:
        return f"it needs TensorFlow's own operators {', '.join(flex)}; convert it again without SELECT_TF_OPS"
    if custom:
        return f"it needs the custom operators {', '.join(custom)}; convert it again without them"
    return message[:300]
