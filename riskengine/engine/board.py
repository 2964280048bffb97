"""Day cells that many events look at, kept between batches: those of networks, places and countries."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from riskengine.engine.sharing import KINDS, kind_of
from riskengine.store.contract import DayCell, DayRow, Transaction

# How late the cells that other workers write may be seen; a line's or a user's are read anew each time.
LATE_SECONDS = 2.0
MOST = 4_096  # keys kept; each has a row a day
_SHARED = frozenset(KINDS.index(name) for name in ("network", "place", "country"))
_NONE = np.zeros((0, 5), np.int64)

Span = tuple[int, int, int]


@dataclass(slots=True)
class _Kept:
    """All cells of one key within a span of days, read at `since`, and what was added since then."""

    first: int
    last: int
    since: float
    cells: np.ndarray


class Board:
    """The shared cells that one engine has seen. Not safe between threads: one batch is counted at a time.

    Most rows that a batch would read are these, the same ones again and again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[int, _Kept] = {}

    def load(self, tx: Transaction, spans: Sequence[Span]) -> np.ndarray:
        """Return the day cells within spans (key, first day, last day), as rows of `DayCell` (int64)."""
        now, found, missing = self._clock(), [_NONE], []
        for span in spans:
            kept = self._kept.get(span[0])
            if kept is not None and kept.first <= span[1] and span[2] <= kept.last and now - kept.since < LATE_SECONDS:
                found.append(kept.cells)
            else:
                missing.append(span)
        rows = _columns(tx.load_days(missing)) if missing else _NONE
        self._keep(missing, rows, now)
        return np.concatenate([*found, rows])

    def took(self, cells: Sequence[DayCell]) -> None:
        """Take in what was committed."""
        for cell in cells:
            kept = self._kept.get(cell.key)
            if kept is not None:
                kept.cells = np.concatenate([kept.cells, _columns([cell])])

    def _keep(self, spans: Sequence[Span], rows: np.ndarray, now: float) -> None:
        """Keep what was read of keys that many share."""
        shared = [span for span in spans if kind_of(span[0]) in _SHARED]
        if shared and len(self._kept) > MOST:
            self._kept.clear()
        for key, first, last in shared:
            self._kept[key] = _Kept(first, last, now, _merged(rows[rows[:, 0] == key]))


def _merged(rows: np.ndarray) -> np.ndarray:
    """Return the cells of one key as one a day: a worker is a process, and each start of one leaves rows of its own."""
    days, of = np.unique(rows[:, 1], return_inverse=True)
    found = np.zeros((len(days), 5), np.int64)
    found[:, 1] = days
    np.bitwise_or.at(found, of, rows * (0, 0, 1, 1, 1))
    found[:, 0] = rows[:1, 0]
    return found


def _columns(rows: Sequence[DayRow]) -> np.ndarray:
    return np.fromiter(chain.from_iterable(rows), np.int64, 5 * len(rows)).reshape(-1, 5)
