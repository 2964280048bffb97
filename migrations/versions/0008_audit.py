"""The audit trail is only ever appended to, and each line is linked to those before it."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

REFUSAL = "the audit trail is only ever appended to"
# Not `detail`: it is sealed again when the sealing key changes, and its digest holds it to what it said.
FIXED = "id, at, realm, actor, action, object, digest, link"


def upgrade() -> None:
    """Link the lines there are, then refuse changes. A server of an older version goes on adding lines without a link.

    Such a line is covered by the link of the next line that has one.
    """
    op.add_column("audit", sa.Column("digest", sa.String(64)))
    op.add_column("audit", sa.Column("link", sa.String(64)))
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.execute("LOCK TABLE audit IN EXCLUSIVE MODE")
    link_all(connection)
    for statement in triggers(connection.dialect.name):
        op.execute(statement)


def downgrade() -> None:
    """Go back to a table that can be changed."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER audit_no_update ON audit")
        op.execute("DROP TRIGGER audit_no_delete ON audit")
        op.execute("DROP FUNCTION audit_refuse()")
    else:
        op.execute("DROP TRIGGER audit_no_update")
        op.execute("DROP TRIGGER audit_no_delete")
    op.drop_column("audit", "link")
    op.drop_column("audit", "digest")


def link_all(connection: sa.Connection) -> None:
    """Give each line its link, a thousand lines at a time."""
    page = sa.text("SELECT id, at, realm, actor, action, object FROM audit WHERE id > :last ORDER BY id LIMIT 1000")
    last, link = -1, ""
    while lines := connection.execute(page, {"last": last}).all():
        links = []
        for last, *fields in lines:
            link = hashlib.sha256(json.dumps([link, *fields, None]).encode()).hexdigest()
            links.append({"id": last, "link": link})
        connection.execute(sa.text("UPDATE audit SET link = :link WHERE id = :id"), links)


def triggers(dialect: str) -> list[str]:
    """Return what makes the triggers."""
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER audit_no_update BEFORE UPDATE OF {FIXED} ON audit "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END",
            f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END",
        ]
    return [
        "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$",
        f"CREATE TRIGGER audit_no_update BEFORE UPDATE OF {FIXED} ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
        "CREATE TRIGGER audit_no_delete BEFORE DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
    ]
