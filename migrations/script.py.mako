"""${message}"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
# Four digits, counted up: a database ahead of the code is told by comparing them.
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only expand: the version before this one goes on serving beside it."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Undo what `upgrade` did."""
    ${downgrades if downgrades else "pass"}
