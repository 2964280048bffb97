"""A log's items in the order in which they are decided; to find it takes 16 bytes an item in memory."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from riskengine.event import REPORT_RESULTS
from riskengine.replay.spool import Piece, Spool
from riskengine.replay.told import EVENT, REPORT, Chunk

CHUNK = 6 << 10  # items
_COMPROMISED = REPORT_RESULTS.index("confirmed_compromised")
_NEVER = np.iinfo(np.int64).max


@dataclass(slots=True)
class Sequence:
    """All items of a log in order, and what has to be known of them before the first is decided.

    `repeated` are the digests of ids that several events have, `reported` those that reports name, sorted; `suspects`
    the users of events that are confirmed compromised. `since` is, of each chunk, the earliest time (ms) of its events
    and of all later ones. `in_order` says whether the log stood in this order.
    """

    spool: Spool
    pieces: deque[list[Piece]]
    count: int
    in_order: bool
    repeated: np.ndarray
    reported: np.ndarray
    suspects: frozenset[int]
    since: list[int]

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the items, once."""
        while self.pieces:
            parts = [self.spool.get(piece) for piece in self.pieces.popleft()]
            if len(parts) == 1 and self.in_order:
                yield parts[0]
                continue
            rows, ids = np.concatenate([part.rows for part in parts]), [one for part in parts for one in part.ids]
            order = np.argsort(rows["rank"])
            yield Chunk(rows[order], [ids[at] for at in order.tolist()])


@dataclass(slots=True)
class Gathering:
    """Takes chunks in as they are read."""

    spool: Spool
    _pieces: deque[Piece] = field(default_factory=deque)
    _sizes: list[int] = field(default_factory=list)
    _events: list[np.ndarray] = field(default_factory=list)  # digest of the id
    _when: list[np.ndarray] = field(default_factory=list)  # twice the time, and 1 for a report
    _compromised: list[np.ndarray] = field(default_factory=list)  # digests of the ids of events

    def __len__(self) -> int:
        return len(self._sizes)

    def take(self, chunk: Chunk) -> None:
        """Keep a chunk."""
        rows = chunk.rows
        is_report = rows["role"] == REPORT
        self._pieces.append(self.spool.put(chunk))
        self._sizes.append(len(rows))
        self._events.append(rows["event"].copy())
        self._when.append(rows["time"] * 2 + is_report)
        verdicts = is_report & (rows["result"] == _COMPROMISED)
        if verdicts.any():
            self._compromised.append(rows["event"][verdicts])

    def sequence(self, by_time: bool) -> Sequence:
        """Return all that was taken, in order of time or as it came."""
        nothing = np.zeros(0, np.int64)
        events = np.concatenate([nothing, *self._events])
        self._events = []  # at once: of many items each of these takes a hundred megabytes
        when = np.concatenate([nothing, *self._when])
        self._when = []
        is_report = (when & 1).astype(bool)
        reported = np.unique(events[is_report])
        repeated = _repeated(events[~is_report])
        suspects = self._suspects(np.unique(np.concatenate([nothing, *self._compromised])))
        if by_time and len(reported):
            when[is_report] = _after(events, when, is_report, reported)
        del events, is_report
        in_order = not by_time or bool((when[1:] >= when[:-1]).all())
        if not in_order:
            order = np.argsort(when, kind="stable")
            when, rank = when[order], np.empty(len(order), np.int64)
            rank[order] = np.arange(len(order))
            del order
            self._sizes = [min(CHUNK, len(rank) - begun) for begun in range(0, len(rank), CHUNK)]
            pieces = self._sorted(rank)
        else:
            pieces = deque([piece] for piece in self._pieces)
        self._pieces = deque()
        since = _since(when, self._sizes)
        return Sequence(self.spool, pieces, len(when), in_order, repeated, reported, suspects, since)

    def _suspects(self, compromised: np.ndarray) -> frozenset[int]:
        """Return the users of the events with these digests."""
        found: set[int] = set()
        for piece in self._pieces if len(compromised) else ():
            rows = self.spool.get(piece).rows
            own = (rows["role"] == EVENT) & np.isin(rows["event"], compromised)
            found.update(rows["user"][own].tolist())
        return frozenset(found)

    def _sorted(self, rank: np.ndarray) -> deque[list[Piece]]:
        """Part all chunks by which chunk of the order their items belong to."""
        found: deque[list[Piece]] = deque([] for _ in self._sizes)
        begun = 0
        while self._pieces:
            rows, ids = self.spool.get(self._pieces.popleft())
            rows["rank"] = rank[begun : begun + len(rows)]
            begun += len(rows)
            to = rows["rank"] // CHUNK
            order = np.argsort(to, kind="stable")
            for part in np.split(order, np.flatnonzero(np.diff(to[order])) + 1):
                some = Chunk(rows[part], [ids[at] for at in part.tolist()])
                found[to[part[0]]].append(self.spool.put(some))
        return found


def _repeated(events: np.ndarray) -> np.ndarray:
    """Return what stands more than once, sorted."""
    events.sort()
    return np.unique(events[1:][events[1:] == events[:-1]])


def _after(events: np.ndarray, when: np.ndarray, is_report: np.ndarray, reported: np.ndarray) -> np.ndarray:
    """Return when each report counts: not before the event it speaks of, the last one of that id."""
    own, of_events = events[~is_report], when[~is_report]
    at = np.minimum(np.searchsorted(reported, own), len(reported) - 1)
    meant = reported[at] == own
    last = np.zeros(len(reported), np.int64)
    last[at[meant]] = of_events[meant]
    return np.maximum(when[is_report], last[np.searchsorted(reported, events[is_report])] + 1)


def _since(when: np.ndarray, sizes: list[int]) -> list[int]:
    """Return the earliest time (ms) of the events of each chunk and of all later ones."""
    if not sizes:
        return []
    times = np.where(when & 1, _NEVER, when >> 1)
    firsts = np.minimum.reduceat(times, np.cumsum([0, *sizes[:-1]]))
    return np.minimum.accumulate(firsts[::-1])[::-1].tolist()
