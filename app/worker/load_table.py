"""The worker load table: how many active connections each worker has, in memory shared by all workers.

It is created before the workers are forked. A new master (SIGUSR2) has a table of its own.
"""

import mmap

_SLOTS = 256  # more than old and new workers together during a restart
_FREE = -1
_active = memoryview(mmap.mmap(-1, 4 * _SLOTS)).cast("i")
for _slot in range(_SLOTS):
    _active[_slot] = _FREE


def report(worker: int, active: int) -> None:
    """Set the number of active connections of a worker; `worker` is gunicorn's `age`, which counts from 1."""
    _active[worker % _SLOTS] = active


def remove(worker: int) -> None:
    """The worker has ended, or accepts no more connections."""
    _active[worker % _SLOTS] = _FREE


def fewest() -> int:
    """The active connections of the least loaded worker; 0 if no worker has reported."""
    return min((active for active in _active if active != _FREE), default=0)
