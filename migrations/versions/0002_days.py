"""Day counters: who is at a network or place; and how often each user was tried in vain by the minute."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table and a column. What an older version writes beside this one counts as one failure a user."""
    op.create_table(
        "days",
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("regulars", sa.BigInteger(), nullable=False),
        sa.Column("came", sa.BigInteger(), nullable=False),
        sa.Column("tried", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "day", "worker", name=op.f("pk_days")),
        sqlite_with_rowid=False,
    )
    op.add_column("counter_users", sa.Column("failures", sa.BigInteger(), nullable=False, server_default="1"))


def downgrade() -> None:
    """Go back: what the days told is lost."""
    op.drop_column("counter_users", "failures")
    op.drop_table("days")
