"""A copy of a whole database as one file, taken beside running servers, and putting it back where nothing is yet."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import psycopg
from sqlalchemy import func, inspect, make_url, select
from sqlalchemy.engine import URL

from riskengine.errors import Conflict, RiskEngineError, StoreUnavailable
from riskengine.store.database import Database, opened, translated
from riskengine.store.schema import current
from riskengine.store.tables import METADATA

PAGES_AT_ONCE = 2_000  # of 4 kB
WAIT_SECONDS = 10.0
_SQLITE_BESIDE = ("", "-wal", "-journal")


class Copied(NamedTuple):
    """What a copy holds: the schema's revision, and the rows of each table."""

    schema: str
    counts: Mapping[str, int]


def copy(url: str, target: Path, tell: Callable[[int], object]) -> Copied:
    """Write all of a database, as it is at one moment, to `target`; servers go on. `tell` hears of SQLite's pages.

    Of SQLite it is a database file, of PostgreSQL what `pg_dump -Fc` writes. RiskEngineError where that cannot be run.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        with translated():
            return _copy_sqlite(str(parsed.database), target, tell)
    return _copy_postgresql(parsed, target)


def require_free(url: str) -> None:
    """Raise Conflict where there is a database already, or what one left behind."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        for ending in _SQLITE_BESIDE:
            if (file := Path(f"{parsed.database}{ending}")).exists():
                raise Conflict(f"{file} exists already, and nothing is restored over a database")
        return
    database = opened(url, WAIT_SECONDS)
    with translated(), closing(database), database.reader.connect() as connection:
        if inspect(connection).get_table_names():
            raise Conflict("the database (RISKENGINE_DATABASE_URL) has tables, and nothing is restored over a database")


def put_back(url: str, dump: Path) -> None:
    """Put what pg_dump wrote into an empty PostgreSQL database, in one transaction."""
    _run(make_url(url), "pg_restore", "--single-transaction", "--exit-on-error", str(dump))


def counted(database: Database) -> Copied:
    """Return what a database holds; it reads all tables."""
    with translated(), database.reader.begin() as connection:
        database.be_patient(connection)
        counts = {
            table.name: connection.scalars(select(func.count()).select_from(table)).one()
            for table in METADATA.sorted_tables
        }
        return Copied(str(current(connection)), counts)


def _copy_sqlite(file: str, target: Path, tell: Callable[[int], object]) -> Copied:
    """Copy in one read transaction: what is written meanwhile goes into the log, and does not begin the copy anew."""
    with closing(sqlite3.connect(file, isolation_level=None)) as source, closing(sqlite3.connect(target)) as copied:
        target.chmod(0o600)
        source.execute("PRAGMA busy_timeout=10000")
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        before = 0

        def progress(_status: int, left: int, total: int) -> None:
            nonlocal before
            tell(total - left - before)
            before = total - left

        source.backup(copied, pages=PAGES_AT_ONCE, progress=progress, sleep=0)
        source.rollback()
        _require_sound(copied)
    database = opened(f"sqlite:///{target}", WAIT_SECONDS)
    with closing(database):
        return counted(database)


def _require_sound(connection: sqlite3.Connection) -> None:
    """Raise StoreUnavailable for a damaged file: its copy would be damaged too, and nobody would know.

    Of tables without a row id SQLite 3.40 says by mistake that they hold NULL; those are only read, when counted.
    """
    for (table,) in connection.execute("SELECT name FROM pragma_table_list WHERE type = 'table' AND NOT wr").fetchall():
        [[found]] = connection.execute(f"PRAGMA quick_check({table})").fetchall()[:1]
        if found != "ok":
            raise StoreUnavailable(f"the database file is damaged, and so would be its copy: {found}")


def _copy_postgresql(url: URL, target: Path) -> Copied:
    """Have pg_dump see what our own transaction counts."""
    require("pg_dump")
    with translated(), psycopg.connect(_for_libpq(url, with_password=True), connect_timeout=10) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        snapshot = _one(connection, "SELECT pg_export_snapshot()")
        counts = {
            table.name: int(_one(connection, f"SELECT count(*) FROM {table.name}"))  # noqa: S608 (our own names)
            for table in METADATA.sorted_tables
        }
        schema = _one(connection, "SELECT version_num FROM alembic_version")
        _run(url, "pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--file={target}")
    return Copied(schema, counts)


def _one(connection: "psycopg.Connection[tuple[object, ...]]", statement: str) -> str:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return str(row[0])


def require(program: str) -> None:
    """Raise RiskEngineError unless one of PostgreSQL's own programs can be run."""
    if shutil.which(program) is None:
        raise RiskEngineError(
            f"a PostgreSQL database is copied by its own pg_dump and put back by its pg_restore, and {program} is not "
            "on the PATH: install the client programs of the server's version (postgresql-client)"
        )


def _run(url: URL, program: str, *words: str) -> None:
    """Run one of PostgreSQL's programs; the password goes by its environment, where no other user sees it."""
    require(program)
    secret = {} if url.password is None else {"PGPASSWORD": str(url.password)}
    command = [program, "--no-owner", "--no-privileges", f"--dbname={_for_libpq(url)}", *words]
    done = subprocess.run(command, env=os.environ | secret, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise RiskEngineError(f"{program} ended with exit code {done.returncode} and said: {said[0]}")


def _for_libpq(url: URL, with_password: bool = False) -> str:
    """Return a URL as PostgreSQL's own programs read it.

    >>> _for_libpq(make_url("postgresql+psycopg://me:secret@db/risk?pooler=transaction&sslmode=verify-full"))
    'postgresql://me@db/risk?sslmode=verify-full'
    """
    plain = url.difference_update_query(["pooler"]).set(drivername="postgresql")
    bare = URL.create(plain.drivername, plain.username, None, plain.host, plain.port, plain.database, plain.query)
    return (plain if with_password else bare).render_as_string(hide_password=False)
