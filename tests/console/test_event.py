"""The page of one event: what it tells, to whom, and how a verdict teaches the engine."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.api.conftest import NEW_YORK, TOKYO
from tests.console.conftest import Browser

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"


def journey(browser: Browser, user: str, ago: Callable[[float], str], **given: Any) -> str:
    """Let a user, at home in New York, turn up in Tokyo ten minutes after; return that event's id."""
    body = {"user_id": user, "ip": NEW_YORK, "user_agent": CHROME, "device_id": "laptop", "mfa": "passed"}
    for day in range(9, 0, -1):
        answer = browser.service.post("/score", body | {"occurred_at": ago(day * 1440 + 10)})
        assert answer.status_code == 200, answer.text
    browser.service.post("/score", body | {"occurred_at": ago(20)})
    last = {"user_id": user, "ip": TOKYO, "event_id": f"{user}:tokyo", "occurred_at": ago(10)} | given
    answer = browser.service.post("/score", last)
    assert answer.status_code == 200, answer.text
    return f"{user}:tokyo"


def test_it_tells_the_story_of_a_decision(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    event_id = journey(browser, user, ago)
    browser.sign_in("events:read", "verdict")

    page = browser.get(f"/console/events/{event_id}")

    assert page.status_code == 200
    assert "New York to Tokyo, 10,849 km in 10 minutes" in page.text
    assert 'class="leg impossible"' in page.text
    assert "What would have changed it" in page.text
    assert "impossible travel" in page.text
    assert user in page.text
    assert TOKYO in page.text


def test_it_says_whose_the_places_are_and_how_old(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    event_id = journey(browser, user, ago)
    browser.sign_in("events:read")

    page = browser.get(f"/console/events/{event_id}").text

    assert '<a href="https://www.maxmind.com"' in page
    assert "IPFire Location, CC BY-SA 4.0" in page
    assert "0 days old" in page


def test_a_viewer_sees_whom_it_is_about_after_a_click_that_is_audited(
    browser: Browser, user: str, ago: Callable[[float], str]
) -> None:
    event_id = journey(browser, user, ago, login=f"{user}@example.com", context={"note": "badge-4711"})
    browser.sign_in("events:read")
    path = f"/console/events/{event_id}"

    masked = browser.get(path).text
    revealed = browser.post(f"{path}/reveal", csrf=browser.csrf()).text

    for secret in (f"{user}@example.com", TOKYO, "badge-4711"):
        assert secret not in masked
        assert secret in revealed
    assert "198.51.•.•" in masked
    assert "confirmed_compromised" not in masked
    seen = [action for action in trail(browser) if action.startswith("event.")]
    assert seen[-2:] == ["event.read", "event.reveal"]


@pytest.mark.parametrize("verdict", ["confirmed_safe", "confirmed_compromised", "dismissed"])
def test_a_verdict_teaches_as_a_report_does(
    browser: Browser, user: str, ago: Callable[[float], str], verdict: str
) -> None:
    event_id = journey(browser, user, ago)
    browser.sign_in("events:read", "verdict")
    path = f"/console/events/{event_id}"

    page = browser.post(f"{path}/report", csrf=browser.csrf(), result=verdict)

    assert page.url.path == path
    assert verdict.replace("_", " ") in page.text
    stored = browser.service.get(f"/events/{event_id}").json()
    assert (stored["state"], [one["result"] for one in stored["reports"]]) == (verdict, [verdict])
    assert stored["reports"][0]["by"] == "test"
    next_login = {"user_id": user, "ip": NEW_YORK, "device_id": "laptop", "user_agent": CHROME}
    answer = browser.service.post("/score", next_login).json()
    assert ("user_at_risk" in str(answer["reasons"])) == (verdict == "confirmed_compromised")


def test_a_viewer_may_not_judge(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    event_id = journey(browser, user, ago)
    browser.sign_in("events:read")

    answer = browser.post(f"/console/events/{event_id}/report", csrf=browser.csrf(), result="confirmed_safe")

    assert answer.status_code == 403
    assert browser.service.get(f"/events/{event_id}").json()["state"] == "open"


@pytest.mark.parametrize("result", ["", "step_up_passed", "remediated", "<b>"])
def test_only_verdicts_are_taken(browser: Browser, user: str, ago: Callable[[float], str], result: str) -> None:
    event_id = journey(browser, user, ago)
    browser.sign_in("events:read", "verdict")

    answer = browser.post(f"/console/events/{event_id}/report", csrf=browser.csrf(), result=result)

    assert answer.status_code == 422
    assert browser.service.get(f"/events/{event_id}").json()["state"] == "open"


@pytest.mark.parametrize("event_id", ["none", "%00", "a" * 200, "<script>"])
def test_an_event_that_is_not_there_is_told_in_a_page(browser: Browser, event_id: str) -> None:
    browser.sign_in("events:read")

    answer = browser.get(f"/console/events/{event_id}")

    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


def test_another_realms_event_is_not_there(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    event_id = journey(browser, user, ago)
    browser.sign_in("events:read", "verdict", realm="other")

    assert browser.get(f"/console/events/{event_id}").status_code == 404


def test_an_event_is_opened_by_its_id(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    event_id = journey(browser, user, ago)
    browser.sign_in("events:read")

    answer = browser.post("/console/events", csrf=browser.csrf(), event_id=f" {event_id} ")

    assert answer.url.path == f"/console/events/{event_id}"


def trail(browser: Browser) -> list[str]:
    """Return what was audited so far."""
    url = browser.service.settings.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(url)) as connection:
        return [row[0] for row in connection.execute("SELECT action FROM audit ORDER BY id")]
