"""What a purge and an erasure take out of the tables, some rows at a time; whoever calls holds the transaction."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, bindparam, delete, func, insert, or_, select, update

from riskengine.store.sealed import Key
from riskengine.store.tables import BLOCKS, COUNTER_USERS, COUNTERS, DAYS, EVENT_IDS, EVENTS, HISTORIES, META, REPORTS

# What is left empty of an event: what is sealed, and every digest that still says whose it was.
EMPTIED: dict[str, Any] = {
    **dict.fromkeys(("user_ref", "login_index", "device_index", "session_index")),
    **dict.fromkeys(("event_key", "fingerprint", "address_index", "raw", "assessment"), b""),
}
# Counters by the column that tells their age, and how many ms its unit is.
COUNTED: tuple[tuple[Table, Column[Any], int], ...] = (
    (COUNTERS, COUNTERS.c.minute, 60_000),
    (COUNTER_USERS, COUNTER_USERS.c.minute, 60_000),
    (DAYS, DAYS.c.day, 86_400_000),
)


def personal(connection: Connection, first: int, cutoff: int, most: int) -> list[tuple[int, bytes | None, str]]:
    """Return the next events between two row ids that are not emptied: id, user_ref and realm."""
    wanted = select(EVENTS.c.id, EVENTS.c.user_ref, EVENTS.c.realm).where(_personal_between(first, cutoff))
    return [(row[0], row[1], row[2]) for row in connection.execute(wanted.order_by(EVENTS.c.id).limit(most))]


def events_of(connection: Connection, user: bytes, cutoff: int | None, most: int) -> list[int]:
    """Return the row ids of a user's first events, all of them or those below a row id."""
    wanted = select(EVENTS.c.id).where(EVENTS.c.user_ref == user).order_by(EVENTS.c.id).limit(most)
    return list(connection.scalars(wanted if cutoff is None else wanted.where(EVENTS.c.id < cutoff)))


def expired(connection: Connection, cutoff: int, most: int) -> list[int]:
    """Return the row ids of the first events below a row id."""
    return list(connection.scalars(select(EVENTS.c.id).where(EVENTS.c.id < cutoff).order_by(EVENTS.c.id).limit(most)))


def empty(connection: Connection, ids: Collection[int]) -> None:
    """Take out of events, for good, all that tells whose they were; the decisions stay. Their ids are free again."""
    _forget(connection, ids)
    if ids:
        connection.execute(update(EVENTS).where(EVENTS.c.id.in_(ids)).values(EMPTIED))


def drop(connection: Connection, ids: Collection[int]) -> None:
    """Delete events with all that hangs on them."""
    _forget(connection, ids)
    if ids:
        connection.execute(delete(EVENTS).where(EVENTS.c.id.in_(ids)))


def drop_reports(connection: Connection, cutoff: int, most: int) -> int:
    """Delete some reports below a row id that speak of no event from there on; return how many."""
    wanted = select(REPORTS.c.id).where(_reports_before(cutoff)).order_by(REPORTS.c.id).limit(most)
    ids = list(connection.scalars(wanted))
    if ids:
        connection.execute(delete(REPORTS).where(REPORTS.c.id.in_(ids)))
    return len(ids)


def drop_reports_of(connection: Connection, user: bytes) -> int:
    """Delete all reports of a user."""
    return connection.execute(delete(REPORTS).where(REPORTS.c.user_ref == user)).rowcount


def drop_history(connection: Connection, user: bytes) -> int:
    """Delete a user's history."""
    return connection.execute(delete(HISTORIES).where(HISTORIES.c.user_ref == user)).rowcount


def drop_rows(connection: Connection, table: Table, rows: Sequence[Key]) -> None:
    """Delete rows by their primary keys."""
    if rows:
        keys = list(table.primary_key.columns)
        gone = delete(table).where(*(key == bindparam(f"key_{at}") for at, key in enumerate(keys)))
        connection.execute(gone, [{f"key_{at}": value for at, value in enumerate(row)} for row in rows])


def waiting(connection: Connection, first: int, personal_cutoff: int, cutoff: int | None, at: int) -> dict[str, int]:
    """Return how many rows a purge would take: it reads whole tables. `at` (ms since 1970) is for counters and blocks.
    """
    of_users = select(func.count(EVENTS.c.user_ref.distinct())).where(_personal_between(first, personal_cutoff))
    found = {
        "events emptied": select(func.count()).where(_personal_between(first, personal_cutoff)),
        "histories folded again": of_users,
        "reports": select(func.count()).where(_reports_before(personal_cutoff)),
        "blocks": select(func.count()).where(BLOCKS.c.expires_at < at),
        **{table.name: select(func.count()).where(age < at // unit) for table, age, unit in COUNTED},
    }
    if cutoff is not None:
        found["events deleted"] = select(func.count()).where(EVENTS.c.id < cutoff)
    return {name: connection.scalar(count) or 0 for name, count in found.items()}


def value(connection: Connection, name: str) -> bytes | None:
    """Return a named value of the store itself."""
    found: bytes | None = connection.scalar(select(META.c.value).where(META.c.name == name))
    return found


def set_value(connection: Connection, name: str, content: bytes) -> None:
    """Set a named value."""
    if not connection.execute(update(META).values(value=content).where(META.c.name == name)).rowcount:
        connection.execute(insert(META).values(name=name, value=content))


def _forget(connection: Connection, ids: Collection[int]) -> None:
    if ids:
        keys = list(connection.scalars(select(EVENTS.c.event_key).where(EVENTS.c.id.in_(ids))))
        connection.execute(delete(EVENT_IDS).where(EVENT_IDS.c.event_key.in_(keys), EVENT_IDS.c.event.in_(ids)))
        connection.execute(delete(REPORTS).where(REPORTS.c.event.in_(ids)))


def _personal_between(first: int, cutoff: int) -> Any:
    return (EVENTS.c.id >= first) & (EVENTS.c.id < cutoff) & (func.length(EVENTS.c.raw) > 0)


def _reports_before(cutoff: int) -> Any:
    return (REPORTS.c.id < cutoff) & or_(REPORTS.c.event.is_(None), REPORTS.c.event < cutoff)
