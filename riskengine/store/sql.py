"""The store on SQLite or PostgreSQL."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, Table, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from riskengine.errors import Conflict, StoreUnavailable
from riskengine.store import arrivals, schema, trail
from riskengine.store.contract import (
    AccessKeyRow,
    Arrivals,
    Cell,
    CellKey,
    ClientRow,
    Counted,
    DayCell,
    DayRow,
    EventRow,
    HistoryRow,
    PolicyRow,
    ReportRow,
    SessionRow,
    SigningKeyRow,
)
from riskengine.store.database import Database, opened, translated
from riskengine.store.schema import schema_status, upgrade
from riskengine.store.statements import Row, merged, signed
from riskengine.store.tables import (
    ACCESS_KEYS,
    AUDIT,
    CLIENTS,
    EVENT_IDS,
    EVENTS,
    HISTORIES,
    META,
    POLICIES,
    REPORTS,
    SESSIONS,
    SIGNING_KEYS,
    SPENT_TOKENS,
    WORKERS,
)
from riskengine.store.trail import AuditLine

__all__ = ["SqlStore", "SqlTransaction", "schema_status", "upgrade"]

_ROWS_AT_ONCE = 1000
_R = TypeVar("_R")


class SqlTransaction:
    """A transaction as the contract has it; `worker` is whose counter rows it adds to."""

    def __init__(self, connection: Connection, database: Database, worker: int) -> None:
        self._connection, self._database, self._worker = connection, database, worker

    def lock_users(self, users: Collection[bytes]) -> set[bytes]:
        """Try to lock these users until the transaction ends; return those obtained."""
        if not users:
            return set()
        with translated():
            return self._database.lock_users(self._connection, users)

    def claim_ids(self, claims: Sequence[tuple[bytes, int, bytes]]) -> dict[bytes, int]:
        """Claim each id, the first claim of a key winning; return key → row id of those taken before the call."""
        if not claims:
            return {}
        # Sorted, so that two transactions never wait for each other crosswise.
        wanted = sorted({claim[0]: claim for claim in reversed(claims)}.values())
        with translated():
            return self._database.claim(self._connection, wanted)

    def spend(self, claims: Sequence[tuple[bytes, bytes, int]]) -> dict[bytes, tuple[bytes, int]]:
        """Note one-time tokens as used; return those that were used before the call."""
        with translated():
            return self._database.spend(self._connection, sorted(claims))

    def unspend(self, ids: Collection[bytes]) -> None:
        """Take back what `spend` noted of these ids."""
        with translated():
            self._connection.execute(delete(SPENT_TOKENS).where(SPENT_TOKENS.c.id.in_(ids)))

    def find_events(self, keys: Collection[bytes]) -> dict[bytes, EventRow]:
        """Return the events with these event keys, by event key."""
        return {row.event_key: row for row in self._events("event_by_key", keys)}

    def events_by_id(self, ids: Collection[int]) -> dict[int, EventRow]:
        """Return the events with these row ids, by row id."""
        return {row.id: row for row in self._events("event_by_id", ids)}

    def load_histories(self, users: Collection[bytes]) -> dict[bytes, HistoryRow]:
        """Return what is stored of these users, by user_ref; an unknown user is absent."""
        with translated():
            return {row[0]: HistoryRow(*row) for row in self._database.find(self._connection, "history", users)}

    def load_cells(self, spans: Collection[tuple[str, int, int, int]]) -> Counted:
        """Return all cells within the spans (kind, key, first minute, last minute)."""
        wanted = [(kind, signed(key), first, last) for kind, key, first, last in merged(spans)]
        if not wanted:
            return Counted((), ())
        with translated():
            return Counted(*self._database.cells(self._connection, wanted))

    def load_days(self, spans: Collection[tuple[int, int, int]]) -> Sequence[DayRow]:
        """Return all day cells within the spans (key, first day, last day), each worker's rows by themselves."""
        if not spans:
            return []
        with translated():
            return self._database.days(self._connection, sorted(spans))

    def items_of(self, user: bytes) -> tuple[list[EventRow], list[ReportRow]]:
        """Return all of a user's retained events and reports, each in `user_seq` order."""
        events = select(EVENTS).where(EVENTS.c.user_ref == user).order_by(EVENTS.c.user_seq, EVENTS.c.id)
        reports = select(REPORTS).where(REPORTS.c.user_ref == user)
        with translated():
            return _events(self._connection, events), _reports(self._connection, reports)

    def renumber(self, events: Mapping[int, int], reports: Mapping[int, int]) -> None:
        """Give a user's events and reports (by row id) other numbers in their sequence."""
        for table, numbers in ((EVENTS, events), (REPORTS, reports)):
            if numbers:
                changed = update(table).where(table.c.id == bindparam("row")).values(user_seq=bindparam("seq"))
                rows = [{"row": row, "seq": seq} for row, seq in sorted(numbers.items())]
                with translated():
                    self._connection.execute(changed, rows)

    def reports_on(self, event: int) -> list[ReportRow]:
        """Return the reports on one event in `user_seq` order."""
        with translated():
            return _reports(self._connection, select(REPORTS).where(REPORTS.c.event == event))

    def save(
        self,
        events: Sequence[EventRow],
        reports: Sequence[ReportRow],
        states: Mapping[int, str],
        histories: Sequence[HistoryRow],
        cells: Mapping[CellKey, Cell],
    ) -> None:
        """Write a batch: new events and reports, new states by row id, histories replaced, counts added."""
        worker = self._worker
        counted = sorted((signed(at.key), at.kind, at.minute, cell) for at, cell in cells.items())
        rows: dict[str, Sequence[Row]] = {
            "events": events,
            "arrivals": [(arrivals.packed([event.id for event in events]),)] if events else (),
            "reports": reports,
            # After the events: a report may speak of one in the same batch.
            "states": [(states[event], event) for event in sorted(states)],
            "histories": sorted(histories),
            "counters": [
                (key, kind, minute, worker, cell.attempts, cell.failures) for key, kind, minute, cell in counted
            ],
            "counter_users": [
                (key, kind, minute, worker, *user) for key, kind, minute, cell in counted for user in cell.users
            ],
        }
        with translated():
            for name, values in rows.items():
                self._database.write(self._connection, name, values)

    def save_days(self, cells: Sequence[DayCell]) -> None:
        """Take the bitmaps into the day cells, by OR."""
        rows = [(*cell, self._worker) for cell in sorted(cells)]
        with translated():
            self._database.write(self._connection, "days", rows)

    def _events(self, name: str, keys: Collection[bytes] | Collection[int]) -> list[EventRow]:
        with translated():
            return [EventRow(*row) for row in self._database.find(self._connection, name, keys)]


class SqlStore:
    """A database that `url` names (sqlite:///FILE or postgresql://…), at the newest revision or a later one.

    Raise SettingsError when the URL is none, StoreUnavailable when the database cannot be reached or is not migrated.
    Safe to share between threads. Each store that writes is a worker of its own, with counter rows of its own.
    """

    def __init__(self, url: str) -> None:
        self._database: Database = opened(url)
        self._head = schema.head()
        self._closed = False
        self._worker: int | None = None
        self._worker_lock = threading.Lock()
        try:
            self.ping()
        except StoreUnavailable:
            self.close()
            raise

    @property
    def worker(self) -> int:
        """The number of this store among all that ever wrote to the database; taken at first use."""
        return self._own_worker()

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        """Begin a transaction that may write; it commits on leaving without an exception, else rolls back."""
        worker = self._own_worker()
        with self._writing() as connection:
            yield SqlTransaction(connection, self._database, worker)

    def read_event(self, key: bytes) -> tuple[EventRow, list[ReportRow]] | None:
        """Return one event by its event key with its reports, without locking; None if there is none."""
        wanted = select(EVENTS).join_from(EVENT_IDS, EVENTS, EVENTS.c.id == EVENT_IDS.c.event)
        with self._reading() as connection:
            for event in _events(connection, wanted.where(EVENT_IDS.c.event_key == key)):
                return event, _reports(connection, select(REPORTS).where(REPORTS.c.event == event.id))
        return None

    def arrivals(self, turn: int, most: int) -> Arrivals:
        """Return what the next `most` turns saved, from `turn` on."""
        with self._reading() as connection:
            return arrivals.arrivals(connection, turn, most)

    @property
    def engine(self) -> Engine:
        """What every statement goes through: for who watches them."""
        return self._database.engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that only reads, all at one moment: for the statements of search.py."""
        with self._reading() as connection:
            yield connection

    def write(self, work: Callable[[Connection], object]) -> None:
        """Let `work` write, all or nothing: for the statements of statistics.py."""
        with self._writing() as connection:
            work(connection)

    def add_access_key(self, row: AccessKeyRow) -> None:
        """Store an access key; a second one of the same id is a Conflict."""
        values = asdict(row) | {"scopes": " ".join(row.scopes)}
        try:
            with self._writing() as connection:
                connection.execute(insert(ACCESS_KEYS).values(values))
        except IntegrityError as error:
            raise Conflict("there is an access key of this id already") from error

    def access_key(self, key_id: str) -> AccessKeyRow | None:
        """Return one access key by its id, also when expired or revoked."""
        return next(iter(self._access_keys(select(ACCESS_KEYS).where(ACCESS_KEYS.c.id == key_id))), None)

    def access_keys(self) -> list[AccessKeyRow]:
        """Return all access keys, oldest first."""
        return self._access_keys(select(ACCESS_KEYS).order_by(ACCESS_KEYS.c.created_at, ACCESS_KEYS.c.id))

    def revoke_access_key(self, key_id: str, at: int) -> bool:
        """Mark a key revoked at `at`, a first time only; False if there is none."""
        mark = update(ACCESS_KEYS).values(revoked_at=func.coalesce(ACCESS_KEYS.c.revoked_at, at))
        with self._writing() as connection:
            return connection.execute(mark.where(ACCESS_KEYS.c.id == key_id)).rowcount > 0

    def add_session(self, row: SessionRow) -> None:
        """Store a session or a link; those that expired before it began are let go."""
        with self._writing() as connection:
            connection.execute(delete(SESSIONS).where(SESSIONS.c.expires_at <= row.created_at))
            connection.execute(insert(SESSIONS).values(row._asdict()))

    def session(self, digest: bytes) -> SessionRow | None:
        """Return a session or a link by its digest."""
        with self._reading() as connection:
            found = connection.execute(select(SESSIONS).where(SESSIONS.c.digest == digest)).first()
        return None if found is None else SessionRow(*found)

    def touch_session(self, digest: bytes, at: int) -> None:
        """Note that a session was used at `at`."""
        with self._writing() as connection:
            connection.execute(update(SESSIONS).values(seen_at=at).where(SESSIONS.c.digest == digest))

    def end_session(self, digest: bytes) -> bool:
        """Let a session or a link go; True for the one caller who did."""
        with self._writing() as connection:
            return connection.execute(delete(SESSIONS).where(SESSIONS.c.digest == digest)).rowcount > 0

    def put_client(self, row: ClientRow) -> None:
        """Store a client, in place of the one of the same id if there is one."""
        values = asdict(row) | {"scopes": " ".join(row.scopes), "one_time": int(row.one_time)}
        with self._writing() as connection:
            if not connection.execute(update(CLIENTS).values(values).where(CLIENTS.c.id == row.id)).rowcount:
                connection.execute(insert(CLIENTS).values(values))

    def client(self, client_id: str) -> ClientRow | None:
        """Return one client by its id, also when expired or revoked."""
        return next(iter(self._clients(select(CLIENTS).where(CLIENTS.c.id == client_id))), None)

    def clients(self) -> list[ClientRow]:
        """Return all clients, oldest first."""
        return self._clients(select(CLIENTS).order_by(CLIENTS.c.created_at, CLIENTS.c.id))

    def add_signing_key(self, row: SigningKeyRow, forget_below: int) -> None:
        """Store a signing key and forget those of its kind with lower numbers than `forget_below`."""
        old = delete(SIGNING_KEYS).where(SIGNING_KEYS.c.kind == row.kind, SIGNING_KEYS.c.number < forget_below)
        try:
            with self._writing() as connection:
                connection.execute(insert(SIGNING_KEYS).values(asdict(row)))
                connection.execute(old)
        except IntegrityError as error:
            raise Conflict("there is a signing key of this number already") from error

    def signing_keys(self, kind: str) -> list[SigningKeyRow]:
        """Return the signing keys of one kind by number."""
        wanted = select(SIGNING_KEYS).where(SIGNING_KEYS.c.kind == kind).order_by(SIGNING_KEYS.c.number)
        with self._reading() as connection:
            return [SigningKeyRow(*row) for row in connection.execute(wanted)]

    def forget_spent(self, before: int, most: int) -> int:
        """Forget one-time tokens that expired before a time, `most` at once; return how many."""
        old = select(SPENT_TOKENS.c.id).where(SPENT_TOKENS.c.id < before.to_bytes(6)).order_by(SPENT_TOKENS.c.id)
        with self._writing() as connection:
            return connection.execute(delete(SPENT_TOKENS).where(SPENT_TOKENS.c.id.in_(old.limit(most)))).rowcount

    def add_policy(self, row: PolicyRow) -> PolicyRow:
        """Store a change of the policy in force; return it with its id."""
        values = {name: value for name, value in asdict(row).items() if name != "id"}
        with self._writing() as connection:
            made: int = connection.scalars(insert(POLICIES).values(values).returning(POLICIES.c.id)).one()
        return replace(row, id=made)

    def policies(self, most: int) -> list[PolicyRow]:
        """Return the last changes of the policy in force, newest first."""
        with self._reading() as connection:
            found = connection.execute(select(POLICIES).order_by(POLICIES.c.id.desc()).limit(most))
            return [PolicyRow(*row) for row in found]

    def meta(self, name: str) -> bytes | None:
        """Return a named value of the store itself."""
        with self._reading() as connection:
            value: bytes | None = connection.scalar(select(META.c.value).where(META.c.name == name))
        return value

    def set_meta(self, name: str, value: bytes) -> None:
        """Set a named value."""
        with self._writing() as connection:
            if not connection.execute(update(META).values(value=value).where(META.c.name == name)).rowcount:
                connection.execute(insert(META).values(name=name, value=value))

    def audit(self, at: int, realm: str, actor: str, action: str, object: str, detail: bytes, digest: str) -> None:
        """Append to the audit trail; `detail` is sealed, `digest` is of what it says and gives nothing of it away."""
        with self._writing() as connection:
            trail.append(connection, AuditLine(0, at, realm, actor, action, object, detail, digest, None))

    def audit_lines(self) -> Iterator[AuditLine]:
        """Yield every line of the audit trail, from the first to the last: no transaction stays open meanwhile."""
        return self._all(AUDIT, AuditLine)

    def audit_newest(self) -> Iterator[AuditLine]:
        """Yield every line of the audit trail, from the last to the first, likewise."""
        first = None
        while True:
            with self._reading() as connection:
                found = trail.lines_before(connection, first)
            yield from found
            if not found:
                return
            first = found[-1].id

    def is_empty(self) -> bool:
        """Return whether no event, history or access key is stored."""
        tables = (EVENTS, HISTORIES, ACCESS_KEYS)
        with self._reading() as connection:
            return not any(connection.scalar(select(exists(select(table)))) for table in tables)

    def counts(self) -> dict[str, int]:
        """Return the number of events, reports and users stored; it may take long."""
        tables = {"events": EVENTS, "reports": REPORTS, "users": HISTORIES}
        with self._reading() as connection:
            self._database.be_patient(connection)
            return {
                name: connection.scalar(select(func.count()).select_from(table)) or 0 for name, table in tables.items()
            }

    def events(self) -> Iterator[EventRow]:
        """Yield every event by row id, a thousand at a time: no transaction stays open meanwhile."""
        return self._all(EVENTS, EventRow)

    def reports(self) -> Iterator[ReportRow]:
        """Yield every report by row id, a thousand at a time."""
        return self._all(REPORTS, ReportRow)

    def ping(self) -> None:
        """Raise StoreUnavailable unless the store answers and its schema is current."""
        if not self._database.exists():
            raise StoreUnavailable("there is no database yet: run riskengine db upgrade")
        with self._reading() as connection:
            found = schema.current(connection)
        if schema.is_behind(found, self._head):
            raise StoreUnavailable(
                f"the database is at revision {found or 'none'}, this version needs {self._head}: "
                "run riskengine db upgrade"
            )

    def close(self) -> None:
        """Let go of connections; further use is StoreUnavailable."""
        self._closed = True
        self._database.close()

    def _own_worker(self) -> int:
        """Return this store's number, asked for before its first transaction: who only reads needs none."""
        with self._worker_lock:
            if self._worker is None:
                taken = insert(WORKERS).values(started_at=time.time_ns() // 1_000_000).returning(WORKERS.c.id)
                with self._writing() as connection:
                    self._worker = connection.scalar(taken)
                    arrivals.mend(connection)
            if self._worker is None:
                raise StoreUnavailable("the database gave no worker number")
            return self._worker

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self._refuse_closed()
        with translated(), self._database.writing() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._refuse_closed()
        with translated(), self._database.reader.begin() as connection:
            yield connection

    def _all(self, table: Table, kind: Callable[..., _R]) -> Iterator[_R]:
        """Yield every row of a table by its id."""
        page = select(table).order_by(table.c.id).limit(_ROWS_AT_ONCE)
        last = None
        while True:
            with self._reading() as connection:
                found = connection.execute(page if last is None else page.where(table.c.id > last)).all()
            yield from (kind(*row) for row in found)
            if len(found) < _ROWS_AT_ONCE:
                return
            last = found[-1].id

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    def _clients(self, wanted: Select[Any]) -> list[ClientRow]:
        with self._reading() as connection:
            found = [ClientRow(*row) for row in connection.execute(wanted)]
        return [replace(row, scopes=tuple(str(row.scopes).split()), one_time=bool(row.one_time)) for row in found]

    def _access_keys(self, wanted: Select[Any]) -> list[AccessKeyRow]:
        with self._reading() as connection:
            found = [AccessKeyRow(*row) for row in connection.execute(wanted)]
        # As it comes from the row, `scopes` is still the text that the column holds.
        return [replace(row, scopes=tuple(str(row.scopes).split())) for row in found]


def _events(connection: Connection, wanted: Select[Any]) -> list[EventRow]:
    return [EventRow(*row) for row in connection.execute(wanted)]


def _reports(connection: Connection, wanted: Select[Any]) -> list[ReportRow]:
    ordered = wanted.order_by(REPORTS.c.user_seq, REPORTS.c.id)
    return [ReportRow(*row) for row in connection.execute(ordered)]
