"""LiteRT's verdict on a model: it runs, or the reason why not."""

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from training import TrainingError


def interpreter(content: bytes, shape: tuple[int, ...] | None = None) -> Interpreter:
    """Load a model as serving would, its first input of `shape`. Raises TrainingError with the reason."""
    try:
        loaded = Interpreter(model_content=content, num_threads=1)
        if shape is not None:
            first = loaded.get_input_details()[0]
            if tuple(first["shape"]) != shape:
                loaded.resize_tensor_input(first["index"], shape)
        loaded.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise TrainingError(f"LiteRT cannot run it: {_reason(content, error)}") from error
    return loaded


def _reason(content: bytes, error: Exception) -> str:
    try:
        codes = schema.ModelT.InitFromPackedBuf(content, 0).operatorCodes or []
    except Exception:  # not a LiteRT model at all
        return "it is damaged, or no LiteRT model (" + " ".join(str(error).split())[:200] + ")"
    custom = sorted({code.customCode.decode(errors="replace") for code in codes if code.customCode})
    if flex := [name.removeprefix("Flex") for name in custom if name.startswith("Flex")]:
        return f"it needs TensorFlow's own operators {', '.join(flex)}: make it again without SELECT_TF_OPS"
    if custom:
        return f"it needs the custom operators {', '.join(custom)}: make it again without them"
    return " ".join(str(error).split())[:300]
