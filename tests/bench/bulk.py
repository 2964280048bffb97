"""Millions of events in minutes: copies of the stored ones, each a row of its own with blobs really sealed for it.

Users and histories come through the front door (`riskengine replay --save`); what is multiplied here is their events,
with the rows that an event leaves in the other tables. Secondary indexes are dropped before and built afterwards,
primary keys are filled in their own order, and nothing is synced before the end. A copy's user and event id are its
own, in its columns and inside its sealed blobs, and so is the time in its columns; place, device and decision are those
of the event it was copied from.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from sqlalchemy import BigInteger, Integer, LargeBinary, Table, create_engine
from sqlalchemy.engine import make_url

from riskengine.compression import compressed, expanded
from riskengine.engine.tokens import Tokeniser
from riskengine.seal import Keys, Seal
from riskengine.store.arrivals import packed
from riskengine.store.tables import ARRIVALS, COUNTER_USERS, COUNTERS, DAYS, EVENT_IDS, EVENTS

REALM = "default"
_TEMPLATES = 2_000
_AT_ONCE = 50_000
_EVENTS_A_TURN = 16  # that one transaction saved
MONTH_MS = 30 * 86_400_000  # over which copies are spread
_MS = 1 << 22  # how far apart row ids of two ms are
_COLUMNS = [column.name for column in EVENTS.columns]
_OWN = ("id", "event_key", "fingerprint", "user_ref", "user_seq", "occurred_at", "raw", "assessment")
Row = Sequence[Any]


def event_id(number: int) -> str:
    """Return the event id of a copy: as long as those of `people.history`, in whose place it stands."""
    return f"b{number:010d}"


def grow(url: str, key_file: Path, users: int, events: int, progress: Callable[[int], None]) -> None:
    """Add so many events to a store whose users are known, each of `people`'s `users` in turn; its servers are down.

    `progress` is told how many are there.
    """
    seal = Seal(Keys.read(key_file))
    with _loading(url) as load:
        stored = load.rows(f"SELECT {', '.join(_COLUMNS)} FROM events ORDER BY id LIMIT {_TEMPLATES}")
        [(held,)] = load.rows("SELECT count(*) FROM events")
        others = {table: load.rows(f"SELECT * FROM {table.name}") for table in (COUNTERS, COUNTER_USERS, DAYS)}
        engine = create_engine(url)
        for index in EVENTS.indexes:
            index.drop(engine)
        keys = np.empty((events, 2), ">u8")
        ids = np.empty(events, np.int64)
        load.write(EVENTS, _events(stored, seal, users, events, keys, ids, progress))
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        load.write(EVENT_IDS, _claims(keys, ids, order))
        [(last,)] = load.rows("SELECT max(turn) FROM arrivals")
        load.write(ARRIVALS, _arrivals(ids, last))
        for table, rows in others.items():
            load.write(table, _spread(table, rows, round(len(rows) * events / held)))
        load.finish()
        for index in EVENTS.indexes:
            index.create(engine)
        engine.dispose()


def _events(
    stored: Sequence[Row], seal: Seal, users: int, events: int, keys: np.ndarray, ids: np.ndarray, progress: Any
) -> Iterator[Row]:
    """Yield the rows of the copies, ids rising and below those that are stored; fill in their keys and ids."""
    tokeniser = Tokeniser(seal)
    templates = cycle([_template(row, seal) for row in stored])
    refs = [tokeniser.user_ref(REALM, f"u{number:08d}") for number in range(users)]
    first = int(stored[0][0]) - (events + 1) * _MS
    place = [_COLUMNS.index(name) for name in _OWN]
    ends = min(row[_COLUMNS.index("occurred_at")] for row in stored)
    for number in range(events):
        values, raw, assessment, their_id, their_user, their_ref = next(templates)
        user, row_id, own_id = number % users, first + number * _MS, event_id(number)
        ref, key = refs[user], tokeniser.event_key(REALM, own_id)
        keys[number], ids[number] = np.frombuffer(key, ">u8"), row_id
        raw = raw.replace(their_id, own_id.encode()).replace(their_user, b"u%08d" % user)
        assessment = assessment.replace(their_id, own_id.encode()).replace(their_ref, ref.hex().encode())
        blobs = (("raw", raw), ("assessment", assessment))
        sealed = [seal.seal(compressed(blob), REALM, name, row_id) for name, blob in blobs]
        row = list(values)
        occurred_at = ends - (events - number) * MONTH_MS // events
        own = (row_id, key, key[::-1], ref, 2 + number // users, occurred_at, *sealed)
        for at, value in zip(place, own, strict=True):
            row[at] = value
        yield row
        if number % _AT_ONCE == 0:
            progress(number)


def _template(row: Row, seal: Seal) -> tuple[Row, bytes, bytes, bytes, bytes, bytes]:
    """Return a stored event opened: its row, both blobs, and in them what is replaced: event id, user, user_ref."""
    named = dict(zip(_COLUMNS, row, strict=True))
    raw, assessment = (expanded(seal.open(named[name], REALM, name, named["id"])) for name in ("raw", "assessment"))
    own_id = raw.split(b'"event_id":"', 1)[1].split(b'"', 1)[0]
    user = raw.split(b'"user_id":"', 1)[1].split(b'"', 1)[0]
    return row, raw, assessment, own_id, user, named["user_ref"].hex().encode()


def _claims(keys: np.ndarray, ids: np.ndarray, order: np.ndarray) -> Iterator[Row]:
    for number in order:
        key = keys[number].tobytes()
        yield key, int(ids[number]), key[::-1]


def _arrivals(ids: np.ndarray, last: int) -> Iterator[Row]:
    """Yield what so many transactions would have saved after the `last` one."""
    for turn, at in enumerate(range(0, len(ids), _EVENTS_A_TURN), last + 1):
        yield turn, packed(ids[at : at + _EVENTS_A_TURN].tolist())


def _spread(table: Table, rows: Sequence[Row], count: int) -> Iterator[Row]:
    """Yield copies of a counter table's rows under keys that nobody else has, in the order of its primary key."""
    at = [column.name for column in table.columns].index("key")
    keys = np.sort(np.random.default_rng(1).integers(1 << 40, 1 << 62, count))
    for key, row in zip(keys.tolist(), cycle(rows), strict=False):
        yield (*row[:at], key, *row[at + 1 :])


class _Sqlite:
    """Writes to an SQLite file that nobody else uses."""

    def __init__(self, file: str) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1000000"):
            self._connection.execute(f"PRAGMA {setting}")

    def rows(self, statement: str) -> list[Row]:
        return self._connection.execute(statement).fetchall()

    def write(self, table: Table, rows: Iterable[Row]) -> None:
        marks = ", ".join("?" * len(table.columns))
        self._connection.execute("BEGIN")
        self._connection.executemany(f"INSERT INTO {table.name} VALUES ({marks})", rows)
        self._connection.execute("COMMIT")

    def finish(self) -> None:
        """Leave the file as the store keeps it."""
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.close()


class _Postgresql:
    """Writes to a PostgreSQL database by COPY."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def rows(self, statement: str) -> list[Row]:
        return list(self._connection.execute(statement.encode()).fetchall())

    def write(self, table: Table, rows: Iterable[Row]) -> None:
        names = ", ".join(column.name for column in table.columns)
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)".encode()) as copy,
        ):
            copy.set_types([_type_of(column.type) for column in table.columns])
            for row in rows:
                copy.write_row(row)

    def finish(self) -> None:
        """Let the planner know what is there."""
        self._connection.execute("ANALYZE")
        self._connection.close()


def _type_of(kind: object) -> str:
    if isinstance(kind, LargeBinary):
        return "bytea"
    return "int8" if isinstance(kind, BigInteger) else "int4" if isinstance(kind, Integer) else "text"


@contextmanager
def _loading(url: str) -> Iterator[_Sqlite | _Postgresql]:
    parsed = make_url(url)
    yield _Sqlite(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else _Postgresql(url)


def size(url: str) -> int:
    """Return how many bytes a database takes on disk beyond an empty one, without what its log holds."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(parsed.database))) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Path(str(parsed.database)).stat().st_size
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT pg_database_size(current_database()) - pg_database_size('template1')"
        ).fetchone()
    assert row is not None
    return int(row[0])
