"""Which events each transaction saved, in an order that a follower can trust: its *turn*.

A row id tells when an event arrived, not when it was stored: a slower transaction stores a lower id after a faster one
stored a higher. So each transaction leaves a row with the row ids of its events. On SQLite, where one writes at a time,
turns are counted up. On PostgreSQL a turn is the number of the transaction, and only turns below those of all that are
still under way in the database are read: whatever is stored later has a higher one.
"""

import struct
from collections.abc import Sequence
from itertools import takewhile

from sqlalchemy import Connection, delete, func, select, text

from riskengine.store import removal
from riskengine.store.contract import Arrivals
from riskengine.store.postgresql import BASE
from riskengine.store.tables import ARRIVALS

_LAST = select(func.max(ARRIVALS.c.turn)).scalar_subquery()
_BASE_NAME = "arrivals:base"  # as in BASE
# The turn of the first transaction that is under way in this database, and of the next one to come. One whose database
# does not show (it ended just now, or is prepared) counts as of this one.
_TURNS = text(f"""\
SELECT coalesce(min(xid::text::bigint), next) + {BASE} AS settled, next + {BASE} AS coming
FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) AS coming
LEFT JOIN pg_snapshot_xip(pg_current_snapshot()) AS xid ON NOT EXISTS (
    SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'transactionid' AND transactionid = xid::xid AND mode = 'ExclusiveLock' AND granted
    AND datname <> current_database()
)
GROUP BY next""")  # noqa: S608 (BASE is ours)


def packed(events: Sequence[int]) -> bytes:
    """Return row ids as bytes that can be strung together.

    >>> unpacked(packed([1, 2**62]) + packed([3]))
    (1, 4611686018427387904, 3)
    """
    return struct.pack(f">{len(events)}q", *events)


def unpacked(events: bytes) -> tuple[int, ...]:
    """Return the row ids that `packed` was given."""
    return struct.unpack(f">{len(events) // 8}q", events)


def arrivals(connection: Connection, turn: int, most: int) -> Arrivals:
    """Return what the next `most` turns saved, from `turn` on."""
    settled, coming = _turns(connection)
    wanted = select(ARRIVALS).where(ARRIVALS.c.turn >= turn, ARRIVALS.c.turn < settled)
    rows = connection.execute(wanted.order_by(ARRIVALS.c.turn).limit(most))
    return Arrivals([(row.turn, unpacked(row.events)) for row in rows], settled, coming)


def old(connection: Connection, cutoff: int, after: int, most: int) -> list[int]:
    """Return the first turns behind `after`, up to one that saved an event from the row id `cutoff` on.

    The last turn of all is never old: on SQLite the next one is counted from it.
    """
    first = select(ARRIVALS).where(ARRIVALS.c.turn > after, ARRIVALS.c.turn < _LAST).order_by(ARRIVALS.c.turn)
    rows = connection.execute(first.limit(most)).all()
    return [row.turn for row in takewhile(lambda row: max(unpacked(row.events)) < cutoff, rows)]


def drop(connection: Connection, cutoff: int, most: int) -> int:
    """Delete old turns, `most` at once; return how many."""
    turns = old(connection, cutoff, -1, most)
    if turns:
        connection.execute(delete(ARRIVALS).where(ARRIVALS.c.turn <= turns[-1]))
    return len(turns)


def mend(connection: Connection) -> None:
    """Let the next turn come after all that are stored.

    A server of PostgreSQL that a dump was loaded into counts its transactions from a lower number than the one that the
    dump was made of. Every store does this before its first transaction.
    """
    if connection.dialect.name == "postgresql" and _is_behind(connection):
        connection.execute(text("LOCK TABLE arrivals IN SHARE ROW EXCLUSIVE MODE"))
        if _is_behind(connection):  # still: nobody else has done it meanwhile
            removal.set_value(connection, _BASE_NAME, str(connection.scalar(select(_LAST))).encode())


def _is_behind(connection: Connection) -> bool:
    """Return whether a stored turn is one that the server would give out only later."""
    last = connection.scalar(select(_LAST))
    return last is not None and last >= _turns(connection)[1]


def _turns(connection: Connection) -> tuple[int, int]:
    """Return the turn below which nothing is added any more, and one that none has reached yet.

    Asked before the rows are read: what was settled then is settled.
    """
    if connection.dialect.name == "postgresql":
        settled, coming = connection.execute(_TURNS).one()
        return settled, coming
    following: int = connection.scalar(select(func.coalesce(func.max(ARRIVALS.c.turn) + 1, 0))) or 0
    return following, following
