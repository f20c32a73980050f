"""The labels file of an imported model: UTF-8 text, one label per line, in the order of the model's outputs."""

from pathlib import Path

from training import TrainingError
from training.datasets import check_label


def read(path: Path) -> tuple[str, ...]:
    """Return the labels; a byte order mark and carriage returns are ignored. Raises TrainingError naming the line."""
    where = f"--labels {path}"
    if not path.is_file():
        raise TrainingError(f"{where}: no such file; give a text file with one label per line, in the model's order")
    lines: dict[str, int] = {}
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        try:
            label = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise TrainingError(f"{where}: line {number} is not UTF-8; save the file as UTF-8") from None
        if not label:
            raise TrainingError(f"{where}: line {number} is empty; every line must be a label")
        if label in lines:
            raise TrainingError(
                f"{where}: line {number} repeats the label {label!r} of line {lines[label]}; make every label unique"
            )
        check_label(label, f"{where}: line {number}")
        lines[label] = number
    if len(lines) < 2:
        raise TrainingError(f"{where}: expected at least two labels, found {len(lines)}")
    return tuple(lines)
