"""Which stored events match: walks of the few indexes that scoring keeps, each over a bounded number of rows.

What an index cannot answer is compared row by row while it is walked. A statement never looks at more rows than it is
told to, whatever is asked for: the limit stands inside of it, below what is compared.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal_column, or_, select, true

from riskengine.store.contract import EventRow, HistoryRow
from riskengine.store.tables import EVENTS, HISTORIES

FEW = 5_000  # events of a network that are sorted by time rather than sought along it
_BY_TIME, _BY_USER, _BY_ADDRESS, _NOT_ALLOWED = (
    "ix_events_occurred_at",
    "ix_events_user_ref_occurred_at",
    "ix_events_realm_address_index",
    "ix_events_not_allowed",
)


class Place(NamedTuple):
    """Where an event stands: by time, then by row id; `score` (tenths of a point) leads where that orders."""

    occurred_at: int
    id: int
    score: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are wanted, as far as their clear columns tell. Times are ms since 1970, `since` inclusive.

    `address` is the range of the address index, both ends inclusive. `among` names columns and the values of which one
    is wanted. `score` is the least and the highest, in tenths of a point.
    """

    realm: str
    user: bytes | None = None
    address: tuple[bytes, bytes] | None = None
    since: int | None = None
    until: int | None = None
    score: tuple[int, int] | None = None
    reason: str | None = None
    among: dict[str, tuple[Any, ...]] = field(default_factory=dict)


class Seen(NamedTuple):
    """What one walk came to: the places of events that match, in order; the place of the last row looked at, None if
    there was none; how many were looked at; and whether there is nothing behind."""

    found: list[Place]
    last: Place | None
    looked_at: int
    done: bool


def newest(connection: Connection, wanted: Wanted, after: Place | None, most: int) -> Seen:
    """Look at the next `most` events after a place, newest first."""
    index = _served(connection, wanted)
    if index == _BY_ADDRESS:
        return _sorted(connection, wanted, after, most)
    looked = _held(wanted, index, _within(wanted, after)).order_by(*_newest(EVENTS.c)).limit(most)
    rows = connection.execute(looked).all()
    last = Place(rows[-1].occurred_at, rows[-1].id) if rows else None
    return Seen([Place(row.occurred_at, row.id) for row in rows if row.hit], last, len(rows), len(rows) < most)


def strongest(connection: Connection, wanted: Wanted, after: Place | None, most: int, range_most: int) -> Seen | None:
    """Return the next `most` events after a place by score, highest first; None if more than `range_most` would have to
    be looked at."""
    index = _served(connection, wanted)
    inner = _held(wanted, index, _within(wanted, None)).limit(range_most + 1).subquery()
    looked_at = _count(connection, inner)
    if looked_at > range_most:
        return None
    c = inner.c
    behind: ColumnElement[bool] = true()
    if after is not None:
        behind = or_(c.score < after.score, and_(c.score == after.score, _behind(c, after)))
    rows = connection.execute(
        select(inner).where(c.hit == 1, behind).order_by(c.score.desc(), *_newest(c)).limit(most)
    ).all()
    found = [Place(row.occurred_at, row.id, row.score) for row in rows]
    return Seen(found, found[-1] if found else None, looked_at, len(rows) < most)


def count(connection: Connection, wanted: Wanted, most: int, look_at: int) -> tuple[int, bool]:
    """Return how many events match, counted up to `most`, and whether that is all: False also where it would have taken
    looking at more than `look_at` rows."""
    index = _served(connection, wanted)
    held = _held(wanted, index, _within(wanted, None))
    if index != _BY_ADDRESS:
        held = held.order_by(*_newest(EVENTS.c))
    inner = held.limit(look_at + 1).subquery()
    looked_at, hits = connection.execute(select(func.count(), func.coalesce(func.sum(inner.c.hit), 0))).one()
    return min(int(hits), most), looked_at <= look_at and hits <= most


def matching(connection: Connection, wanted: Wanted, ids: Collection[int]) -> list[Place]:
    """Return which of these row ids are events that match, in the order of the ids."""
    rows = connection.execute(
        _held(wanted, None, (EVENTS.c.id.in_(list(ids)), *_within(wanted, None))).order_by(EVENTS.c.id)
    )
    return [Place(row.occurred_at, row.id) for row in rows if row.hit]


def rows_of(connection: Connection, ids: Sequence[int]) -> list[EventRow]:
    """Return the events with these row ids, in this order; those that are gone are left out."""
    found = {row.id: EventRow(*row) for row in connection.execute(select(EVENTS).where(EVENTS.c.id.in_(list(ids))))}
    return [found[row] for row in ids if row in found]


def history_of(connection: Connection, user: bytes) -> HistoryRow | None:
    """Return what is stored of a user."""
    row = connection.execute(select(HISTORIES).where(HISTORIES.c.user_ref == user)).one_or_none()
    return None if row is None else HistoryRow(*row)


def _served(connection: Connection, wanted: Wanted) -> str:
    """Return the index that serves a search: all but the one of addresses give their events by time."""
    if wanted.user is not None:
        return _BY_USER
    if wanted.address is not None and _is_few(connection, wanted):
        return _BY_ADDRESS
    decisions = wanted.among.get("decision")
    return _NOT_ALLOWED if decisions and "allow" not in decisions else _BY_TIME


def _is_few(connection: Connection, wanted: Wanted) -> bool:
    """Return whether no more than FEW events stand in the wanted range of the address index."""
    assert wanted.address is not None
    held = _held(wanted, _BY_ADDRESS, ()).limit(FEW + 1).subquery()
    return _count(connection, held) <= FEW


def _sorted(connection: Connection, wanted: Wanted, after: Place | None, most: int) -> Seen:
    """Look at all events of a network, which are few, and return the next ones after a place, newest first."""
    inner = _held(wanted, _BY_ADDRESS, ()).limit(FEW + 1).subquery()
    c = inner.c
    asked = [c.hit == 1]
    if after is not None:
        asked.append(_behind(c, after))
    if wanted.since is not None:
        asked.append(c.occurred_at >= wanted.since)
    if wanted.until is not None:
        asked.append(c.occurred_at < wanted.until)
    rows = connection.execute(select(inner).where(*asked).order_by(*_newest(c)).limit(most)).all()
    found = [Place(row.occurred_at, row.id) for row in rows]
    return Seen(found, found[-1] if found else None, len(rows), len(rows) < most)


def _held(wanted: Wanted, index: str | None, within: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """Return the events along an index within bounds of it; `hit` says whether one is wanted, whatever the index."""
    c = EVENTS.c
    bounds = list(within)
    if index == _BY_USER:
        bounds.append(c.user_ref == wanted.user)
    if index == _BY_ADDRESS:
        assert wanted.address is not None
        bounds += [c.realm == wanted.realm, c.address_index.between(*wanted.address)]
    if index == _NOT_ALLOWED:
        # In the words of the index: as a bound value it would not be known for a part of it.
        bounds.append(literal_column("events.decision != 'allow'"))
    found = select(c.id, c.occurred_at, c.score, _hit(wanted).label("hit")).where(*bounds)
    # SQLite keeps no statistics of ours, and may take the wrong index without being told.
    return found if index is None else found.with_hint(EVENTS, f"INDEXED BY {index}", "sqlite")


def _hit(wanted: Wanted) -> ColumnElement[int]:
    c = EVENTS.c
    asked: list[ColumnElement[bool]] = [c.realm == wanted.realm]
    if wanted.user is not None:
        asked.append(c.user_ref == wanted.user)
    if wanted.address is not None:
        asked.append(c.address_index.between(*wanted.address))
    if wanted.score is not None:
        asked.append(c.score.between(*wanted.score))
    if wanted.reason is not None:
        asked.append(c.reasons.contains(f'["{wanted.reason}",', autoescape=True))
    asked += [c[name].in_(values) for name, values in wanted.among.items()]
    return case((and_(*asked), 1), else_=0)


def _within(wanted: Wanted, after: Place | None) -> list[ColumnElement[bool]]:
    """Return the bounds in time: those wanted, and what comes after a place, newest first."""
    at = EVENTS.c.occurred_at
    bounds = []
    if wanted.since is not None:
        bounds.append(at >= wanted.since)
    if wanted.until is not None:
        bounds.append(at < wanted.until)
    if after is not None:
        bounds += [at <= after.occurred_at, _behind(EVENTS.c, after)]
    return bounds


def _behind(c: Any, after: Place) -> ColumnElement[bool]:
    return or_(c.occurred_at < after.occurred_at, and_(c.occurred_at == after.occurred_at, c.id < after.id))


def _newest(c: Any) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return c.occurred_at.desc(), c.id.desc()


def _count(connection: Connection, held: Any) -> int:
    return connection.scalar(select(func.count()).select_from(held)) or 0
