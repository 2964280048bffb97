"""PostgreSQL as the store's database: many writers, each user locked by one; whole batches in single statements."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    Dialect,
    Engine,
    LargeBinary,
    String,
    Table,
    Text,
    bindparam,
    create_engine,
    event,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import URL
from sqlalchemy.types import TypeEngine

from riskengine.errors import StoreUnavailable
from riskengine.store.statements import FINDS, Row, inserts
from riskengine.store.tables import EVENT_IDS, EVENTS

# A batch has 500 ms in all (DESIGN section 8): waiting for a lock may take half, a statement all of it.
LOCK_MS = 250
STATEMENT_MS = 500
# A process that died or hangs inside a transaction must not hold its users for long.
IDLE_MS = 5_000
PATIENT_MS = 600_000
# A server that loses power after it took a statement sends nothing more: without these it would be waited for 2 hours.
_ALIVE = {"keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3}
# Advisory locks of two numbers are apart from those of one, which are the users'.
_UPGRADE_LOCK = (0x7269736B, 1)

_LOCK = """\
SELECT place FROM unnest(%s::bigint[]) WITH ORDINALITY AS asked (key, place)
WHERE pg_try_advisory_xact_lock(key)"""
_SPANS = """\
SELECT counters.kind, counters.key, counters.minute,
sum(counters.attempts)::bigint, sum(counters.failures)::bigint
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[]) AS span (kind, key, low, high)
JOIN counters ON counters.key = span.key AND counters.kind = span.kind
AND counters.minute BETWEEN span.low AND span.high
GROUP BY counters.key, counters.kind, counters.minute"""
_SPAN_USERS = """\
SELECT users.kind, users.key, users.minute, users.user_key, sum(users.failures)::bigint
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[]) AS span (kind, key, low, high)
JOIN counter_users AS users ON users.key = span.key AND users.kind = span.kind
AND users.minute BETWEEN span.low AND span.high
GROUP BY users.key, users.kind, users.minute, users.user_key"""
_DAYS = """\
SELECT days.key, days.day, days.regulars, days.came, days.tried
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS span (key, low, high)
JOIN days ON days.key = span.key AND days.day BETWEEN span.low AND span.high"""

# Untyped in SQLAlchemy.
_DIALECT: Dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]


class Postgresql:
    """The statements in PostgreSQL's words, over psycopg."""

    def __init__(self, url: URL, wait_seconds: float = LOCK_MS / 1000) -> None:
        self._lock_ms = round(wait_seconds * 1000)
        # The ping before use is what picks up a restarted server without failing a batch.
        self.engine: Engine = create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_timeout=0.5,
            connect_args={"connect_timeout": 2, "tcp_user_timeout": 2000} | _ALIVE,
        )
        event.listen(self.engine, "connect", self._prepare)
        self.reader: Engine = self.engine
        self._writes = {name: _compiled(insert) for name, insert in inserts(_begun).items()}
        self._claim = _compiled(inserts(_begun)["event_ids"].returning(EVENT_IDS.c.event_key))
        given = _given(("state", Text()), ("id", BigInteger()))
        self._writes["states"] = _compiled(update(EVENTS).values(state=given.c.state).where(EVENTS.c.id == given.c.id))
        self._finds = {
            name: _compiled(wanted.where(column == func.any(bindparam("keys", type_=_list_of(column.type)))))
            for name, (wanted, column) in FINDS.items()
        }
        self._columns: dict[str, list[str]] = {
            name: [f"new_{column.name}" for column in insert.table.columns] for name, insert in inserts(_begun).items()
        }
        self._columns["states"] = ["new_state", "new_id"]

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction; it commits, or rolls back on an exception."""
        with self.engine.begin() as connection:
            yield connection

    def exists(self) -> bool:
        """Return True: whether the server has the database shows on connecting."""
        return True

    def make(self) -> None:
        """Nothing to do: the server's owner makes the database."""

    def lock_for_upgrade(self, connection: Connection) -> None:
        """Wait until no other process migrates; the lock ends with the transaction."""
        self.be_patient(connection)
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s::int, %s::int)", _UPGRADE_LOCK)

    def be_patient(self, connection: Connection) -> None:
        """Let this transaction's statements run for minutes: maintenance reads whole tables."""
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {PATIENT_MS}")
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {PATIENT_MS}")

    def lock_users(self, connection: Connection, users: Collection[bytes]) -> set[bytes]:
        """Return the users locked for this transaction. It waits for none, so it cannot deadlock."""
        asked = sorted(set(users))
        keys = [int.from_bytes(user[:8], signed=True) for user in asked]
        return {asked[place - 1] for (place,) in _rows(connection, _LOCK, (keys,))}

    def claim(self, connection: Connection, claims: Sequence[Row]) -> dict[bytes, int]:
        """Take the ids that are free; return the others with their row ids."""
        fresh = {key for (key,) in _rows(connection, self._claim, self._turned("event_ids", claims))}
        others = [claim[0] for claim in claims if claim[0] not in fresh]
        taken: dict[bytes, int] = dict(self.find(connection, "taken", others))
        if len(taken) < len(others):
            raise StoreUnavailable("an event id was given back while it was asked for")
        return taken

    def find(self, connection: Connection, name: str, keys: Collection[Any]) -> Sequence[Row]:
        """Return the rows of one of FINDS whose column is among `keys`."""
        return _rows(connection, self._finds[name], {"keys": list(keys)}) if keys else ()

    def write(self, connection: Connection, name: str, rows: Sequence[Row]) -> None:
        """Write `rows` by one of the inserts, or `states`: (state, event id) each."""
        if rows:
            connection.exec_driver_sql(self._writes[name], self._turned(name, rows))

    def cells(self, connection: Connection, spans: Sequence[Row]) -> tuple[Iterable[Row], Iterable[Row]]:
        """Return (kind, key, minute, attempts, failures) and (kind, key, minute, user key, failures) in the spans."""
        given = tuple(map(list, zip(*spans, strict=True)))
        return _rows(connection, _SPANS, given), _rows(connection, _SPAN_USERS, given)

    def days(self, connection: Connection, spans: Sequence[Row]) -> Iterable[Row]:
        """Return (key, day, regulars, came, tried) within the spans."""
        return _rows(connection, _DAYS, tuple(map(list, zip(*spans, strict=True))))

    def _turned(self, name: str, rows: Sequence[Row]) -> dict[str, list[Any]]:
        """Return rows as one list a column: the statement reads the same for any number of them."""
        return dict(zip(self._columns[name], map(list, zip(*rows, strict=True)), strict=True))

    def _prepare(self, connection: psycopg.Connection, _record: object) -> None:
        """Set up a new session: answered means durable, and nothing waits for long."""
        connection.autocommit = True
        for setting in (
            "synchronous_commit = on",
            f"lock_timeout = {self._lock_ms}",
            f"statement_timeout = {STATEMENT_MS}",
            f"idle_in_transaction_session_timeout = {IDLE_MS}",
        ):
            connection.execute(f"SET {setting}")
        connection.autocommit = False


def _list_of(kind: TypeEngine[Any]) -> ARRAY[Any]:
    """Return the array type a column's values travel in; text has no length there, or it would be cut to it."""
    if isinstance(kind, LargeBinary):
        return ARRAY(LargeBinary())
    return ARRAY(Text() if isinstance(kind, String) else BigInteger())


def _given(*columns: tuple[str, TypeEngine[Any]]) -> Any:
    """Return the lists that a statement is given, one a column, as a table."""
    lists = [bindparam(f"new_{name}", type_=_list_of(kind)) for name, kind in columns]
    return func.unnest(*lists).table_valued(*(name for name, _ in columns)).render_derived(name="given")


def _begun(table: Table) -> Any:
    given = _given(*((column.name, column.type) for column in table.columns))
    return postgresql.insert(table).from_select([c.name for c in table.columns], select(*given.c))


def _compiled(statement: Any) -> str:
    # Binary lists: as text, every byte would be escaped and read back.
    return str(statement.compile(dialect=_DIALECT)).replace(")s::", ")b::")


def _rows(connection: Connection, statement: str, values: Any) -> Sequence[Row]:
    # The driver's own tuples: the rows are made into ours at once, a layer between would only cost.
    cursor = connection.exec_driver_sql(statement, values).cursor
    return cursor.fetchall() if cursor else ()
