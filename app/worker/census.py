"""How many lively connections each worker has, in memory that all of them share: it is made before they are forked.

Left to chance, or to who wakes first, eight connections went 8:0 or 7:1 to two workers as often as not, and half of
the machine had nothing to do.
"""

import mmap

_MOST = 256  # more than old and new workers together during a restart
_NOBODY = -1
_connections = memoryview(mmap.mmap(-1, 4 * _MOST)).cast("i")
for _place in range(_MOST):
    _connections[_place] = _NOBODY


def report(worker: int, connections: int) -> None:
    """Say how many connections the worker of that number has."""
    _connections[worker % _MOST] = connections


def leave(worker: int) -> None:
    """The worker accepts nobody any more."""
    _connections[worker % _MOST] = _NOBODY


def fewest() -> int:
    """The connections of the worker that has the fewest; 0 where nobody has said anything."""
    return min((count for count in _connections if count != _NOBODY), default=0)
