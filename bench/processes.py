"""What Linux says about a server's processes: its tree, its memory, its open files."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def tree(pid: int) -> list[int]:
    """`pid` and all its descendants, parents first."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                # The name, in brackets, may hold anything; the fields after it do not.
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found


def memory(pid: int, kind: str = "Pss") -> float:
    """MB (10^6 bytes) of the whole tree as PSS: a page that several processes share counts once.

    With `kind` "Pss_Anon" without the pages of files, whose share depends on who else on the machine has them open.
    """
    total = 0
    for process in tree(pid):
        with suppress(OSError):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))
    return total * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """CPU time that this one process has taken; 0 where it has ended."""
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
    targets = []
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                targets.append(str(link.readlink()))
    return targets


def end(pid: int, wait: float = 10) -> None:
    """End the tree: politely, then, after `wait` seconds, by force. `pid` stays to be reaped by whoever started it."""
    processes = tree(pid)
    signals = [(signal.SIGTERM, [pid], wait), (signal.SIGKILL, processes, 2)]
    for number, addressed, seconds in signals:
        for process in addressed:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        until = time.monotonic() + seconds
        while any(alive(process) for process in processes):
            if time.monotonic() > until:
                break
            time.sleep(0.01)
        else:
            return


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
