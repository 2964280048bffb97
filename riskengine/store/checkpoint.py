"""Checkpoints of an SQLite file: its write-ahead log is moved into the file beside the commits, not by one of them."""

import os
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

from riskengine.errors import StoreUnavailable
from riskengine.store.turn import Turn

# Pages that many batches wrote are moved once. Twice as long a log would save little and take longer to recover from.
EVERY_SECONDS = 4.0
_MOST_PASSES = 4
_FEW_PAGES = 1_000  # what is left for the writers to wait for: a few ms
_WAIT_SECONDS = 0.1  # how long to wait for writers, here and in other processes

_guard = threading.Lock()
_descriptors: dict[Path, int] = {}


class Checkpoints:
    """Moves what was committed to `file`, some seconds after it was, as long as `wrote` is called.

    A commit that runs into SQLite's own checkpoint takes the time of twenty. SQLite copies while others write, but
    begins its log anew only when all of it was copied and nobody writes: for the last part the writers of this
    process wait, in their turn.
    """

    def __init__(self, file: Path, turn: Turn) -> None:
        self._file, self._turn = file, turn
        self._due, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def wrote(self) -> None:
        """Tell that something was committed."""
        if self._due.is_set() or self._closed.is_set():
            return
        self._due.set()
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread; what is left in the log SQLite moves when its last connection closes."""
        self._closed.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while self._due.wait() and not self._closed.wait(EVERY_SECONDS):
            self._due.clear()
            # A log that cannot be moved now, for a full disk or another process, is moved the next time.
            with suppress(sqlite3.Error, OSError, StoreUnavailable):
                self._move()

    def _move(self) -> None:
        with closing(sqlite3.connect(self._file, timeout=_WAIT_SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA journal_mode").fetchone()  # opens the log: a checkpoint alone would find none
            moved = 0
            for _ in range(_MOST_PASSES):
                before, moved = moved, _pass(connection, "PASSIVE")
                if moved - before < _FEW_PAGES:
                    break
            # Most pages are on disk before the writers wait for the last ones: the file is synced as a whole.
            os.fdatasync(_descriptor(self._file))
            with self._turn.taken(_WAIT_SECONDS):
                _pass(connection, "RESTART")


def _pass(connection: sqlite3.Connection, mode: str) -> int:
    """Copy what is in the log; return how many of its pages are in the file now."""
    moved: int = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[2]
    return moved


def _descriptor(file: Path) -> int:
    """Return a descriptor of a file, which stays open until the process ends: the system would let go of all locks that
    SQLite holds on it when any descriptor of it is closed."""
    with _guard:
        if file not in _descriptors:
            _descriptors[file] = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        return _descriptors[file]
