"""PostgreSQL as the store's database: many writers, each user locked by one; whole batches in single statements."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from select import POLLIN, poll
from typing import Any
from weakref import WeakKeyDictionary

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
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.types import TypeEngine

from riskengine.errors import SettingsError, StoreUnavailable
from riskengine.store.pipeline import Talk
from riskengine.store.statements import FINDS, OTHERS, Row, inserts
from riskengine.store.tables import EVENT_IDS, EVENTS, SPENT_TOKENS

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
SELECT counters.kind, counters.key, counters.minute, counters.attempts, counters.failures
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[]) AS span (kind, key, low, high)
JOIN counters ON counters.key = span.key AND counters.kind = span.kind
AND counters.minute BETWEEN span.low AND span.high"""
_SPAN_USERS = """\
SELECT users.kind, users.key, users.minute, users.user_key, users.failures
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[]) AS span (kind, key, low, high)
JOIN counter_users AS users ON users.key = span.key AND users.kind = span.kind
AND users.minute BETWEEN span.low AND span.high"""
_DAYS = """\
SELECT days.key, days.day, days.regulars, days.came, days.tried
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS span (key, low, high)
JOIN days ON days.key = span.key AND days.day BETWEEN span.low AND span.high"""

# What is added to the number of a transaction to give its turn, see arrivals.py: nothing, unless a dump was loaded.
BASE = "coalesce((SELECT convert_from(value, 'UTF8')::bigint FROM meta WHERE name = 'arrivals:base'), 0)"
# A second save of one transaction is of the same turn.
_ARRIVED = f"""\
INSERT INTO arrivals (turn, events)
SELECT pg_current_xact_id()::text::bigint + {BASE}, given.events
FROM unnest(%(new_events)b::bytea[]) AS given (events)
ON CONFLICT (turn) DO UPDATE SET events = arrivals.events || excluded.events"""  # noqa: S608 (BASE is ours)
_OTHERS = """\
SELECT EXISTS (SELECT FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend')"""

# Untyped in SQLAlchemy.
_DIALECT: Dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]


class _Work(Talk):
    """A transaction's talk, and the histories of the users it has locked: read with the lock, nobody else changes them
    until it ends."""

    def __init__(self, connection: Connection, *begin: str) -> None:
        super().__init__(connection, *begin)
        self.histories: dict[bytes, Row | None] = {}


class Postgresql:
    """The statements in PostgreSQL's words, over psycopg."""

    def __init__(self, url: URL, wait_seconds: float = LOCK_MS / 1000) -> None:
        url, pooled = _without_pooler(url)
        limits = {
            "synchronous_commit": "on",
            "lock_timeout": round(wait_seconds * 1000),
            "statement_timeout": STATEMENT_MS,
            "idle_in_transaction_session_timeout": IDLE_MS,
        }
        # Behind a pooler the session is another one each time: then each transaction says so for itself.
        scope = "true" if pooled else "false"
        said = ", ".join(f"set_config('{name}', '{value}', {scope})" for name, value in limits.items())
        self._in_session = [] if pooled else [f"SELECT {said}"]
        self._begin = ["BEGIN", f"SELECT {said}"] if pooled else ["BEGIN"]
        self.engine: Engine = create_engine(
            url,
            hide_parameters=True,
            pool_timeout=0.5,
            connect_args={"connect_timeout": 2, "tcp_user_timeout": 2000}
            | _ALIVE
            | ({"prepare_threshold": None} if pooled else {}),
        )
        event.listen(self.engine, "connect", self._prepare)
        event.listen(self.engine, "checkout", self._look_alive)
        event.listen(self.engine, "begin", self._start)
        event.listen(self.engine, "before_cursor_execute", self._catch_up)
        self._works: WeakKeyDictionary[Connection, _Work] = WeakKeyDictionary()
        self.reader: Engine = self.engine
        self._alone = False
        self._writes = {name: _compiled(insert) for name, insert in inserts(_begun).items()}
        self._claim = _compiled(inserts(_begun)["event_ids"].returning(EVENT_IDS.c.event_key))
        self._spend = _compiled(inserts(_begun)["spent_tokens"].returning(SPENT_TOKENS.c.id))
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
        self._writes["arrivals"], self._columns["arrivals"] = _ARRIVED, ["new_events"]

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction; it commits, or rolls back on an exception. Its writes go out with the commit."""
        with self.engine.begin() as connection:
            if self._alone and connection.exec_driver_sql(_OTHERS).scalar():
                raise StoreUnavailable(OTHERS)
            yield connection
            self._works[connection].commit()

    def keep_others_out(self) -> None:
        """Have each transaction look who else has a session; a server at rest has some too."""
        self._alone = True

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

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
        work = self._works[connection]
        asked = sorted(set(users))
        keys = [int.from_bytes(user[:8], signed=True) for user in asked]
        # In this order: a statement sees what was committed before it begins, and so what the last holder wrote.
        places, rows = work.ask((_LOCK, (keys,)), (self._finds["history"], {"keys": asked}))
        obtained = [asked[place - 1] for (place,) in places]
        stored = {row[0]: row for row in rows}
        work.histories |= {user: stored.get(user) for user in obtained}
        return set(obtained)

    def claim(self, connection: Connection, claims: Sequence[Row]) -> dict[bytes, int]:
        """Take the ids that are free; return the others with their row ids."""
        [rows] = self._works[connection].ask((self._claim, self._turned("event_ids", claims)))
        fresh = {key for (key,) in rows}
        others = [claim[0] for claim in claims if claim[0] not in fresh]
        taken: dict[bytes, int] = dict(self.find(connection, "taken", others))
        if len(taken) < len(others):
            raise StoreUnavailable("an event id was given back while it was asked for")
        return taken

    def spend(self, connection: Connection, claims: Sequence[Row]) -> dict[bytes, tuple[bytes, int]]:
        """Note one-time tokens that were not used; return the others with what they paid for, and when."""
        [rows] = self._works[connection].ask((self._spend, self._turned("spent_tokens", claims)))
        fresh = {token for (token,) in rows}
        others = [claim[0] for claim in claims if claim[0] not in fresh]
        spent = {token: (paid, at) for token, paid, at in self.find(connection, "spent", others)}
        if len(spent) < len(others):
            raise StoreUnavailable("a one-time token was given back while it was asked for")
        return spent

    def find(self, connection: Connection, name: str, keys: Collection[Any]) -> Sequence[Row]:
        """Return the rows of one of FINDS whose column is among `keys`."""
        work = self._works[connection]
        if name == "history" and work.histories.keys() >= set(keys):
            return [row for key in keys if (row := work.histories[key]) is not None]
        return work.ask((self._finds[name], {"keys": list(keys)}))[0] if keys else ()

    def write(self, connection: Connection, name: str, rows: Sequence[Row]) -> None:
        """Write `rows` by one of the inserts, or `states`: (state, event id) each."""
        if rows:
            work = self._works[connection]
            if name == "histories":
                work.histories.clear()
            work.put_off(self._writes[name], self._turned(name, rows))

    def cells(self, connection: Connection, spans: Sequence[Row]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Return (kind, key, minute, attempts, failures) and (kind, key, minute, user key, failures) in the spans."""
        given = tuple(map(list, zip(*spans, strict=True)))
        counts, users = self._works[connection].ask((_SPANS, given), (_SPAN_USERS, given))
        return counts, users

    def days(self, connection: Connection, spans: Sequence[Row]) -> Sequence[Any]:
        """Return (key, day, regulars, came, tried) within the spans."""
        return self._works[connection].ask((_DAYS, tuple(map(list, zip(*spans, strict=True)))))[0]

    def _turned(self, name: str, rows: Sequence[Row]) -> dict[str, list[Any]]:
        """Return rows as one list a column: the statement reads the same for any number of them."""
        return dict(zip(self._columns[name], map(list, zip(*rows, strict=True)), strict=True))

    def _prepare(self, connection: "psycopg.Connection[Row]", _record: object) -> None:
        """Set up a new session: answered means durable, nothing waits long, and we say when a transaction begins."""
        connection.autocommit = True
        for statement in self._in_session:
            connection.execute(statement)

    def _start(self, connection: Connection) -> None:
        """Begin a transaction, with its first statement."""
        self._works[connection] = _Work(connection, *self._begin)

    def _look_alive(self, connection: "psycopg.Connection[Row]", _record: object, _proxy: object) -> None:
        """Have a connection replaced that a restarted server has closed, before anything is sent on it.

        A server has nothing to say to an idle connection but its end. Looking costs no round trip, unless it has.
        """
        heard = poll()
        heard.register(connection.fileno(), POLLIN)
        if heard.poll(0):
            try:
                self.engine.dialect.do_ping(connection)  # type: ignore[arg-type]
            except psycopg.Error as error:
                raise DisconnectionError("the server has closed the connection") from error

    def _catch_up(self, connection: Connection, *_: object) -> None:
        """Run what was put off before a statement of SQLAlchemy's, which may look at it."""
        self._works[connection].run()


def _without_pooler(url: URL) -> tuple[URL, bool]:
    """Return a URL without `pooler`, which is ours, and whether it says that each transaction may get another session.

    >>> from sqlalchemy import make_url
    >>> _without_pooler(make_url("postgresql://db/risk?pooler=transaction"))
    (postgresql://db/risk, True)
    """
    pooler = url.query.get("pooler")
    if pooler not in (None, "transaction"):
        raise SettingsError("DATABASE_URL says pooler=…, which can only be transaction")
    return url.difference_update_query(["pooler"]), pooler is not None


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
