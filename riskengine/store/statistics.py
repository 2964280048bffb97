"""Counts of events by the hour and the day: made by counting hours again, apart from scoring, and read by ranges."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping

from sqlalchemy import BigInteger, Connection, delete, exists, func, insert, literal, select, tuple_

from riskengine.store.tables import EVENTS, STATISTICS

HOUR_MS = 3_600_000
_AT_ONCE = 5_000  # rows that a statement reads: it must end within what a statement may take
# (realm, dimension, value) → events
Counts = Counter[tuple[str, str, str]]


def hour_before(connection: Connection, hour: int) -> int | None:
    """Return the last hour (since 1970) before this one that has events, or counts that are kept; None without one."""
    event = connection.scalar(select(func.max(EVENTS.c.occurred_at)).where(EVENTS.c.occurred_at < hour * HOUR_MS))
    count = connection.scalar(select(func.max(STATISTICS.c.hour)).where(STATISTICS.c.hour.between(0, hour - 1)))
    hours = (None if event is None else event // HOUR_MS, count)
    return max((one for one in hours if one is not None), default=None)


def counted(connection: Connection, hour: int) -> Counts:
    """Return the events of an hour by decision, reason, country and kind of network, whatever is unknown left out.

    The database counts what is alike, since most events have no reasons: row by row it was scoring's time, of an
    interpreter that runs one thread at once.
    """
    c, counts = EVENTS.c, Counts()
    place = tuple_(c.occurred_at, c.id)
    beginning = select(c.occurred_at, c.id).order_by(c.occurred_at, c.id).offset(_AT_ONCE).limit(1)
    alike = (c.realm, c.decision, c.network, c.country, c.reasons)
    end = c.occurred_at < (hour + 1) * HOUR_MS
    within = [c.occurred_at >= hour * HOUR_MS, end]
    while True:
        following = connection.execute(beginning.where(*within)).first()
        part = within if following is None else [*within, place < tuple(following)]
        found = connection.execute(select(*alike, func.count()).where(*part).group_by(*alike))
        for realm, decision, network, country, reasons, events in found:
            counts[realm, "decision", decision] += events
            counts[realm, "network", network] += events
            if country is not None:
                counts[realm, "country", country] += events
            for code, _ in json.loads(reasons):
                counts[realm, "reason", code] += events
        if following is None:
            return counts
        within = [place >= tuple(following), end]


def is_kept(connection: Connection, hour: int, counts: Counts) -> bool:
    """Return whether the counts of an hour are what is kept of it, and its day is counted too."""
    c = STATISTICS.c
    rows = connection.execute(select(c.realm, c.dimension, c.value, c.events).where(c.hour == hour))
    same = {(row.realm, row.dimension, row.value): row.events for row in rows} == counts
    day = select(exists().where(c.hour == _place_of_day(hour)))
    return same and (not counts or bool(connection.scalar(day)))


def keep(connection: Connection, hour: int, counts: Mapping[tuple[str, str, str], int]) -> None:
    """Put the counts of an hour in the place of what is kept of it, and add up its day again."""
    c, day = STATISTICS.c, _place_of_day(hour)
    connection.execute(delete(STATISTICS).where(c.hour.in_((hour, day))))
    rows = [
        {"hour": hour, "realm": realm, "dimension": dimension, "value": value, "events": events}
        for (realm, dimension, value), events in sorted(counts.items())
    ]
    if rows:
        connection.execute(insert(STATISTICS), rows)
    first = hour // 24 * 24
    of_day = (c.realm, c.dimension, c.value)
    added = select(literal(day, BigInteger), *of_day, func.sum(c.events)).where(c.hour >= first, c.hour < first + 24)
    columns = [column.name for column in STATISTICS.columns]
    connection.execute(insert(STATISTICS).from_select(columns, added.group_by(*of_day)))


def kept(connection: Connection, realm: str, first: int, end: int, hours: int) -> Iterator[tuple[int, str, str, int]]:
    """Yield (step, dimension, value, events) of a realm for the steps of `hours` (1 or 24) from the hour `first` to
    before `end`, the first one 0."""
    c = STATISTICS.c
    low, high = (first, end - 1) if hours == 1 else (_place_of_day(end - 1), _place_of_day(first))
    wanted = select(c.hour, c.dimension, c.value, c.events).where(c.hour >= low, c.hour <= high, c.realm == realm)
    for hour, dimension, value, events in connection.execute(wanted):
        yield hour - low if hours == 1 else high - hour, dimension, value, events


def _place_of_day(hour: int) -> int:
    """Return what stands as the hour of a day's counts: days are counted down from below zero.

    >>> [_place_of_day(hour) for hour in (0, 23, 24)]
    [-1, -1, -2]
    """
    return -1 - hour // 24
