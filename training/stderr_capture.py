"""Keep TensorFlow's C++ notices off the terminal: it writes them to file descriptor 2, below Python's sys.stderr."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from training import TrainingError


@contextmanager
def capture_stderr() -> Iterator[None]:
    """Redirect file descriptor 2 to a temporary file; print its content only if the block fails unexpectedly.

    A TrainingError is expected: its message says everything that the user needs, so the captured text is dropped.
    """
    with tempfile.TemporaryFile() as captured:
        terminal = os.dup(2)
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except TrainingError:
            raise
        except Exception:
            captured.seek(0)
            os.write(terminal, captured.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
