"""Events, reports, histories, counters, access keys and the audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite gives out row ids only for a column declared exactly INTEGER.
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# What is sealed does not compress: PostgreSQL need not try.
SEALED = {"events": ("raw", "assessment"), "reports": ("detail",), "histories": ("record",)}


def upgrade() -> None:
    """Make everything from nothing."""
    make_events()
    make_event_ids()
    make_reports()
    make_histories()
    make_counters()
    make_access_keys()
    make_records()
    if op.get_bind().dialect.name == "postgresql":
        for table, columns in SEALED.items():
            for column in columns:
                op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Go back to nothing: what is stored is gone."""
    for table in (
        "meta",
        "audit",
        "access_keys",
        "workers",
        "counter_users",
        "counters",
        "histories",
        "reports",
        "event_ids",
        "events",
    ):
        op.drop_table(table)


def make_events() -> None:
    """The events as decided, with the few indexes the scoring transaction pays for."""
    op.create_table(
        "events",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("event_key", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("user_ref", sa.LargeBinary()),
        sa.Column("user_seq", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("resource", sa.Text()),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("country", sa.String(length=2)),
        sa.Column("city", sa.Text()),
        sa.Column("asn", sa.BigInteger()),
        sa.Column("network", sa.String(length=32), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("login_index", sa.LargeBinary()),
        sa.Column("device_index", sa.LargeBinary()),
        sa.Column("session_index", sa.LargeBinary()),
        sa.Column("address_index", sa.LargeBinary(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("assessment", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.CheckConstraint(
            "action IN ('login', 'access', 'token_refresh', 'password_reset', 'enrol_factor')",
            name=op.f("ck_events_action"),
        ),
        sa.CheckConstraint("decision IN ('allow', 'step_up', 'deny')", name=op.f("ck_events_decision")),
        sa.CheckConstraint("level IN ('low', 'medium', 'high')", name=op.f("ck_events_level")),
        sa.CheckConstraint("outcome IN ('success', 'failure', 'unknown')", name=op.f("ck_events_outcome")),
        sa.CheckConstraint("source IN ('engine', 'fallback')", name=op.f("ck_events_source")),
        sa.CheckConstraint(
            "state IN ('open', 'step_up_passed', 'step_up_failed', 'step_up_abandoned', "
            "'confirmed_safe', 'confirmed_compromised', 'dismissed', 'remediated')",
            name=op.f("ck_events_state"),
        ),
        sa.CheckConstraint("score BETWEEN 0 AND 1000", name=op.f("ck_events_score")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_user_ref_occurred_at"), "events", ["user_ref", "occurred_at"])
    op.create_index(op.f("ix_events_realm_address_index"), "events", ["realm", "address_index"])
    op.create_index(op.f("ix_events_occurred_at"), "events", ["occurred_at"])
    not_allowed = sa.text("decision != 'allow'")
    op.create_index(
        op.f("ix_events_not_allowed"),
        "events",
        ["occurred_at"],
        sqlite_where=not_allowed,
        postgresql_where=not_allowed,
    )


def make_event_ids() -> None:
    """Which event ids are taken."""
    op.create_table(
        "event_ids",
        sa.Column("event_key", sa.LargeBinary(), nullable=False),
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("event_key", name=op.f("pk_event_ids")),
        sqlite_with_rowid=False,
    )


def make_reports() -> None:
    """What became of events."""
    op.create_table(
        "reports",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("event", sa.BigInteger()),
        sa.Column("user_ref", sa.LargeBinary(), nullable=False),
        sa.Column("user_seq", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.String(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "result IN ('step_up_passed', 'step_up_failed', 'step_up_abandoned', "
            "'confirmed_safe', 'confirmed_compromised', 'dismissed', 'remediated')",
            name=op.f("ck_reports_result"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reports")),
    )
    op.create_index(op.f("ix_reports_user_ref_user_seq"), "reports", ["user_ref", "user_seq"])
    op.create_index(op.f("ix_reports_event"), "reports", ["event"])


def make_histories() -> None:
    """One sealed record per user."""
    op.create_table(
        "histories",
        sa.Column("user_ref", sa.LargeBinary(), nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("user_ref", name=op.f("pk_histories")),
        postgresql_with={"fillfactor": 50},
    )


def make_counters() -> None:
    """Attempts by the minute, each worker in rows of its own."""
    op.create_table(
        "counters",
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('user', 'address', 'prefix')", name=op.f("ck_counters_kind")),
        sa.PrimaryKeyConstraint("key", "kind", "minute", "worker", name=op.f("pk_counters")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "counter_users",
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.BigInteger(), nullable=False),
        sa.Column("user_key", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "kind", "minute", "worker", "user_key", name=op.f("pk_counter_users")),
        sqlite_with_rowid=False,
    )


def make_access_keys() -> None:
    """Who may call."""
    op.create_table(
        "access_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_keys")),
    )


def make_records() -> None:
    """Workers, the audit trail and the store's own values."""
    op.create_table(
        "workers",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "audit",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )
