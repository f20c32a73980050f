"""The memory of a server's process tree over time, in MB of PSS."""

import threading
import time

from bench import processes


class Peak:
    """The largest PSS of the process tree of `pid` while the block runs, in MB. Sampled 20 times a second."""

    def __init__(self, pid: int):
        self.megabytes = processes.memory(pid)
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.megabytes = max(self.megabytes, processes.memory(self._pid))

    def _sample(self) -> None:
        while not self._stop.wait(0.05):
            self.megabytes = max(self.megabytes, processes.memory(self._pid))


def falls_to(pid: int, megabytes: float, seconds: float = 10) -> float:
    """Wait until the tree's PSS is at most `megabytes`, for up to `seconds`; return the last value in MB."""
    deadline = time.monotonic() + seconds
    while (found := processes.memory(pid)) > megabytes and time.monotonic() < deadline:
        time.sleep(0.1)
    return found
