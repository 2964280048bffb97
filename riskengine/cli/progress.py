"""How far a long command is: one line on a terminal, with the rate and the time that is left."""

import time
from collections.abc import Callable
from typing import IO

EVERY_SECONDS = 0.5


class Progress:
    """Counts items, of `total` where that is known, and says how far it is; the last word ends the line."""

    def __init__(
        self, label: str, total: int | None, stream: IO[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._label, self._total, self._stream, self._clock = label, total, stream, clock
        self._begun = self._said = clock()
        self._done, self._width = 0, 0

    def __call__(self, count: int) -> None:
        """Count so many more."""
        self._done += count
        now = self._clock()
        if now - self._said >= EVERY_SECONDS:
            self._said = now
            self._say("\r")

    def close(self) -> None:
        """Say how it ended."""
        self._say("\r")
        self._stream.write("\n")
        self._stream.flush()

    def _say(self, before: str) -> None:
        text = told(self._label, self._done, self._total, self._clock() - self._begun)
        self._stream.write(before + text.ljust(self._width))
        self._stream.flush()
        self._width = len(text)


def told(label: str, done: int, total: int | None, seconds: float) -> str:
    """Return how far it is after so many seconds.

    >>> told("deciding", 500_000, 1_000_000, 10.0)
    'deciding 500,000 of 1,000,000 (50 %), 50,000/s, 0:10 left'
    >>> told("reading", 5, None, 0.0)
    'reading 5'
    """
    rate = done / seconds if seconds > 0 else 0.0
    of = "" if not total else f" of {total:,} ({100 * done // total} %)"
    speed = f", {rate:,.0f}/s" if rate else ""
    if not total or not rate or done >= total:
        return f"{label} {done:,}{of}{speed}"
    minutes, rest = divmod(round((total - done) / rate), 60)
    return f"{label} {done:,}{of}{speed}, {minutes}:{rest:02} left"
