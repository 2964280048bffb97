"""The month partitions of `events` on PostgreSQL: made ahead, dropped when their time is over.

They are cut by row id, which begins with the time of arrival. Beside the months there are `events_before`, what was
stored before there were any, and `events_default`, what no month covers: rows found there move into their month when
that is made.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from riskengine.errors import StoreUnavailable
from riskengine.event import DAY_MS
from riskengine.store.database import opened, translated
from riskengine.store.postgresql import PATIENT_MS, STATEMENT_MS, Postgresql

__all__ = ["PATIENT_MS", "STATEMENT_MS", "Kept", "arrived_at", "first_id", "is_partition", "keep"]

MONTHS_AHEAD = 3
ERA_MS = 1_577_836_800_000  # what row ids count from: 2020-01-01
ID_BITS = 22  # what follows the ms in a row id
# Scoring waits behind whoever waits for a lock on `events`, and longer than this: it never fails over it.
LOCK_SECONDS = 0.1
TRIES, PAUSE_SECONDS = 50, 0.2
IDS_AT_ONCE = 2000
# Advisory locks of two numbers are apart from those of one, which are the users'; that of an upgrade ends in 1.
_KEEP_LOCK = (0x7269736B, 2)

_TRY = "SELECT pg_try_advisory_xact_lock(%s::int, %s::int)"
_PARTITIONS = text("""\
SELECT child.relname, pg_get_expr(child.relpartbound, child.oid)
FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = to_regclass('events')""")
_FORGET = """\
WITH old AS MATERIALIZED (SELECT id, event_key FROM {name} WHERE id > :last ORDER BY id LIMIT :most),
forgotten AS (DELETE FROM event_ids USING old WHERE event_ids.event_key = old.event_key AND event = old.id)
SELECT max(id) FROM old"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What one run did: the names of the partitions made and dropped."""

    made: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class _Elsewhere(Exception):
    """Another process is at it."""


def is_partition(table: str) -> bool:
    """Return whether a table of this name is a part of `events`.

    >>> [is_partition(name) for name in ("events_2026_11", "events_before", "events_default", "event_ids")]
    [True, True, True, False]
    """
    return re.fullmatch(r"events_(\d{4}_\d{2}|before|default)", table) is not None


def first_id(at: int) -> int:
    """Return the least row id of what arrives at `at`, ms since 1970."""
    return max(at - ERA_MS, 0) << ID_BITS


def arrived_at(row: int) -> int:
    """Return when the event with this row id arrived, ms since 1970.

    >>> arrived_at(first_id(1_790_000_000_000) + 5)
    1790000000000
    """
    return (row >> ID_BITS) + ERA_MS


def keep(
    url: str,
    now: int,
    retention_days: int | None,
    statement_ms: int = STATEMENT_MS,
    stopped: Callable[[], bool] = lambda: False,
) -> Kept:
    """Make the partitions of this month and the next ones, and drop those that ended `retention_days` ago (None: no).

    Of a dropped partition the event ids are free again. `statement_ms` bounds each step, and so how long scoring may
    wait for one; between steps it ends early if `stopped`. Does nothing on SQLite, nor while another process does it.
    Raise StoreUnavailable when the database does not answer or a step finds no quiet moment.
    """
    database = opened(url, LOCK_SECONDS)
    if not isinstance(database, Postgresql):
        return Kept()
    keeper = _Keeper(database, statement_ms, stopped)
    made: list[str] = []
    dropped: list[str] = []
    try:
        with translated():
            made.extend(keeper.make_ahead(now))
            if retention_days is not None:
                dropped.extend(keeper.drop_before(first_id(now - retention_days * DAY_MS)))
    except _Elsewhere:
        pass
    finally:
        database.close()
    return Kept(tuple(made), tuple(dropped))


@dataclass(frozen=True, slots=True)
class _Keeper:
    database: Postgresql
    statement_ms: int
    stopped: Callable[[], bool]

    def make_ahead(self, now: int) -> Iterator[str]:
        """Make what is missing of this month and the next ones; yield the names."""
        begins = [_month_after(now, months) for months in range(MONTHS_AHEAD + 2)]
        for first, end in pairwise(begins):
            name = f"events_{first:%Y_%m}"
            if not self.stopped() and self._patiently(partial(_make, name, _id(first), _id(end))):
                yield name

    def drop_before(self, cutoff: int) -> Iterator[str]:
        """Drop the partitions that hold nothing from `cutoff` on; yield the names."""
        with self._step() as connection:
            ends = _ends(connection)
        for name, end in sorted(ends.items()):
            if end is not None and end <= cutoff:
                self._forget_ids(name)
                if not self.stopped():
                    self._patiently(partial(_drop, name))
                    yield name

    def _forget_ids(self, name: str) -> None:
        """Free the event ids of a partition's events, some at a time. Done before it goes: it alone knows them."""
        last: int | None = -1
        while last is not None and not self.stopped():
            with self._step() as connection:
                given = {"last": last, "most": IDS_AT_ONCE}
                last = connection.scalar(text(_FORGET.format(name=name)), given)

    def _patiently(self, step: Callable[[Connection], bool]) -> bool:
        """Take a step that needs a lock for a moment, again and again while it does not get it."""
        for _ in range(TRIES):
            try:
                with self._step() as connection:
                    return step(connection)
            except OperationalError as error:
                if not isinstance(error.orig, psycopg.errors.LockNotAvailable) or self.stopped():
                    raise
            time.sleep(PAUSE_SECONDS)
        raise StoreUnavailable("the partitions of events are never free for a moment")

    @contextmanager
    def _step(self) -> Iterator[Connection]:
        """Begin a transaction that no other process makes at the same time."""
        with self.database.engine.begin() as connection:
            if not connection.exec_driver_sql(_TRY, _KEEP_LOCK).scalar():
                raise _Elsewhere
            connection.execute(text(f"SET LOCAL statement_timeout = {self.statement_ms}"))
            yield connection


def _ends(connection: Connection) -> dict[str, int | None]:
    """Return where each partition ends, by name: the id that all of its are below, None for the default one."""
    found = {}
    for name, bound in connection.execute(_PARTITIONS):
        end = re.search(r"TO \('(\d+)'\)", bound)
        found[name] = int(end[1]) if end else None
    return found


def _make(name: str, first: int, end: int, connection: Connection) -> bool:
    """Make the partition of the ids from `first` to below `end`; False if there is one, or one of later ids.

    Writers wait for a moment: whoever was on the way to the default partition would be refused there afterwards.
    """
    ends = _ends(connection)
    if not ends or any(other is not None and first < other for other in ends.values()):
        return False
    connection.execute(text("LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE"))
    connection.execute(
        text(f"CREATE TABLE {name} (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)")
    )
    misplaced = f"FROM events_default WHERE id >= {first} AND id < {end}"
    if connection.scalar(text(f"SELECT EXISTS (SELECT {misplaced})")):
        connection.execute(text(f"INSERT INTO {name} SELECT * {misplaced}"))
        connection.execute(text(f"DELETE {misplaced}"))
    connection.execute(text(f"ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({end})"))
    return True


def _drop(name: str, connection: Connection) -> bool:
    connection.execute(text(f"DROP TABLE {name}"))
    return True


def _id(month: datetime) -> int:
    return first_id(round(month.timestamp() * 1000))


def _month_after(now: int, months: int) -> datetime:
    """Return the beginning of the month that is `months` after that of `now` (ms since 1970), UTC."""
    here = datetime.fromtimestamp(now / 1000, UTC)
    counted = here.year * 12 + here.month - 1 + months
    return datetime(counted // 12, counted % 12 + 1, 1, tzinfo=UTC)
