"""The real application over its HTTP interface, in a home of its own, in the tests' little world."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from riskengine.app import Parts, build, clock
from riskengine.check import format_time
from riskengine.settings import Settings
from tests.fixtures_geo import World

ALL_SCOPES = ("score", "report", "verdict", "events:read")
NEW_YORK, TOKYO, TOR = "192.0.2.10", "198.51.100.10", "203.0.113.70"
MINUTE_MS = 60_000
PATIENT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Service:
    """A running application, and a caller with every scope."""

    app: FastAPI
    client: TestClient
    token: str
    settings: Settings

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.state.parts
        return parts

    def key(self, *scopes: str, realm: str = "default") -> dict[str, str]:
        """Return the header of a new access key."""
        token, _ = self.parts.access.create("test", scopes, realm, clock())
        return {"Authorization": f"Bearer {token}"}

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx2.Response:
        """Send a JSON body as the caller with every scope, or with other headers."""
        return self.client.post(path, json=body, headers=headers or self.headers)

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx2.Response:
        return self.client.get(path, headers=headers or self.headers)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def stored(self) -> int:
        """Return how many events the store holds."""
        return self.parts.store.counts()["events"]


def settings_for(home: Path, world: World, **more: Any) -> Settings:
    """Return settings in the tests' world; a module's tests call from one address, many wrongly on purpose."""
    files = {"geoip_city": world.city, "geoip_asn": world.asn, "geoip_anonymous": world.anonymous}
    return Settings(home=home, **{"limit_failures": 10_000, **files, **more})


@contextmanager
def running(settings: Settings) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patched:
        # Too long for a caller is not for a test: beside others a machine stalls, and the answer would be a fallback.
        patched.setattr("riskengine.app.DEADLINE_SECONDS", PATIENT_SECONDS)
        app = build(settings)
    # A defect must come back as the answer a client gets, not as an exception in the test.
    with TestClient(app, raise_server_exceptions=False) as client:
        token, _ = app.state.parts.access.create("all", ALL_SCOPES, "default", clock())
        yield Service(app, client, token, settings)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Service]:
    """One application for the tests of a module; each uses users and events of its own."""
    with running(settings_for(tmp_path_factory.mktemp("home"), world)) as service:
        yield service


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """A user nobody else in this module is."""
    return re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:100]


@pytest.fixture
def ago() -> Callable[[float], str]:
    """RFC 3339 of so many minutes ago."""
    now = clock()
    return lambda minutes: format_time(now - round(minutes * MINUTE_MS))
