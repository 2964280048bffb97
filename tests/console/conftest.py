"""A browser without a screen: the console over HTTP, with the cookies and headers that browsers send."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

import httpx2
import pytest

from tests.api.conftest import Service, ago, running, settings_for, user
from tests.fixtures_geo import World

__all__ = ["ago", "user"]  # fixtures of the interface's tests, which are ours too
BASE = "https://testserver"
SAME = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Browser:
    """Somebody at the console of a running application."""

    service: Service

    def get(self, path: str) -> httpx2.Response:
        return self.service.client.get(BASE + path)

    def post(self, path: str, headers: dict[str, str] | None = None, **form: str) -> httpx2.Response:
        """Send a form as a page of ours would."""
        return self.service.client.post(BASE + path, data=form, headers=SAME if headers is None else headers)

    def key(self, *scopes: str, realm: str = "default") -> tuple[str, str]:
        """Return a new access key and its id."""
        header = self.service.key(*scopes, realm=realm)["Authorization"].removeprefix("Bearer ")
        return header, header.split("_")[1]

    def sign_in(self, *scopes: str, realm: str = "default") -> str:
        """Sign in with a new key of these scopes; return the key's id."""
        token, key_id = self.key(*scopes, realm=realm)
        answer = self.post("/console/sign-in", key=token)
        assert answer.status_code == 200, answer.text
        return key_id

    def csrf(self) -> str:
        """Return what the forms of this session carry."""
        return unescape(re.findall(r'name="csrf" value="([^"]+)"', self.get("/console").text)[0])

    def cookie(self) -> str | None:
        return next((one.value for one in self.service.client.cookies.jar if one.name == "__Host-riskengine"), None)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Service]:
    """One application for the tests of a module; each uses users and events of its own."""
    with running(settings_for(tmp_path_factory.mktemp("home"), world)) as service:
        yield service


@pytest.fixture
def browser(service: Service) -> Iterator[Browser]:
    """A browser nobody has signed in with."""
    service.client.cookies.clear()
    yield Browser(service)
    service.client.cookies.clear()
