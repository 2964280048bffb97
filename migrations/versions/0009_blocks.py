"""Blocks of an incident: what somebody shut out, until when."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table. A server of an older version heeds no blocks."""
    op.create_table(
        "blocks",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("token", sa.LargeBinary()),
        sa.Column("asn", sa.BigInteger()),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("lifted_at", sa.BigInteger()),
        sa.CheckConstraint("kind IN ('address', 'asn', 'user', 'device')", name=op.f("ck_blocks_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocks")),
    )
    op.create_index(op.f("ix_blocks_expires_at"), "blocks", ["expires_at"])


def downgrade() -> None:
    """Go back: what was shut out is let in again."""
    op.drop_table("blocks")
