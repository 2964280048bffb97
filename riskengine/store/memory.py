"""The store in memory: for a replay that keeps nothing, and for tests. It forgets when the process ends."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from riskengine.errors import Conflict, StoreUnavailable
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
from riskengine.store.statements import merged, signed

# What puts one thing back as it was.
Undo = Callable[[], object]
_K = TypeVar("_K")
_R = TypeVar("_R")


@dataclass(slots=True)
class _Counts:
    """The counts of one cell, while they grow."""

    attempts: int = 0
    failures: int = 0
    users: Counter[int] = field(default_factory=Counter)

    def grow(self, cell: Cell) -> None:
        """Add to the counts."""
        self.attempts += cell.attempts
        self.failures += cell.failures
        self.users.update(dict(cell.users))

    def shrink(self, cell: Cell) -> None:
        """Take back what `grow` added."""
        self.attempts -= cell.attempts
        self.failures -= cell.failures
        self.users -= Counter(dict(cell.users))


class MemoryStore:
    """Everything in dictionaries, found as fast as they go. One transaction at a time; another thread waits.

    Reads outside a transaction see what one in progress has written.
    """

    worker = 0

    def __init__(self) -> None:
        self.event_rows: dict[int, EventRow] = {}
        self.ids: dict[bytes, int] = {}
        self.saves: list[tuple[int, tuple[int, ...]]] = []
        self.report_rows: dict[int, ReportRow] = {}
        self.histories: dict[bytes, HistoryRow] = {}
        self.cells: dict[tuple[str, int], dict[int, _Counts]] = defaultdict(dict)
        self.days: dict[int, dict[int, DayCell]] = defaultdict(dict)
        self.events_of: dict[bytes, list[int]] = defaultdict(list)
        self.reports_of: dict[bytes, list[int]] = defaultdict(list)
        self.reports_about: dict[int, list[int]] = defaultdict(list)
        self._keys: dict[str, AccessKeyRow] = {}
        self._sessions: dict[bytes, SessionRow] = {}
        self._clients: dict[str, ClientRow] = {}
        self._signing_keys: dict[tuple[str, int], SigningKeyRow] = {}
        self.spent: dict[bytes, tuple[bytes, int]] = {}
        self._policies: list[PolicyRow] = []
        self._meta: dict[str, bytes] = {}
        self.trail: list[tuple[int, str, str, str, str, bytes]] = []
        self._turn = threading.Lock()
        self._closed = False

    @contextmanager
    def transaction(self) -> Iterator["MemoryTransaction"]:
        """Begin a transaction that may write; on an exception, all that it did is undone."""
        self.ping()
        with self._turn:
            transaction = MemoryTransaction(self)
            try:
                yield transaction
            except BaseException:
                transaction.undo()
                raise

    def read_event(self, key: bytes) -> tuple[EventRow, list[ReportRow]] | None:
        """Return one event by its event key with its reports; None if there is none."""
        self.ping()
        event = self.event_rows.get(self.ids.get(key, -1))
        return None if event is None else (event, _reports(self, self.reports_about.get(event.id, ())))

    def arrivals(self, turn: int, most: int) -> Arrivals:
        """Return what the next `most` turns saved, from `turn` on; it waits for a transaction in progress."""
        self.ping()
        with self._turn:
            return Arrivals(self.saves[turn : turn + most], len(self.saves), len(self.saves))

    def add_access_key(self, row: AccessKeyRow) -> None:
        """Store an access key; a second one of the same id is a Conflict."""
        self.ping()
        if row.id in self._keys:
            raise Conflict("there is an access key of this id already")
        self._keys[row.id] = row

    def access_key(self, key_id: str) -> AccessKeyRow | None:
        """Return one access key by its id, also when expired or revoked."""
        self.ping()
        return self._keys.get(key_id)

    def access_keys(self) -> list[AccessKeyRow]:
        """Return all access keys, oldest first."""
        self.ping()
        return sorted(self._keys.values(), key=lambda row: (row.created_at, row.id))

    def revoke_access_key(self, key_id: str, at: int) -> bool:
        """Mark a key revoked at `at`, a first time only; False if there is none."""
        self.ping()
        row = self._keys.get(key_id)
        if row is None:
            return False
        if row.revoked_at is None:
            self._keys[key_id] = replace(row, revoked_at=at)
        return True

    def add_session(self, row: SessionRow) -> None:
        """Store a session or a link; those that expired before it began are let go."""
        self.ping()
        kept = {digest: old for digest, old in self._sessions.items() if old.expires_at > row.created_at}
        self._sessions = {**kept, row.digest: row}

    def session(self, digest: bytes) -> SessionRow | None:
        """Return a session or a link by its digest."""
        self.ping()
        return self._sessions.get(digest)

    def touch_session(self, digest: bytes, at: int) -> None:
        """Note that a session was used at `at`."""
        self.ping()
        if digest in self._sessions:
            self._sessions[digest] = self._sessions[digest]._replace(seen_at=at)

    def end_session(self, digest: bytes) -> bool:
        """Let a session or a link go; True for the one caller who did."""
        self.ping()
        return self._sessions.pop(digest, None) is not None

    def put_client(self, row: ClientRow) -> None:
        """Store a client, in place of the one of the same id if there is one."""
        self.ping()
        self._clients[row.id] = row

    def client(self, client_id: str) -> ClientRow | None:
        """Return one client by its id, also when expired or revoked."""
        self.ping()
        return self._clients.get(client_id)

    def clients(self) -> list[ClientRow]:
        """Return all clients, oldest first."""
        self.ping()
        return sorted(self._clients.values(), key=lambda row: (row.created_at, row.id))

    def add_signing_key(self, row: SigningKeyRow, forget_below: int) -> None:
        """Store a signing key and forget those of its kind with lower numbers than `forget_below`."""
        self.ping()
        if (row.kind, row.number) in self._signing_keys:
            raise Conflict("there is a signing key of this number already")
        self._signing_keys[row.kind, row.number] = row
        for kind, number in list(self._signing_keys):
            if kind == row.kind and number < forget_below:
                del self._signing_keys[kind, number]

    def signing_keys(self, kind: str) -> list[SigningKeyRow]:
        """Return the signing keys of one kind by number."""
        self.ping()
        return [row for key, row in sorted(self._signing_keys.items()) if key[0] == kind]

    def forget_spent(self, before: int, most: int) -> int:
        """Forget one-time tokens that expired before a time, `most` at once; return how many."""
        self.ping()
        old = sorted(token for token in self.spent if token < before.to_bytes(6))[:most]
        for token in old:
            del self.spent[token]
        return len(old)

    def add_policy(self, row: PolicyRow) -> PolicyRow:
        """Store a change of the policy in force; return it with its id."""
        self.ping()
        self._policies.append(replace(row, id=len(self._policies) + 1))
        return self._policies[-1]

    def policies(self, most: int) -> list[PolicyRow]:
        """Return the last changes of the policy in force, newest first."""
        self.ping()
        return self._policies[: -most - 1 : -1]

    def meta(self, name: str) -> bytes | None:
        """Return a named value of the store itself."""
        self.ping()
        return self._meta.get(name)

    def set_meta(self, name: str, value: bytes) -> None:
        """Set a named value."""
        self.ping()
        self._meta[name] = value

    def audit(self, at: int, realm: str, actor: str, action: str, object: str, detail: bytes, digest: str) -> None:
        """Append to the audit trail; `detail` is sealed, `digest` is of what it says and gives nothing of it away."""
        self.ping()
        self.trail.append((at, realm, actor, action, object, detail))

    def is_empty(self) -> bool:
        """Return whether no event, history or access key is stored."""
        self.ping()
        return not (self.event_rows or self.histories or self._keys)

    def counts(self) -> dict[str, int]:
        """Return the number of events, reports and users stored."""
        self.ping()
        return {
            "events": len(self.event_rows),
            "reports": len(self.report_rows),
            "users": len(self.histories),
        }

    def events(self) -> Iterator[EventRow]:
        """Yield every event by row id."""
        self.ping()
        for row in sorted(self.event_rows):
            yield self.event_rows[row]

    def reports(self) -> Iterator[ReportRow]:
        """Yield every report by row id."""
        self.ping()
        for row in sorted(self.report_rows):
            yield self.report_rows[row]

    def ping(self) -> None:
        """Raise StoreUnavailable once closed."""
        if self._closed:
            raise StoreUnavailable("the store is closed")

    def close(self) -> None:
        """Refuse further use."""
        self._closed = True


class MemoryTransaction:
    """A transaction that writes at once and remembers how to take each step back."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._undo: list[Undo] = []

    def undo(self) -> None:
        """Take every step back, the last one first."""
        while self._undo:
            self._undo.pop()()

    def lock_users(self, users: Collection[bytes]) -> set[bytes]:
        """Return all users: there is one transaction at a time."""
        return set(users)

    def claim_ids(self, claims: Sequence[tuple[bytes, int, bytes]]) -> dict[bytes, int]:
        """Claim each id, the first claim of a key winning; return key → row id of those taken before the call."""
        ids = self._store.ids
        taken = {key: ids[key] for key, _, _ in claims if key in ids}
        for key, row, _ in claims:
            if key not in ids:
                self._set(ids, key, row)
        return taken

    def spend(self, claims: Sequence[tuple[bytes, bytes, int]]) -> dict[bytes, tuple[bytes, int]]:
        """Note one-time tokens as used; return those that were used before the call."""
        spent = self._store.spent
        taken = {token: spent[token] for token, _, _ in claims if token in spent}
        for token, paid, at in claims:
            if token not in taken:
                self._set(spent, token, (paid, at))
        return taken

    def unspend(self, ids: Collection[bytes]) -> None:
        """Take back what `spend` noted of these ids."""
        for token in ids:
            self._undo.append(partial(self._store.spent.__setitem__, token, self._store.spent.pop(token)))

    def find_events(self, keys: Collection[bytes]) -> dict[bytes, EventRow]:
        """Return the events with these event keys, by event key."""
        ids, rows = self._store.ids, self._store.event_rows
        return {key: rows[ids[key]] for key in keys if key in ids and ids[key] in rows}

    def events_by_id(self, ids: Collection[int]) -> dict[int, EventRow]:
        """Return the events with these row ids, by row id."""
        rows = self._store.event_rows
        return {row: rows[row] for row in ids if row in rows}

    def load_histories(self, users: Collection[bytes]) -> dict[bytes, HistoryRow]:
        """Return what is stored of these users, by user_ref; an unknown user is absent."""
        histories = self._store.histories
        return {user: histories[user] for user in users if user in histories}

    def load_cells(self, spans: Collection[tuple[str, int, int, int]]) -> Counted:
        """Return all cells within the spans (kind, key, first minute, last minute)."""
        cells, users = [], []
        for kind, key, first, last in merged(spans):
            minutes = self._store.cells.get((kind, key))
            if minutes is None:
                continue
            # Whichever is shorter: the span, or what is known.
            within = range(first, last + 1) if last - first < len(minutes) else minutes
            for minute in within:
                counts = minutes.get(minute)
                if counts is not None and first <= minute <= last:
                    cells.append((kind, signed(key), minute, counts.attempts, counts.failures))
                    users += [(kind, signed(key), minute, *user) for user in counts.users.items()]
        return Counted(cells, users)

    def load_days(self, spans: Collection[tuple[int, int, int]]) -> Sequence[DayRow]:
        """Return all day cells within the spans (key, first day, last day)."""
        found = []
        for key, first, last in spans:
            of_key = self._store.days.get(key, {})
            found += [cell for day, cell in of_key.items() if first <= day <= last]
        return found

    def items_of(self, user: bytes) -> tuple[list[EventRow], list[ReportRow]]:
        """Return all of a user's retained events and reports, each in `user_seq` order."""
        rows = self._store.event_rows
        events = [rows[row] for row in self._store.events_of.get(user, ())]
        events.sort(key=lambda event: (event.user_seq, event.id))
        return events, _reports(self._store, self._store.reports_of.get(user, ()))

    def reports_on(self, event: int) -> list[ReportRow]:
        """Return the reports on one event in `user_seq` order."""
        return _reports(self._store, self._store.reports_about.get(event, ()))

    def save(
        self,
        events: Sequence[EventRow],
        reports: Sequence[ReportRow],
        states: Mapping[int, str],
        histories: Sequence[HistoryRow],
        cells: Mapping[CellKey, Cell],
    ) -> None:
        """Write a batch: new events and reports, new states by row id, histories replaced, counts added."""
        store = self._store
        if events:
            self._append(store.saves, (len(store.saves), tuple(event.id for event in events)))
        for event in events:
            self._insert(store.event_rows, event.id, event)
            if event.user_ref is not None:
                self._append(store.events_of[event.user_ref], event.id)
        for report in reports:
            self._insert(store.report_rows, report.id, report)
            self._append(store.reports_of[report.user_ref], report.id)
            if report.event is not None:
                self._append(store.reports_about[report.event], report.id)
        for row, state in states.items():
            if row in store.event_rows:
                self._set(store.event_rows, row, store.event_rows[row]._replace(state=state))
        for history in histories:
            self._set(store.histories, history.user_ref, history)
        for at, cell in cells.items():
            self._add(at, cell)

    def save_days(self, cells: Sequence[DayCell]) -> None:
        """Take the bitmaps into the day cells, by OR."""
        for cell in cells:
            of_key = self._store.days[cell.key]
            had = of_key.get(cell.day, cell)
            bits = (had.regulars | cell.regulars, had.came | cell.came, had.tried | cell.tried)
            self._set(of_key, cell.day, DayCell(cell.key, cell.day, *bits))

    def _insert(self, rows: dict[int, _R], key: int, row: _R) -> None:
        if key in rows:
            raise ValueError(f"row {key} is stored already")
        self._set(rows, key, row)

    def _set(self, rows: dict[_K, _R], key: _K, row: _R) -> None:
        if key in rows:
            self._undo.append(partial(rows.__setitem__, key, rows[key]))
        else:
            self._undo.append(partial(rows.__delitem__, key))
        rows[key] = row

    def _append(self, rows: list[_R], row: _R) -> None:
        rows.append(row)
        self._undo.append(rows.pop)

    def _add(self, at: CellKey, cell: Cell) -> None:
        minutes = self._store.cells[at.kind, at.key]
        counts = minutes.get(at.minute)
        if counts is None:
            self._set(minutes, at.minute, _Counts(cell.attempts, cell.failures, Counter(dict(cell.users))))
            return
        self._undo.append(partial(counts.shrink, cell))
        counts.grow(cell)


def _reports(store: MemoryStore, rows: Iterable[int]) -> list[ReportRow]:
    reports = [store.report_rows[row] for row in rows]
    return sorted(reports, key=lambda report: (report.user_seq, report.id))
