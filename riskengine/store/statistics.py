"""Counts of events by the hour: made by counting hours again, apart from scoring, and read by ranges of hours."""

import json
from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Connection, and_, delete, func, insert, or_, select

from riskengine.store.tables import EVENTS, STATISTICS

HOUR_MS = 3_600_000
_AT_ONCE = 5_000  # rows that a statement reads: it must end within what a statement may take
# (realm, dimension, value) → events
Counts = Counter[tuple[str, str, str]]


def first_hour(connection: Connection) -> int | None:
    """Return the hour (since 1970) of the oldest event."""
    oldest = connection.scalar(select(func.min(EVENTS.c.occurred_at)))
    return None if oldest is None else oldest // HOUR_MS


def counted(connection: Connection, hour: int) -> Counts:
    """Return the events of an hour by decision, reason, country and kind of network, whatever is unknown left out."""
    c, counts, after = EVENTS.c, Counts(), None
    wanted = (
        select(c.occurred_at, c.id, c.realm, c.decision, c.country, c.network, c.reasons)
        .where(c.occurred_at >= hour * HOUR_MS, c.occurred_at < (hour + 1) * HOUR_MS)
        .order_by(c.occurred_at, c.id)
        .limit(_AT_ONCE)
    )
    while True:
        behind = wanted if after is None else wanted.where(
            c.occurred_at >= after[0], or_(c.occurred_at > after[0], and_(c.occurred_at == after[0], c.id > after[1]))
        )  # fmt: skip
        rows = connection.execute(behind).all()
        for row in rows:
            counts[row.realm, "decision", row.decision] += 1
            counts[row.realm, "network", row.network] += 1
            if row.country is not None:
                counts[row.realm, "country", row.country] += 1
            for code, _ in json.loads(row.reasons):
                counts[row.realm, "reason", code] += 1
        if len(rows) < _AT_ONCE:
            return counts
        after = rows[-1].occurred_at, rows[-1].id


def is_kept(connection: Connection, hour: int, counts: Counts) -> bool:
    """Return whether the counts of an hour are what is kept of it."""
    c = STATISTICS.c
    rows = connection.execute(select(c.realm, c.dimension, c.value, c.events).where(c.hour == hour))
    return {(row.realm, row.dimension, row.value): row.events for row in rows} == counts


def keep(connection: Connection, hour: int, counts: Mapping[tuple[str, str, str], int]) -> None:
    """Put the counts of an hour in the place of what is kept of it."""
    connection.execute(delete(STATISTICS).where(STATISTICS.c.hour == hour))
    rows = [
        {"hour": hour, "realm": realm, "dimension": dimension, "value": value, "events": events}
        for (realm, dimension, value), events in sorted(counts.items())
    ]
    if rows:
        connection.execute(insert(STATISTICS), rows)


def kept(connection: Connection, realm: str, first: int, end: int) -> list[tuple[int, str, str, int]]:
    """Return (hour, dimension, value, events) of a realm for the hours from `first` to before `end`."""
    c = STATISTICS.c
    wanted = select(c.hour, c.dimension, c.value, c.events).where(c.hour >= first, c.hour < end, c.realm == realm)
    return [(row.hour, row.dimension, row.value, row.events) for row in connection.execute(wanted)]
