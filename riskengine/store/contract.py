"""What the engine asks of a store. Memory, SQLite and PostgreSQL keep it; one conformance suite holds them to it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class EventRow(NamedTuple):
    """One event as decided. Clear columns are for finding it; what is personal lies in the two sealed blobs.

    `id` is unique and grows with the time of arrival; `event_key` is the blind index of realm and event id (16 bytes),
    `fingerprint` a keyed digest of the body as given (16 bytes). Times are ms since 1970. `score` is tenths of a point.
    `user_ref` is None for an event without an account. `*_index` are blind indexes, None where absent;
    `address_index` holds one 4-byte token a prefix length, shortest first, so that a CIDR is a range of the index.
    """

    id: int
    realm: str
    event_key: bytes
    fingerprint: bytes
    user_ref: bytes | None
    user_seq: int
    occurred_at: int
    received_at: int
    outcome: str
    action: str
    resource: str | None
    decision: str
    level: str
    score: int
    reasons: str  # JSON [[code, points], …], strongest first
    country: str | None
    city: str | None
    asn: int | None
    network: str
    source: str  # engine | fallback
    policy: str  # version
    login_index: bytes | None
    device_index: bytes | None
    session_index: bytes | None
    address_index: bytes
    raw: bytes  # sealed
    assessment: bytes  # sealed
    state: str = "open"  # the last report that counts, one of STATES


class ReportRow(NamedTuple):
    """One report as accepted. `event` is None for `remediated`; `detail` is sealed (amr, who reported). `bulk` is the
    id of the verdict over a search that it is part of."""

    id: int
    realm: str
    event: int | None
    user_ref: bytes
    user_seq: int
    result: str
    at: int
    received_at: int
    detail: bytes
    bulk: str | None = None


class HistoryRow(NamedTuple):
    """A user's sealed history record; `seq` is the number of the last item it has taken in."""

    user_ref: bytes
    realm: str
    seq: int
    record: bytes


class CellKey(NamedTuple):
    """One counter cell: what is counted (user, address, prefix), of whom (8-byte key), in which minute since 1970."""

    kind: str
    key: int
    minute: int


class Cell(NamedTuple):
    """Counts of one cell; `users` are the keys (unsigned 32 bit) of those tried in vain with their failures, sorted."""

    attempts: int
    failures: int
    users: tuple[tuple[int, int], ...]


class Counted(NamedTuple):
    """Stored counter cells as rows: `cells` of (kind, key, minute, attempts, failures), `users` of (kind, key, minute,
    user, failures). Rows of several workers stand beside each other. Keys are signed numbers of 64 bits here."""

    cells: Sequence[tuple[str, int, int, int, int]]
    users: Sequence[tuple[str, int, int, int, int]]


class DayCell(NamedTuple):
    """One cell of the day counters: of what (a key of 63 bits), on which day since 1970; and three bitmaps of users,
    each as a signed number of 64 bits."""

    key: int
    day: int
    regulars: int
    came: int
    tried: int


DayRow = tuple[int, int, int, int, int]  # a stored DayCell: there are many, so they are no more than they must be


@dataclass(frozen=True, slots=True)
class AccessKeyRow:
    """One access key: only the digest of its secret is kept. `scopes` is sorted; times are ms since 1970."""

    id: str
    name: str
    realm: str
    scopes: tuple[str, ...]
    digest: bytes
    created_at: int
    expires_at: int
    revoked_at: int | None = None


class SessionRow(NamedTuple):
    """What a browser holds for an access key: a `session`, or a `link` that begins one, once.

    Only a digest of the secret is kept. `seen_at` is when it was last used; times are ms since 1970.
    """

    digest: bytes
    kind: str
    key_id: str
    created_at: int
    seen_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client that may ask for tokens. `scopes` is sorted; times are ms since 1970.

    `digest` is that of its secret, `old_digest` that of the one before, which counts until `old_until`. `jwks` holds
    its public keys, `certificate` the thumbprint of the one it must show; each None where there is none.
    """

    id: str
    name: str
    realm: str
    scopes: tuple[str, ...]
    digest: bytes | None = None
    old_digest: bytes | None = None
    old_until: int | None = None
    jwks: str | None = None
    certificate: str | None = None
    one_time: bool = False
    created_at: int = 0
    expires_at: int = 0
    revoked_at: int | None = None


@dataclass(frozen=True, slots=True)
class SigningKeyRow:
    """A key that signs tokens of one `kind`; `secret` is sealed, `public` is what anybody may know of it."""

    kind: str
    number: int
    secret: bytes
    public: str
    created_at: int


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One change of which policy is in force; the row of the highest `id` counts.

    `version` is the digest of `text`, `mode` what stands in for the mode that the text states (None: nothing does), and
    `file` the version of the policy file as it was last taken up ("" for never). `action` is file, activate, rollback
    or mode, `at` ms since 1970. A row to be stored has the id 0.
    """

    id: int
    at: int
    actor: str
    action: str
    version: str
    name: str
    text: str
    mode: str | None
    file: str


class Arrivals(NamedTuple):
    """What transactions saved: the row ids of each one's events by its turn, in the order of the turns.

    Whoever has seen all turns below `settled` has seen all that will ever be saved below it. No turn was as high as
    `coming` ever.
    """

    saves: Sequence[tuple[int, Sequence[int]]]
    settled: int
    coming: int


class Transaction(Protocol):
    """One transaction, all or nothing. Reads see what it wrote. Every failure to reach the database, a deadlock or a
    lock time-out is StoreUnavailable."""

    def lock_users(self, users: Collection[bytes]) -> set[bytes]:
        """Try to lock these users until the transaction ends; return those obtained (SQLite and memory: all)."""

    def claim_ids(self, claims: Sequence[tuple[bytes, int, bytes]]) -> dict[bytes, int]:
        """Claim (event_key, row id, fingerprint) each; return event_key → row id of those that were taken before."""

    def spend(self, claims: Sequence[tuple[bytes, bytes, int]]) -> dict[bytes, tuple[bytes, int]]:
        """Note one-time tokens (id, what it pays for, at) as used; return id → (what it paid for, at) of those that
        were used before the call. No id stands there twice."""

    def unspend(self, ids: Collection[bytes]) -> None:
        """Take back what `spend` noted of these ids."""

    def find_events(self, keys: Collection[bytes]) -> dict[bytes, EventRow]:
        """Return the events with these event keys, by event key."""

    def events_by_id(self, ids: Collection[int]) -> dict[int, EventRow]:
        """Return the events with these row ids, by row id."""

    def load_histories(self, users: Collection[bytes]) -> dict[bytes, HistoryRow]:
        """Return what is stored of these users, by user_ref; an unknown user is absent."""

    def load_cells(self, spans: Collection[tuple[str, int, int, int]]) -> Counted:
        """Return all cells within the spans (kind, key, first minute, last minute)."""

    def load_days(self, spans: Collection[tuple[int, int, int]]) -> Sequence[DayRow]:
        """Return all day cells within the spans (key, first day, last day), which name each key once. Rows of several
        workers stand beside each other: their bitmaps merge by OR."""

    def items_of(self, user: bytes) -> tuple[list[EventRow], list[ReportRow]]:
        """Return all of a user's retained events and reports, each in `user_seq` order."""

    def reports_on(self, event: int) -> list[ReportRow]:
        """Return the reports on one event in `user_seq` order."""

    def save(
        self,
        events: Sequence[EventRow],
        reports: Sequence[ReportRow],
        states: Mapping[int, str],
        histories: Sequence[HistoryRow],
        cells: Mapping[CellKey, Cell],
    ) -> None:
        """Write a batch: new events and reports, new states by event row id, histories replaced, counts added."""

    def save_days(self, cells: Sequence[DayCell]) -> None:
        """Take the bitmaps into the day cells, by OR; a key and day stands there once."""


class Store(Protocol):
    """A place where decisions last. `transaction` commits on leaving without an exception, else rolls back."""

    @property
    def worker(self) -> int:
        """The number of this store, unlike that of any other on the same database; StoreUnavailable without one."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction that may write."""

    def read_event(self, key: bytes) -> tuple[EventRow, list[ReportRow]] | None:
        """Return one event by its event key with its reports, without locking; None if there is none."""

    def arrivals(self, turn: int, most: int) -> Arrivals:
        """Return what the next `most` turns saved, from `turn` on: what was committed, and nothing twice."""

    def add_access_key(self, row: AccessKeyRow) -> None:
        """Store an access key; a second one of the same id is a Conflict."""

    def access_key(self, key_id: str) -> AccessKeyRow | None:
        """Return one access key by its id, also when expired or revoked."""

    def access_keys(self) -> list[AccessKeyRow]:
        """Return all access keys, oldest first."""

    def revoke_access_key(self, key_id: str, at: int) -> bool:
        """Mark a key revoked at `at`; False if there is none."""

    def add_session(self, row: SessionRow) -> None:
        """Store a session or a link; those that expired before it began are let go."""

    def session(self, digest: bytes) -> SessionRow | None:
        """Return a session or a link by its digest, also an expired one that was not let go yet."""

    def touch_session(self, digest: bytes, at: int) -> None:
        """Note that a session was used at `at`."""

    def end_session(self, digest: bytes) -> bool:
        """Let a session or a link go; True for the one caller who did."""

    def put_client(self, row: ClientRow) -> None:
        """Store a client, in place of the one of the same id if there is one."""

    def client(self, client_id: str) -> ClientRow | None:
        """Return one client by its id, also when expired or revoked."""

    def clients(self) -> list[ClientRow]:
        """Return all clients, oldest first."""

    def add_signing_key(self, row: SigningKeyRow, forget_below: int) -> None:
        """Store a signing key and forget those of its kind with lower numbers than `forget_below`; Conflict if there
        is one of its kind and number."""

    def signing_keys(self, kind: str) -> list[SigningKeyRow]:
        """Return the signing keys of one kind by number."""

    def forget_spent(self, before: int, most: int) -> int:
        """Forget one-time tokens that expired before a time, `most` at once; return how many."""

    def add_policy(self, row: PolicyRow) -> PolicyRow:
        """Store a change of the policy in force, whose id comes after those of all others; return it with its id."""

    def policies(self, most: int) -> list[PolicyRow]:
        """Return the last changes of the policy in force, newest first."""

    def meta(self, name: str) -> bytes | None:
        """Return a named value of the store itself (key check value)."""

    def set_meta(self, name: str, value: bytes) -> None:
        """Set a named value."""

    def audit(self, at: int, realm: str, actor: str, action: str, object: str, detail: bytes, digest: str) -> None:
        """Append to the audit trail; `detail` is sealed, `digest` is of what it says and gives nothing of it away."""

    def is_empty(self) -> bool:
        """Return whether no event, history or access key is stored."""

    def counts(self) -> dict[str, int]:
        """Return the number of events, reports and users stored (for status and tests)."""

    def events(self) -> Iterator[EventRow]:
        """Yield every event by row id, for maintenance and tests."""

    def reports(self) -> Iterator[ReportRow]:
        """Yield every report by row id; with the events these are all items in the order of their arrival."""

    def ping(self) -> None:
        """Raise StoreUnavailable unless the store answers and its schema is current."""

    def close(self) -> None:
        """Let go of connections; further use is an error."""
