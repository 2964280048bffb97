"""Every stored event exactly once, in the order of the transactions that stored them: what a follower sees."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from sqlalchemy import Connection

from riskengine.errors import Fault, InvalidInput
from riskengine.inquiry.filters import Filters
from riskengine.inquiry.found import Found, found_in
from riskengine.seal import Seal
from riskengine.store import search
from riskengine.store.contract import Arrivals, EventRow

_TURNS_AT_ONCE = 100
_ROWS_AT_ONCE, _OPENED_AT_ONCE = 500, 100
_AHEAD = "is of a later state of this database, which was set back since: begin again without it, or with now"
# `arrivals` of a store.
Read = Callable[[int, int], Arrivals]


class Reached(NamedTuple):
    """How far a follower has come: behind all that the turns before `turn` saved, and the first `part` of its own."""

    turn: int = 0
    part: int = 0


class Bounds(NamedTuple):
    """How many events a walk may find, how many it may look at, and how many it may open in vain."""

    found: int
    looked_at: int
    opened: int


class Walked(NamedTuple):
    """What a walk found, how far it came, the row id of the last event that it looked at (None if there was none), and
    whether nothing more had arrived."""

    found: list[Found]
    reached: Reached
    last: int | None
    done: bool


def arrived(read: Read, reached: Reached) -> Iterator[tuple[int, Reached]]:
    """Yield the row id of each event that arrived after a place, and the place behind it; InvalidInput if the store
    has never been there."""
    turn, part = reached
    while True:
        saves, _, coming = read(turn, _TURNS_AT_ONCE)
        if turn > coming:
            raise InvalidInput([Fault("/after", _AHEAD)])
        for saved, rows in saves:
            seen = part if saved == reached.turn else 0
            yield from ((row, Reached(saved, at)) for at, row in enumerate(rows[seen:], seen + 1))
            turn = saved + 1
        if len(saves) < _TURNS_AT_ONCE:
            return


def walk(connection: Connection, read: Read, filters: Filters, reached: Reached, bounds: Bounds, seal: Seal) -> Walked:
    """Return the next events that match."""
    found: list[Found] = []
    last, looked_at, opened = None, 0, 0
    coming = arrived(read, reached)
    while looked_at < bounds.looked_at:
        part = list(islice(coming, _ROWS_AT_ONCE))
        looked_at += len(part)
        wanted = {place.id for place in search.matching(connection, filters.wanted, [row for row, _ in part])}
        rows = _rows(connection, [row for row, _ in part if row in wanted])
        for row_id, behind in part:
            if len(found) == bounds.found or opened == bounds.opened:
                return Walked(found, reached, last, False)
            reached, last = behind, row_id
            row = next(rows) if row_id in wanted else None
            if row is None or not row.raw:  # not wanted, deleted, or emptied by a purge
                continue
            one = found_in(row, seal)
            if filters.matches(one.event, one.answer):
                found.append(one)
            else:
                opened += 1
        if len(part) < _ROWS_AT_ONCE:
            return Walked(found, reached, last, True)
    return Walked(found, reached, last, False)


def _rows(connection: Connection, ids: Sequence[int]) -> Iterator[EventRow | None]:
    """Yield the events with these row ids, some read at once; None for one that has gone meanwhile."""
    for at in range(0, len(ids), _OPENED_AT_ONCE):
        some = ids[at : at + _OPENED_AT_ONCE]
        rows = {row.id: row for row in search.rows_of(connection, some)}
        yield from (rows.get(row) for row in some)
