"""A server's processes as Linux reports them in /proc: the process tree, memory, CPU time, open files."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def tree(pid: int) -> list[int]:
    """`pid` and all its descendants, parents first."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # the process has ended
                # The process name, in brackets, may contain spaces and brackets; the fields after it do not.
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found


def memory(pid: int, kind: str = "Pss") -> float:
    """The PSS of the whole tree in MB (10^6 bytes): a page that several processes share counts once.

    `kind` "Pss_Anon" leaves out the pages of files, whose share depends on the other processes that map them.
    """
    total = 0
    for process in tree(pid):
        with suppress(OSError):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))
    return total * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """CPU time of this one process in seconds; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def files(pid: int) -> int:
    """Open file descriptors of the whole tree."""
    return sum(len(descriptors(process)) for process in tree(pid))


def sockets(pid: int) -> int:
    """Open sockets of this one process."""
    return sum(target.startswith("socket:") for target in descriptors(pid))


def descriptors(pid: int) -> list[str]:
    """What each open file descriptor of this one process refers to."""
    targets: list[str] = []
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                targets.append(str(link.readlink()))
    return targets


def stop(pid: int, timeout: float = 10) -> None:
    """Send SIGTERM to `pid`. When it has ended, or after `timeout` seconds, kill the remaining processes of its tree.

    The caller started `pid` and must still call wait() for it.
    """
    processes = tree(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    _wait([pid], timeout)
    for process in filter(alive, processes):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    _wait(processes, 2)


def _wait(processes: list[int], timeout: float) -> None:
    until = time.monotonic() + timeout
    while any(map(alive, processes)) and time.monotonic() < until:
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
