"""A line of processes: first come, first served, and who dies while standing in it is passed over."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from riskengine.errors import StoreUnavailable

SUFFIX = "-line"
_LOOK_SECONDS = 0.0003
# The file holds the last number given out, and is locked at its first byte while one is taken. Whoever holds a number
# locks the byte that far behind; the system lets go of it when the process ends.
_NUMBER_BYTES = 8
_FIRST = 16


class Line:
    """Where those who want to write to `file` stand, in all processes; within a process one at a time may.

    Without it, whoever has just written asks again before the others, who look now and then, find it free; beside busy
    ones somebody would never come to it.
    """

    def __init__(self, file: Path) -> None:
        self._path = file.with_name(file.name + SUFFIX)
        self._descriptor: int | None = None
        self._opening = threading.Lock()

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    @contextmanager
    def taken(self, wait_seconds: float) -> Iterator[None]:
        """Hold the head of the line; StoreUnavailable if it does not come within `wait_seconds`."""
        deadline = time.monotonic() + wait_seconds
        try:
            descriptor = self._opened()
            number = _next_number(descriptor, deadline)
        except OSError as error:
            raise StoreUnavailable(f"the folder of the database cannot be written ({error.strerror})") from error
        try:
            _wait(descriptor, _FIRST, number, deadline)
            fcntl.lockf(descriptor, fcntl.LOCK_UN, number, _FIRST)
            yield
        finally:
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, _FIRST + number)

    def _opened(self) -> int:
        with self._opening:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            return self._descriptor


def _next_number(descriptor: int, deadline: float) -> int:
    """Take the next number of the line."""
    _wait(descriptor, 0, 1, deadline, fcntl.LOCK_EX)
    try:
        number = int.from_bytes(os.pread(descriptor, _NUMBER_BYTES, 0)) + 1
        os.pwrite(descriptor, number.to_bytes(_NUMBER_BYTES), 0)
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _FIRST + number)
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, 0)
    return number


def _wait(descriptor: int, start: int, length: int, deadline: float, kind: int = fcntl.LOCK_SH) -> None:
    """Lock some bytes as soon as nobody else holds one of them."""
    while True:
        try:
            fcntl.lockf(descriptor, kind | fcntl.LOCK_NB, length, start)
            return
        except (BlockingIOError, PermissionError) as error:  # systems differ in what they say
            if time.monotonic() > deadline:
                raise StoreUnavailable("the database is busy with another writer") from error
        time.sleep(_LOOK_SECONDS)


_guard = threading.Lock()
_lines: "WeakValueDictionary[Path, Line]" = WeakValueDictionary()


def line_of(file: Path) -> Line:
    """Return the line that all who write to `file` in this process share: the system counts locks by the process, and
    would let go of all of them when one of several descriptors is closed."""
    with _guard:
        found = _lines.get(file.absolute())
        if found is None:
            found = _lines[file.absolute()] = Line(file.absolute())
        return found
