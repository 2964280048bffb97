"""Turns: one thread at a time, first come first served."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from riskengine.errors import StoreUnavailable


class Turn:
    """A lock that is handed from each holder to whoever has waited longest.

    An ordinary lock may be taken again by the thread that just let go of it, time after time, while another waits.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def taken(self, wait_seconds: float) -> Iterator[None]:
        """Hold the turn; StoreUnavailable if it does not come within `wait_seconds`."""
        if not self._take(wait_seconds):
            raise StoreUnavailable("the database is busy with another writer")
        try:
            yield
        finally:
            self._pass_on()

    def _take(self, wait_seconds: float) -> bool:
        called = threading.Event()
        with self._guard:
            if not self._held:
                self._held = True
                return True
            self._waiting.append(called)
        if called.wait(wait_seconds):
            return True
        with self._guard:
            if called.is_set():  # it came as the time ran out
                return True
            self._waiting.remove(called)
            return False

    def _pass_on(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False


_guard = threading.Lock()
_turns: "WeakValueDictionary[Path, Turn]" = WeakValueDictionary()


def turn_of(file: Path) -> Turn:
    """Return the turn that all who write to `file` in this process share."""
    with _guard:
        found = _turns.get(file.absolute())
        if found is None:
            found = _turns[file.absolute()] = Turn()
        return found
