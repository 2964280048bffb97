"""Events in partitions by the month on PostgreSQL, so that old ones go at once and new ones find small indexes.

By row id, which begins with the time of arrival: so the id alone stays the primary key, a look-up by id touches one
partition, what arrives late is written to this month's, and a month is over when its time of arrival is. What was
stored before stays where it is and becomes the partition of everything before a month's beginning.
"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ERA = datetime(2020, 1, 1, tzinfo=UTC)
ID_BITS = 22  # a row id is ms since 2020, and 22 bits that keep ids of one ms apart
# While we wait for a lock on `events`, scoring waits behind us: rather fail, and be run again.
LOCK = "SET LOCAL lock_timeout = '2s'"
INDEXES = ("ix_events_user_ref_occurred_at", "ix_events_realm_address_index", "ix_events_occurred_at",
           "ix_events_not_allowed")  # fmt: skip


def upgrade() -> None:
    """Put a partitioned table above the table there was. SQLite keeps all events in one table.

    A server of an older version goes on: what it reads and writes is still called `events`.
    """
    if op.get_bind().dialect.name != "postgresql":
        return
    bound = bounded()
    op.execute(LOCK)
    op.execute("ALTER TABLE events RENAME TO events_before")
    op.execute("ALTER TABLE events_before RENAME CONSTRAINT pk_events TO pk_events_before")
    for index in INDEXES:
        op.execute(f"ALTER INDEX {index} RENAME TO {index.replace('events', 'events_before')}")
    op.execute(
        "CREATE TABLE events (LIKE events_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE) "
        "PARTITION BY RANGE (id)"
    )
    op.execute("ALTER TABLE events DROP CONSTRAINT IF EXISTS ck_events_before")
    make_indexes()
    op.execute(f"ALTER TABLE events ATTACH PARTITION events_before FOR VALUES FROM (MINVALUE) TO ({bound})")
    op.execute("CREATE TABLE events_default PARTITION OF events DEFAULT")


def downgrade() -> None:
    """Put all events into one table again: every row is copied, and nobody writes meanwhile."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
    op.execute("CREATE TABLE events_one (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)")
    op.execute("INSERT INTO events_one SELECT * FROM events")
    op.execute("DROP TABLE events")
    op.execute("ALTER TABLE events_one RENAME TO events")
    make_indexes()


def make_indexes() -> None:
    """Make the primary key and the few indexes of `events`."""
    op.create_primary_key(op.f("pk_events"), "events", ["id"])
    op.create_index(op.f(INDEXES[0]), "events", ["user_ref", "occurred_at"])
    op.create_index(op.f(INDEXES[1]), "events", ["realm", "address_index"])
    op.create_index(op.f(INDEXES[2]), "events", ["occurred_at"])
    op.create_index(op.f(INDEXES[3]), "events", ["occurred_at"], postgresql_where=sa.text("decision != 'allow'"))


def bounded() -> int:
    """Return the id that every stored event is below, the first of a month; afterwards the database knows that it is.

    To find that out it reads the whole table. Done in transactions of its own, that holds up nobody who writes.
    """
    now = datetime.now(UTC)
    with op.get_bind().engine.connect() as connection:
        with connection.begin():
            if connection.scalar(sa.text("SELECT to_regclass('events')")) is None:
                return first_id(now)  # made a moment ago in the transaction that we are in: there is none
            newest = connection.scalar(sa.text("SELECT max(id) FROM events")) or 0
            latest = max(now, ERA + timedelta(milliseconds=newest >> ID_BITS))
            # What is still being written is below, too; a month later nothing is.
            bound = first_id(latest.replace(day=1) + timedelta(days=32 if latest.day < 28 else 63))
            connection.execute(sa.text(LOCK))
            connection.execute(sa.text("ALTER TABLE events DROP CONSTRAINT IF EXISTS ck_events_before"))
            connection.execute(
                sa.text(f"ALTER TABLE events ADD CONSTRAINT ck_events_before CHECK (id < {bound}) NOT VALID")
            )
        with connection.begin():
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            connection.execute(sa.text("ALTER TABLE events VALIDATE CONSTRAINT ck_events_before"))
    return bound


def first_id(time: datetime) -> int:
    """Return the least id of the month of `time`."""
    month = time.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (month - ERA) // timedelta(milliseconds=1) << ID_BITS
