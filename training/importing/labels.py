"""The labels that come with a model: a text file, one label a line."""

from pathlib import Path

from training import TrainingError
from training.datasets import check_label


def read(path: Path) -> tuple[str, ...]:
    """Read a UTF-8 file of labels, with or without BOM and carriage returns. Raises TrainingError naming the line."""
    where = f"--labels {path}"
    if not path.is_file():
        raise TrainingError(f"{where}: no such file: name a text file with one label a line, in the model's order")
    lines: dict[str, int] = {}
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        try:
            label = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise TrainingError(f"{where}: line {number} is not UTF-8: save the file as UTF-8") from None
        if not label:
            raise TrainingError(f"{where}: line {number} is empty: every line is a label")
        if label in lines:
            raise TrainingError(f"{where}: line {number} says {label!r} again, as line {lines[label]}: tell them apart")
        check_label(label, f"{where}: line {number}")
        lines[label] = number
    if len(lines) < 2:
        raise TrainingError(f"{where}: a classifier needs at least two labels, found {len(lines)}")
    return tuple(lines)
