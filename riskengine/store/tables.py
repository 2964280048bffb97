"""The tables as SQLAlchemy Core sees them, for SQLite and PostgreSQL; the migrations make the same.

No foreign keys lead to `events`: on PostgreSQL a month of them goes at once, see partitions.py. Times are milliseconds
since 1970.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from riskengine.event import ACTIONS, OUTCOMES, REPORT_RESULTS, STATES

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
METADATA = MetaData(naming_convention=NAMING)
CELL_KINDS = ("user", "address", "prefix")
BLOCK_KINDS = ("address", "asn", "user", "device")
# SQLite gives out row ids only for a column declared exactly INTEGER.
_ROW_ID = BigInteger().with_variant(Integer, "sqlite")


def _one_of(column: str, choices: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{choice}'" for choice in choices)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


# The columns of events, reports, histories and access keys stand in the order of their row classes.
EVENTS = Table(
    "events",
    METADATA,
    Column("id", _ROW_ID, primary_key=True, autoincrement=False),
    Column("realm", Text, nullable=False),
    Column("event_key", LargeBinary, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("user_ref", LargeBinary),
    Column("user_seq", BigInteger, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("action", String(16), nullable=False),
    Column("resource", Text),
    Column("decision", String(16), nullable=False),
    Column("level", String(16), nullable=False),
    Column("score", Integer, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("country", String(2)),
    Column("city", Text),
    Column("asn", BigInteger),
    # Kinds of network are not checked: they grow with the data files, not with migrations.
    Column("network", String(32), nullable=False),
    Column("source", String(16), nullable=False),
    Column("policy", Text, nullable=False),
    Column("login_index", LargeBinary),
    Column("device_index", LargeBinary),
    Column("session_index", LargeBinary),
    Column("address_index", LargeBinary, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("assessment", LargeBinary, nullable=False),
    Column("state", String(32), nullable=False),
    _one_of("outcome", OUTCOMES),
    _one_of("action", ACTIONS),
    _one_of("decision", ("allow", "step_up", "deny")),
    _one_of("level", ("low", "medium", "high")),
    _one_of("source", ("engine", "fallback")),
    _one_of("state", STATES),
    CheckConstraint("score BETWEEN 0 AND 1000", name="score"),
    postgresql_partition_by="RANGE (id)",
)
# The scoring transaction pays for each of these, so there are no more: other filters walk them.
Index(None, EVENTS.c.user_ref, EVENTS.c.occurred_at)
Index(None, EVENTS.c.realm, EVENTS.c.address_index)
Index(None, EVENTS.c.occurred_at)
Index(
    "ix_events_not_allowed",
    EVENTS.c.occurred_at,
    sqlite_where=EVENTS.c.decision != "allow",
    postgresql_where=EVENTS.c.decision != "allow",
)

EVENT_IDS = Table(
    "event_ids",
    METADATA,
    Column("event_key", LargeBinary, primary_key=True),
    Column("event", BigInteger, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# The row ids of the events that each transaction saved, see arrivals.py. One row a batch, not an index entry an event.
ARRIVALS = Table(
    "arrivals",
    METADATA,
    Column("turn", _ROW_ID, primary_key=True, autoincrement=False),
    Column("events", LargeBinary, nullable=False),
)

REPORTS = Table(
    "reports",
    METADATA,
    Column("id", _ROW_ID, primary_key=True, autoincrement=False),
    Column("realm", Text, nullable=False),
    Column("event", BigInteger),
    Column("user_ref", LargeBinary, nullable=False),
    Column("user_seq", BigInteger, nullable=False),
    Column("result", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("detail", LargeBinary, nullable=False),
    Column("bulk", String(16)),
    _one_of("result", REPORT_RESULTS),
)
Index(None, REPORTS.c.user_ref, REPORTS.c.user_seq)
Index(None, REPORTS.c.event)
# Verdicts over a search alone have it.
_IN_BULK = REPORTS.c.bulk.is_not(None)
Index("ix_reports_bulk", REPORTS.c.bulk, REPORTS.c.id, sqlite_where=_IN_BULK, postgresql_where=_IN_BULK)

HISTORIES = Table(
    "histories",
    METADATA,
    Column("user_ref", LargeBinary, primary_key=True),
    Column("realm", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("record", LargeBinary, nullable=False),
    # Half a page stays free, so that a record is replaced where it lies and no index is touched.
    postgresql_with={"fillfactor": 50},
)

# `key` is the unsigned 64-bit key as a signed number. Each worker adds to rows of its own: none waits.
COUNTERS = Table(
    "counters",
    METADATA,
    Column("key", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("minute", BigInteger, nullable=False),
    Column("worker", BigInteger, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    PrimaryKeyConstraint("key", "kind", "minute", "worker"),
    _one_of("kind", CELL_KINDS),
    sqlite_with_rowid=False,
)

COUNTER_USERS = Table(
    "counter_users",
    METADATA,
    Column("key", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("minute", BigInteger, nullable=False),
    Column("worker", BigInteger, nullable=False),
    Column("user_key", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False, server_default="1"),
    PrimaryKeyConstraint("key", "kind", "minute", "worker", "user_key"),
    sqlite_with_rowid=False,
)

# Three bitmaps of users each, as signed numbers; the last bits of a key say what it is a key of.
DAYS = Table(
    "days",
    METADATA,
    Column("key", BigInteger, nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("regulars", BigInteger, nullable=False),
    Column("came", BigInteger, nullable=False),
    Column("tried", BigInteger, nullable=False),
    Column("worker", BigInteger, nullable=False),
    PrimaryKeyConstraint("key", "day", "worker"),
    sqlite_with_rowid=False,
)

WORKERS = Table(
    "workers",
    METADATA,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("started_at", BigInteger, nullable=False),
)

ACCESS_KEYS = Table(
    "access_keys",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("realm", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # separated by blanks, sorted
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

# The columns of clients and signing keys stand in the order of their row classes.
CLIENTS = Table(
    "clients",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("realm", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # separated by blanks, sorted
    Column("digest", LargeBinary),
    Column("old_digest", LargeBinary),
    Column("old_until", BigInteger),
    Column("jwks", Text),
    Column("certificate", String(64)),
    Column("one_time", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

# `secret` is sealed, see riskengine/access/keyring.py.
SIGNING_KEYS = Table(
    "signing_keys",
    METADATA,
    Column("kind", String(16), nullable=False),
    Column("number", Integer, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("public", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("kind", "number"),
)

# An id begins with the time at which the token expires, so rows lie in that order and old ones go from one end.
SPENT_TOKENS = Table(
    "spent_tokens",
    METADATA,
    Column("id", LargeBinary, primary_key=True),
    Column("paid", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# The columns stand in the order of the row class.
SESSIONS = Table(
    "sessions",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    _one_of("kind", ("session", "link")),
)

# The columns stand in the order of the row class.
POLICIES = Table(
    "policies",
    METADATA,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", String(16), nullable=False),
    Column("version", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("mode", String(16)),
    Column("file", String(64), nullable=False),
)

# What somebody shut out, until when. `token` is the blind index of a user or device, `asn` the number of an autonomous
# system; `detail` (what it is, and why) is sealed. The columns stand in the order of the row class.
BLOCKS = Table(
    "blocks",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("realm", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("token", LargeBinary),
    Column("asn", BigInteger),
    Column("detail", LargeBinary, nullable=False),
    Column("who", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("lifted_at", BigInteger),
    _one_of("kind", BLOCK_KINDS),
)
Index(None, BLOCKS.c.expires_at)

# Triggers refuse to change or delete a line, all but its `detail`, which a new sealing key seals again.
# The columns stand in the order of the row class.
AUDIT = Table(
    "audit",
    METADATA,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("realm", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("detail", LargeBinary, nullable=False),
    Column("digest", String(64)),
    Column("link", String(64)),
)

# Events by the hour, counted apart from scoring, see statistics.py.
STATISTICS = Table(
    "statistics",
    METADATA,
    Column("hour", BigInteger, nullable=False),
    Column("realm", Text, nullable=False),
    Column("dimension", String(16), nullable=False),
    Column("value", Text, nullable=False),
    Column("events", BigInteger, nullable=False),
    PrimaryKeyConstraint("hour", "realm", "dimension", "value"),
    sqlite_with_rowid=False,
)

META = Table(
    "meta",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
