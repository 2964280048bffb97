"""Counts of events by the hour, for what is shown over time."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table. A server of an older version goes on without it."""
    op.create_table(
        "statistics",
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("dimension", sa.String(16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "realm", "dimension", "value", name=op.f("pk_statistics")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Go back: the counts are lost, and made again from the events."""
    op.drop_table("statistics")
