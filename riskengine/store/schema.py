"""Which revision a database is at, and bringing it to the newest one."""

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from riskengine.errors import StoreUnavailable
from riskengine.settings import package_files
from riskengine.store.database import opened, translated

# How long one process waits for another that is migrating.
UPGRADE_SECONDS = 60.0


def head() -> str:
    """Return the newest revision that this version of the code knows."""
    found = ScriptDirectory(str(package_files("migrations"))).get_current_head()
    if found is None:
        raise RuntimeError("the package holds no migrations")
    return found


def current(connection: Connection) -> str | None:
    """Return the revision of the database, None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def is_behind(found: str | None, wanted: str) -> bool:
    """Return whether a database at revision `found` lacks something that code at `wanted` needs.

    Revisions are four digits counted up and only expand, so a database ahead of the code serves it too: that is
    what lets two versions run side by side during an upgrade.

    >>> is_behind(None, "0001"), is_behind("0001", "0001"), is_behind("0002", "0001")
    (True, False, False)
    """
    return found is None or found < wanted


def schema_status(url: str) -> tuple[str | None, str]:
    """Return (revision of the database, newest revision); None for a database that is empty or not there yet.

    Raise StoreUnavailable when the database cannot be reached.
    """
    database = opened(url, UPGRADE_SECONDS)
    try:
        with translated():
            if not database.exists():
                return None, head()
            with database.reader.connect() as connection:
                return current(connection), head()
    finally:
        database.close()


def upgrade(url: str) -> None:
    """Bring the database to the newest revision, making it where it is a file; all or nothing.

    A second process that asks at the same time waits, then finds nothing to do. A database that is ahead of the
    code is left as it is. Raise StoreUnavailable when the database cannot be reached or changed.
    """
    database = opened(url, UPGRADE_SECONDS)
    try:
        with translated():
            database.make()
            with database.writing() as connection:
                database.lock_for_upgrade(connection)
                if is_behind(current(connection), head()):
                    command.upgrade(_config(connection), "head")
    except OSError as error:
        raise StoreUnavailable(f"the folder of the database cannot be made ({error.strerror})") from error
    finally:
        database.close()


def downgrade(url: str, revision: str) -> None:
    """Take the database back to `revision` (`base` for nothing at all); what later ones added is lost."""
    database = opened(url, UPGRADE_SECONDS)
    try:
        with translated(), database.writing() as connection:
            database.lock_for_upgrade(connection)
            command.downgrade(_config(connection), revision)
    finally:
        database.close()


def _config(connection: Connection) -> Config:
    """Return a configuration without a file: the revisions travel in the package."""
    config = Config()
    config.set_main_option("script_location", str(package_files("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
