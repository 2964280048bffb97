"""The link that `riskengine up` gives out."""

import stat
import sys
from urllib.parse import urlsplit

import pytest

from riskengine.access.caller import DEFAULT_REALM
from riskengine.app import clock
from riskengine.cli.up import FIRST_NAME, FIRST_SCOPES, invitation
from tests.console.conftest import Browser


@pytest.fixture
def first(browser: Browser) -> str:
    """The first key, as `up` makes it; its id."""
    return browser.service.parts.access.create(FIRST_NAME, FIRST_SCOPES, DEFAULT_REALM, clock())[1].id


def test_it_lies_in_a_file_of_its_owner_alone_and_signs_in_once(browser: Browser, first: str) -> None:
    settings = browser.service.settings

    said = "\n".join(invitation(browser.service.parts, settings))

    file = settings.home / "keys" / "sign-in-link"
    link = urlsplit(file.read_text().strip())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert str(file) in said
    assert link.query not in said
    assert (link.netloc, link.path) == ("127.0.0.1:8000", "/console/sign-in")
    token = link.query.removeprefix("link=")
    found = [browser.post("/console/sign-in", link=token).url.path for _ in range(2)]
    assert found == ["/console", "/console/sign-in"]


def test_a_terminal_shows_it(browser: Browser, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    assert (
        "http://127.0.0.1:8000/console/sign-in?link=" in invitation(browser.service.parts, browser.service.settings)[0]
    )


def test_without_the_first_key_there_is_none(browser: Browser, first: str) -> None:
    access = browser.service.parts.access
    for row in access.all():
        access.revoke(row.id, clock())

    assert invitation(browser.service.parts, browser.service.settings) == []
