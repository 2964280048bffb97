"""Shutting out and remediating from the console: who may, in which steps, and what is shown to whom."""

import re
from collections.abc import Callable
from html import unescape

import pytest

from tests.api.conftest import NEW_YORK, TOKYO
from tests.console.conftest import Browser
from tests.console.test_event import journey, trail

HOSTILE = "<img src=x onerror=alert(1)>\u202e"


def what(page: str, text: str) -> str:
    """Return the sealed choice of a page that is shown as `text`."""
    options = re.findall(r'<option value="([\w-]+)">(.*?)</option>', unescape(page))
    return {shown: value for value, shown in options}[text]


def hidden(page: str) -> dict[str, str]:
    """Return the fields that a page's confirmation carries."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))


def test_an_event_suggests_what_to_shut_out_counts_it_and_shuts_it_out(
    browser: Browser, user: str, ago: Callable[[float], str]
) -> None:
    event_id = journey(browser, user, ago, device_id="thief")
    browser.sign_in("events:read", "verdict")
    page = browser.get(f"/console/events/{event_id}").text
    form = {"for": "24h", "why": "ticket 4711", "csrf": browser.csrf()}

    asked = browser.post("/console/blocks", None, what=what(page, "device:thief"), **form)
    made = browser.post("/console/blocks", None, **hidden(asked.text))

    assert {"AS4713", f"{TOKYO}/32", f"user:{user}"} <= set(re.findall(r">([^<]+)</option>", page))
    assert "would have denied <strong>1</strong> logins" in asked.text
    assert "device:thief" in asked.text
    assert (made.status_code, made.url.path) == (200, "/console/blocks")
    assert "in force" in made.text
    browser.service.parts.watch.refresh(browser.service.app.state.desk.clock())
    browser.service.parts.live.engine.heed(browser.service.parts.watch.blocks)
    answer = browser.service.post("/score", {"user_id": user, "ip": NEW_YORK, "device_id": "thief"}).json()
    assert (answer["decision"], answer["reasons"][0]["code"]) == ("deny", "blocked")
    assert trail(browser).count("block.add") == 1

    block_id = re.findall(r"/console/blocks/(\w+)/lift", made.text)[0]
    lifted = browser.post(f"/console/blocks/{block_id}/lift", csrf=browser.csrf())
    assert "lifted" in lifted.text
    assert "block.lift" in trail(browser)


def test_what_is_asked_for_makes_sense_or_is_named(browser: Browser) -> None:
    browser.sign_in("events:read", "verdict")
    form = {"for": "24h", "why": "x", "csrf": browser.csrf()}

    wide = browser.post("/console/blocks", None, value="0.0.0.0/0", **form)
    meant = browser.post("/console/blocks", None, value="0.0.0.0/0", force="yes", **form)
    foreign = browser.post("/console/blocks", None, what="AAAA", **form)

    assert (wide.status_code, "is wider than a /8" in wide.text) == (422, True)
    assert "It is too wide to count" in meant.text
    assert foreign.status_code == 404
    assert "block.add" not in trail(browser)[-3:]


def test_a_search_and_a_user_can_be_shut_out(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    journey(browser, user, ago)
    browser.sign_in("events:read", "verdict")
    reference = browser.service.post("/score/preview", {"user_id": user, "ip": TOKYO}).json()["user_ref"]

    found = browser.post("/console/search", csrf=browser.csrf(), cidr="198.51.100.0/25", asn="4713, 701").text
    about = browser.get(f"/console/users/{reference}").text

    assert what(found, "198.51.100.0/25")
    assert "AS4713" not in found.replace("AS4713 ", ""), "several at once are no one block"
    assert what(about, f"user:{user}")


def test_a_viewer_sees_blocks_masked_and_puts_up_none(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    event_id = journey(browser, user, ago)
    for value in (f"user:{user}", "203.0.113.77"):
        browser.service.post("/blocks", {"value": value, "for": "1h", "why": "x"})
    browser.sign_in("events:read")

    page = browser.get("/console/blocks").text
    refused = browser.post("/console/blocks", None, value="203.0.113.9", why="x", csrf=browser.csrf(), **{"for": "1h"})

    assert (user in page, "203.0.113.77" in page, f"user:{user[0]}•••" in page) == (False, False, True)
    assert 'name="what"' not in browser.get(f"/console/events/{event_id}").text
    assert refused.status_code == 403


def test_a_form_of_another_session_is_refused(browser: Browser) -> None:
    browser.sign_in("events:read", "verdict")

    answer = browser.post("/console/blocks", None, value="203.0.113.9", why="x", csrf="x", **{"for": "1h"})

    assert answer.status_code == 403


def test_hostile_names_are_text(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    event_id = journey(browser, user, ago, device_id=HOSTILE)
    browser.service.post("/blocks", {"value": f"device:{HOSTILE}", "for": "1h", "why": HOSTILE})
    browser.sign_in("events:read", "verdict")

    pages = [browser.get(path).text for path in ("/console/blocks", f"/console/events/{event_id}")]
    choice = what(pages[1], "device:<img src=x onerror=alert(1)><U+202E>")
    asked = browser.post("/console/blocks", None, what=choice, why=HOSTILE, csrf=browser.csrf(), **{"for": "1h"})

    for page in (*pages, asked.text):
        assert "<img" not in page
        assert "\u202e" not in page
    assert "would have denied <strong>1</strong>" in asked.text, "what is sealed is what was sent"


@pytest.mark.parametrize("scopes", [("events:read",), ("events:read", "verdict")])
def test_an_analyst_gives_an_account_back(
    browser: Browser, user: str, ago: Callable[[float], str], scopes: tuple[str, ...]
) -> None:
    event_id = journey(browser, user, ago)
    browser.service.post(f"/events/{event_id}/report", {"result": "confirmed_compromised"})
    reference = browser.service.get(f"/events/{event_id}").json()["answer"]["user_ref"]
    browser.sign_in(*scopes)
    path = f"/console/users/{reference}"

    offered = f"{path}/remediate" in browser.get(path).text
    after = browser.post(f"{path}/remediate", csrf=browser.csrf())

    may = "verdict" in scopes
    assert (offered, after.status_code) == ((True, 200) if may else (False, 403))
    assert browser.service.get(f"/users/{reference}").json()["at_risk"] is not may
    assert ("user.remediate" in trail(browser)[-8:]) is may
