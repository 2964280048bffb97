"""Clients that ask for tokens, the keys that sign these, and the one-time tokens that were used."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables. A server of an older version goes on with its access keys."""
    op.create_table(
        "clients",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary()),
        sa.Column("old_digest", sa.LargeBinary()),
        sa.Column("old_until", sa.BigInteger()),
        sa.Column("jwks", sa.Text()),
        sa.Column("certificate", sa.String(64)),
        sa.Column("one_time", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clients")),
    )
    op.create_table(
        "signing_keys",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "number", name=op.f("pk_signing_keys")),
    )
    op.create_table(
        "spent_tokens",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("paid", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spent_tokens")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Go back: clients are lost, and with them all tokens."""
    for table in ("spent_tokens", "signing_keys", "clients"):
        op.drop_table(table)
