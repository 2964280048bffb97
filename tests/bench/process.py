"""What Linux says of a process and everything below it: CPU time spent, memory that is its own."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ (\S{4}) \S+ \S+ (\d+)")
_PRIVATE = re.compile(r"^Private_(Clean|Dirty): +(\d+) kB")


def cpu_seconds(roots: Iterable[int], proc: Path = PROC) -> float:
    """Return the CPU time, of user and system, that these processes and all below them have spent so far.

    A child that ended counts too: its parent has taken over its time.
    """
    spent, below = _stats(proc)
    return sum(spent[pid] for pid in _tree(roots, below)) / _TICKS


def family(root: int, proc: Path = PROC) -> list[int]:
    """Return a process and all below it."""
    return sorted(_tree([root], _stats(proc)[1]))


def _stats(proc: Path) -> tuple[dict[int, int], dict[int, list[int]]]:
    """Return the ticks that each process spent with its ended children, and the children of each."""
    spent: dict[int, int] = {}
    below: dict[int, list[int]] = defaultdict(list)
    for file in proc.glob("[0-9]*/stat"):
        try:
            text = file.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        # The name, in brackets, may hold anything; what follows it are numbers.
        fields = text.rpartition(")")[2].split()
        pid = int(file.parent.name)
        spent[pid] = sum(int(field) for field in fields[11:15])
        below[int(fields[1])].append(pid)
    return spent, below


def _tree(roots: Iterable[int], below: dict[int, list[int]]) -> set[int]:
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += below.get(pid, ())
    return found


def own_bytes(pid: int, proc: Path = PROC) -> int:
    """Return the memory that nobody else has a part in (USS), mapped files apart.

    Of memory without a file every private page counts; of a file mapped privately only the pages that were written to,
    which are copies; of a file mapped to be shared (geolocation, SQLite's index of its log) none.
    """
    total = 0
    named, shared = False, False
    for line in (proc / str(pid) / "smaps").read_text().splitlines():
        if mapping := _MAPPING.match(line):
            shared, named = mapping[1].endswith("s"), mapping[2] != "0"
        elif page := _PRIVATE.match(line):
            total += int(page[2]) * 1024 * (not named or (page[1] == "Dirty" and not shared))
    return total
