"""Which events each transaction saved, so that a follower sees each of them once."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table. A server of an older version goes on without it: followers do not see what that one stores."""
    op.create_table(
        "arrivals",
        sa.Column("turn", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("events", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("turn", name=op.f("pk_arrivals")),
    )


def downgrade() -> None:
    """Go back: followers would have to begin anew."""
    op.drop_table("arrivals")
