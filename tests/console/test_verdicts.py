"""A verdict on all that a search found, from the console."""

import re
from collections.abc import Callable

from tests.api.conftest import NEW_YORK
from tests.console.conftest import Browser
from tests.console.test_blocks import hidden
from tests.console.test_event import trail


def come(browser: Browser, user: str, when: str) -> None:
    body = {"user_id": user, "ip": NEW_YORK, "occurred_at": when, "event_id": f"{user}-1"}
    assert browser.service.post("/score", body).status_code == 200


def test_it_is_counted_given_and_taken_back(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    come(browser, user, ago(5))
    browser.sign_in("events:read", "verdict")

    def state() -> str:
        return str(browser.service.get(f"/events/{user}-1").json()["state"])

    found = browser.post("/console/search", None, csrf=browser.csrf(), user_id=user)
    search = re.findall(r'name="search" value="([\w-]+)"', found.text)[0]
    counted = browser.post(
        "/console/verdicts", None, csrf=browser.csrf(), search=search, result="confirmed_compromised"
    )
    assert ("Confirmed compromised: 1 events" in counted.text, state()) == (True, "open")
    given = browser.post("/console/verdicts/step", None, **hidden(counted.text))
    assert ("1 done, 0 left" in given.text, state()) == (True, "confirmed_compromised")

    path = re.findall(r'action="(/console/verdicts/\w+/undo)"', given.text)[0]
    asked = browser.post(path, None, csrf=browser.csrf())
    assert ("Withdraw the verdicts: 1 events" in asked.text, state()) == (True, "confirmed_compromised")
    undone = browser.post("/console/verdicts/step", None, **hidden(asked.text))
    assert ("1 done, 0 left" in undone.text, state()) == (True, "open")
    assert [action for action in trail(browser) if action.startswith("verdicts.")] == ["verdicts.give", "verdicts.undo"]


def test_a_viewer_judges_nothing(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    come(browser, user, ago(5))
    browser.sign_in("events:read")

    found = browser.post("/console/search", None, csrf=browser.csrf(), user_id=user)
    answer = browser.post(
        "/console/verdicts", None, csrf=browser.csrf(), search=str(found.url).rpartition("/")[2], result="dismissed"
    )

    assert 'name="search"' not in found.text
    assert answer.status_code == 403


def test_a_form_of_another_session_is_refused(browser: Browser) -> None:
    browser.sign_in("events:read", "verdict")

    for path in ("/console/verdicts", "/console/verdicts/step", "/console/verdicts/0123456789/undo"):
        assert browser.post(path, None, csrf="x", confirm="x").status_code == 403


def test_what_is_no_search_or_note_is_refused(browser: Browser) -> None:
    browser.sign_in("events:read", "verdict")

    form = {"csrf": browser.csrf(), "result": "dismissed"}
    assert browser.post("/console/verdicts", None, search="x", **form).status_code == 404
    assert browser.post("/console/verdicts/step", None, csrf=browser.csrf(), confirm="x").status_code == 422
