"""Keep off the terminal what TensorFlow's C++ parts print: notices of the CPU, pages about what we say in a line."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from training import TrainingError


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back standard error, and print it after all where the block ends in an error that nobody foresaw."""
    with tempfile.TemporaryFile() as notices:
        terminal = os.dup(2)
        os.dup2(notices.fileno(), 2)
        try:
            yield
        except TrainingError:
            raise
        except Exception:
            notices.seek(0)
            os.write(terminal, notices.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
