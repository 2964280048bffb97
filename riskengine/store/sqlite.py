"""SQLite as the store's database: one writer at a time; who waits, waits a little and not long."""

import random
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL

from riskengine.errors import SettingsError, StoreUnavailable
from riskengine.store.checkpoint import Checkpoints
from riskengine.store.line import line_of
from riskengine.store.statements import FINDS, OTHERS, Row, inserts
from riskengine.store.tables import EVENTS
from riskengine.store.turn import turn_of

# Under the 500 ms that a batch may take in all (DESIGN section 8).
WAIT_SECONDS = 0.4
# SQLite's own waiting, for the rare lock outside of BEGIN IMMEDIATE: recovery after a crash.
BUSY_MS = 5
# Sizes a list of keys is padded to, so that few statements are ever compiled; far below SQLite's 32,766 variables.
_SIZES = (1, 4, 8, 16, 64, 256, 512, 1024)

# SPANS stands for as many rows as are asked for. As a list of JSON the same took twice as long.
_SPANS = """\
WITH span (kind, key, low, high) AS (VALUES SPANS)
SELECT counters.kind, counters.key, counters.minute, counters.attempts, counters.failures
FROM span CROSS JOIN counters
WHERE counters.key = span.key AND counters.kind = span.kind AND counters.minute BETWEEN span.low AND span.high"""
_SPAN_USERS = """\
WITH span (kind, key, low, high) AS (VALUES SPANS)
SELECT users.kind, users.key, users.minute, users.user_key, users.failures
FROM span CROSS JOIN counter_users AS users
WHERE users.key = span.key AND users.kind = span.kind AND users.minute BETWEEN span.low AND span.high"""
_DAYS = """\
WITH span (key, low, high) AS (VALUES SPANS)
SELECT days.key, days.day, days.regulars, days.came, days.tried
FROM span CROSS JOIN days
WHERE days.key = span.key AND days.day BETWEEN span.low AND span.high"""
# What fills up a list of spans: their last day or minute lies before the first, so nothing is within.
_NO_SPAN = {_SPANS: ("", 0, 1, 0), _SPAN_USERS: ("", 0, 1, 0), _DAYS: (0, 1, 0)}


class Sqlite:
    """The statements in SQLite's words. Readers take no lock and never wait for the writer."""

    def __init__(self, url: URL, wait_seconds: float = WAIT_SECONDS) -> None:
        if url.database in (None, "", ":memory:"):
            raise SettingsError("DATABASE_URL names no file: an SQLite database needs one")
        self._file = Path(str(url.database))
        self._wait_seconds = wait_seconds
        self._turn = turn_of(self._file)
        self._line = line_of(self._file)
        self._checkpoints = Checkpoints(self._file.absolute(), self._turn)
        self.engine: Engine = create_engine(url, hide_parameters=True)
        event.listen(self.engine, "connect", _prepare)
        event.listen(self.engine, "begin", self._begin)
        self.reader: Engine = self.engine.execution_options(begin="BEGIN")
        dialect = sqlite.dialect()
        self._writes = {name: str(insert.compile(dialect=dialect)) for name, insert in inserts(sqlite.insert).items()}
        self._writes["states"] = str(
            update(EVENTS).values(state=text("?")).where(EVENTS.c.id == text("?")).compile(dialect=dialect)
        )
        self._writes["arrivals"] = "INSERT INTO arrivals (events) VALUES (?)"  # its turn comes after the last one
        self._finds = {
            name: str(wanted.where(column.in_(text("KEYS"))).compile(dialect=dialect))
            for name, (wanted, column) in FINDS.items()
        }

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction that holds the whole database; it commits, or rolls back on an exception.

        Threads of one process queue for it. Without that, the interpreter's lock lets a waiting thread ask only while
        the other is inside SQLite, and so holds the database: it would never get it.
        """
        wait = self._wait_seconds
        with self._turn.taken(wait), self._line.taken(wait), self.engine.begin() as connection:
            yield connection
        self._checkpoints.wrote()

    def keep_others_out(self) -> None:
        """Have the first connection lock the whole file as long as it lives; the system lets go should it die."""
        event.listen(self.engine, "connect", _take_alone, insert=True)

    def close(self) -> None:
        """Let go of all connections."""
        self._checkpoints.close()
        self.engine.dispose()

    def exists(self) -> bool:
        """Return whether there is a database file: connecting would make an empty one."""
        return self._file.exists()

    def make(self) -> None:
        """Make the folder of the database file, for its owner alone; connecting makes the file."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lock_for_upgrade(self, connection: Connection) -> None:
        """Nothing more to do: a transaction of `engine` holds the whole database."""

    def be_patient(self, connection: Connection) -> None:
        """Nothing to do: a reader in WAL mode is never cut short."""

    def lock_users(self, connection: Connection, users: Collection[bytes]) -> set[bytes]:
        """Return all users: the transaction holds the whole database."""
        return set(users)

    def claim(self, connection: Connection, claims: Sequence[Row]) -> dict[bytes, int]:
        """Take the ids that are free; return the others with their row ids. Nobody can come between."""
        taken: dict[bytes, int] = dict(self._take(connection, "event_ids", "taken", claims))
        return taken

    def spend(self, connection: Connection, claims: Sequence[Row]) -> dict[bytes, tuple[bytes, int]]:
        """Note one-time tokens that were not used; return the others with what they paid for, and when."""
        return {token: (paid, at) for token, paid, at in self._take(connection, "spent_tokens", "spent", claims)}

    def _take(self, connection: Connection, name: str, found: str, claims: Sequence[Row]) -> Sequence[Row]:
        """Insert the rows whose key is free; return what `found` gives of the others."""
        driver = _driver(connection)
        driver.execute("SAVEPOINT claims")
        if driver.executemany(self._writes[name], claims).rowcount == len(claims):
            # As nearly always: nobody has to be asked which were taken. While a savepoint stands, each page that is
            # written later is copied for it.
            driver.execute("RELEASE claims")
            return []
        driver.execute("ROLLBACK TO claims")
        taken = list(self.find(connection, found, [claim[0] for claim in claims]))
        keys = {row[0] for row in taken}
        self.write(connection, name, [claim for claim in claims if claim[0] not in keys])
        return taken

    def find(self, connection: Connection, name: str, keys: Collection[Any]) -> Iterable[Row]:
        """Yield the rows of one of FINDS whose column is among `keys`."""
        statement, waiting = self._finds[name], iter(keys)
        left = len(keys)
        while left > 0:
            size = next((size for size in _SIZES if size >= left), _SIZES[-1])
            chunk = list(islice(waiting, size))
            left -= len(chunk)
            chunk += chunk[-1:] * (size - len(chunk))
            marks = ", ".join("?" * size)
            yield from _rows(connection, statement.replace("KEYS", marks), tuple(chunk))

    def write(self, connection: Connection, name: str, rows: Sequence[Row]) -> None:
        """Write `rows` by one of the inserts, or `states`: (state, event id) each."""
        if rows:
            _driver(connection).executemany(self._writes[name], rows)

    def cells(self, connection: Connection, spans: Sequence[Row]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Return (kind, key, minute, attempts, failures) and (kind, key, minute, user key, failures) in the spans."""
        counts = self._within(connection, _SPANS, spans)
        return counts, self._within(connection, _SPAN_USERS, spans) if any(count[4] for count in counts) else ()

    def days(self, connection: Connection, spans: Sequence[Row]) -> Sequence[Any]:
        """Return (key, day, regulars, came, tried) within the spans."""
        return self._within(connection, _DAYS, spans)

    def _within(self, connection: Connection, statement: str, spans: Sequence[Row]) -> Sequence[Row]:
        """Return the rows of a statement whose spans are these."""
        rows: list[Row] = []
        for start in range(0, len(spans), _SIZES[-1]):
            part = spans[start : start + _SIZES[-1]]
            size = next(size for size in _SIZES if size >= len(part))
            part = [*part, *[_NO_SPAN[statement]] * (size - len(part))]
            marks = ", ".join([f"({', '.join('?' * len(part[0]))})"] * size)
            rows += _rows(connection, statement.replace("SPANS", marks), tuple(chain.from_iterable(part)))
        return rows

    def _begin(self, connection: Connection) -> None:
        """Begin; a writer asks again at odd moments, so that two who collide do not collide again."""
        begin = connection.get_execution_options().get("begin", "BEGIN IMMEDIATE")
        driver, deadline = _driver(connection), time.monotonic() + self._wait_seconds
        while True:
            try:
                driver.execute(begin)
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                if time.monotonic() > deadline:
                    raise StoreUnavailable("the database is busy with another writer") from error
                time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311 (jitter, not a secret)


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Return whether SQLite refused because another connection holds a lock."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    """Set up a new connection: transactions begin when we say so, and a commit is on disk when it returns."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            # Kept in the file: only the first connection ever has to switch, and must be alone for a moment.
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.0005, 0.003))  # noqa: S311
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA temp_store=MEMORY")
    # What is deleted is overwritten, in pages that are written anyway and others: a purge must not leave copies.
    connection.execute("PRAGMA secure_delete=ON")
    # Only should riskengine/store/checkpoint.py not come to it: 400 MB.
    connection.execute("PRAGMA wal_autocheckpoint=100000")
    # 64 MB: the inner pages of all indexes stay at hand, also of ten million events.
    connection.execute("PRAGMA cache_size=-64000")


def _take_alone(connection: sqlite3.Connection, _record: object) -> None:
    """Be the only connection; whoever has the file open, in WAL mode, holds a lock on it also between transactions."""
    connection.execute(f"PRAGMA busy_timeout={round(WAIT_SECONDS * 1000)}")
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        raise StoreUnavailable(OTHERS) from error


def _driver(connection: Connection) -> sqlite3.Connection:
    """Return the driver's own connection: a layer over a dozen statements would cost a lone request as much again."""
    found: sqlite3.Connection = connection.connection.dbapi_connection  # type: ignore[assignment]
    return found


def _rows(connection: Connection, statement: str, values: Row) -> Sequence[Row]:
    return _driver(connection).execute(statement, values).fetchall()
