"""Verdicts over a search, which can be taken back: `withdrawn` as a report, and which ones were given together."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

OLD = (
    "'step_up_passed', 'step_up_failed', 'step_up_abandoned', 'confirmed_safe', 'confirmed_compromised', "
    "'dismissed', 'remediated'"
)
COLUMNS = "id, realm, event, user_ref, user_seq, result, at, received_at, detail"


def upgrade() -> None:
    """Add a column, and let the check take one more result. A server of an older version refuses to fold the history of
    a user again of whom a verdict was withdrawn."""
    if op.get_bind().dialect.name == "postgresql":
        op.add_column("reports", sa.Column("bulk", sa.String(16)))
        op.drop_constraint("ck_reports_result", "reports")
        op.create_check_constraint(op.f("ck_reports_result"), "reports", f"result IN ({OLD}, 'withdrawn')")
    else:
        rebuild(f"{OLD}, 'withdrawn'", sa.Column("bulk", sa.String(16)))
    given = sa.text("bulk IS NOT NULL")
    op.create_index("ix_reports_bulk", "reports", ["bulk", "id"], sqlite_where=given, postgresql_where=given)


def downgrade() -> None:
    """Go back: verdicts that were withdrawn stand again in histories that are folded anew."""
    op.execute("DELETE FROM reports WHERE result = 'withdrawn'")
    op.drop_index("ix_reports_bulk", "reports")
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("ck_reports_result", "reports")
        op.create_check_constraint(op.f("ck_reports_result"), "reports", f"result IN ({OLD})")
        op.drop_column("reports", "bulk")
    else:
        rebuild(OLD)


def rebuild(results: str, *more: sa.Column[str]) -> None:
    """Make the table anew: SQLite changes no checks."""
    op.drop_index("ix_reports_user_ref_user_seq", "reports")
    op.drop_index("ix_reports_event", "reports")
    op.rename_table("reports", "reports_before")
    op.create_table(
        "reports",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("event", sa.BigInteger()),
        sa.Column("user_ref", sa.LargeBinary(), nullable=False),
        sa.Column("user_seq", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.String(32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
        *more,
        sa.CheckConstraint(f"result IN ({results})", name=op.f("ck_reports_result")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reports")),
    )
    op.execute(f"INSERT INTO reports ({COLUMNS}) SELECT {COLUMNS} FROM reports_before")  # noqa: S608
    op.drop_table("reports_before")
    op.create_index(op.f("ix_reports_user_ref_user_seq"), "reports", ["user_ref", "user_seq"])
    op.create_index(op.f("ix_reports_event"), "reports", ["event"])
