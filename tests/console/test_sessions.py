"""Signing in: an access key once, then a cookie; its ends, and what forged requests get."""

import re

import pytest

from riskengine.access import guesses
from riskengine.access.access import Access
from riskengine.access.bucket import Buckets
from riskengine.console.office import Office
from riskengine.console.sessions import IDLE_MS, LINK_MS, LONGEST_MS, MINUTE_MS, Sessions
from riskengine.errors import AccessDenied
from riskengine.store.contract import Store
from tests.console.conftest import SAME, Browser

START = 1_772_615_731_500
READER = ("events:read",)


def sessions_of(store: Store, *scopes: str) -> tuple[Sessions, Access, str, str]:
    access = Access(store)
    token, row = access.create("ana", scopes or READER, "default", START)
    return Sessions(store, access), access, token, row.id


def test_a_key_is_exchanged_for_a_cookie_that_stands_for_it(store: Store) -> None:
    sessions, _, token, key_id = sessions_of(store, "events:read", "verdict")

    visitor = sessions.admit(sessions.sign_in(token, START), START + 1)

    assert visitor is not None
    assert visitor.caller.key_id == key_id
    assert visitor.is_analyst


@pytest.mark.parametrize(
    ("steps", "lives"),
    [
        pytest.param([IDLE_MS - 1], True, id="used_within_half_an_hour"),
        pytest.param([IDLE_MS], False, id="idle_for_half_an_hour"),
        pytest.param([IDLE_MS - 1, 2 * IDLE_MS - 2 * MINUTE_MS], True, id="use_keeps_it_alive"),
        pytest.param(list(range(0, LONGEST_MS + 1, 20 * MINUTE_MS)), False, id="twelve_hours_at_most"),
    ],
)
def test_a_session_ends_by_itself(store: Store, steps: list[int], lives: bool) -> None:
    sessions, _, token, _ = sessions_of(store)
    cookie = sessions.sign_in(token, START)

    found = [sessions.admit(cookie, START + step) is not None for step in steps]

    assert found == [True] * (len(steps) - 1) + [lives]


def test_a_session_ends_with_its_key(store: Store) -> None:
    sessions, access, token, key_id = sessions_of(store)
    cookie = sessions.sign_in(token, START)

    access.revoke(key_id, START + 1)

    assert sessions.admit(cookie, START + 2) is None


def test_a_session_ends_by_signing_out(store: Store) -> None:
    sessions, _, token, _ = sessions_of(store)
    cookie = sessions.sign_in(token, START)

    sessions.sign_out(cookie)

    assert sessions.admit(cookie, START) is None


def test_a_link_signs_in_once_and_is_no_cookie(store: Store) -> None:
    sessions, _, _, key_id = sessions_of(store)
    link = sessions.make_link(key_id, START)

    assert sessions.admit(link, START) is None
    assert sessions.admit(sessions.follow_link(link, START + LINK_MS - 1), START + LINK_MS) is not None
    with pytest.raises(AccessDenied):
        sessions.follow_link(link, START + LINK_MS - 1)


def test_a_link_that_is_too_old_signs_nobody_in(store: Store) -> None:
    sessions, _, _, key_id = sessions_of(store)
    link = sessions.make_link(key_id, START)

    with pytest.raises(AccessDenied):
        sessions.follow_link(link, START + LINK_MS)


def test_a_cookie_is_no_link(store: Store) -> None:
    sessions, _, token, _ = sessions_of(store)

    with pytest.raises(AccessDenied):
        sessions.follow_link(sessions.sign_in(token, START), START)


def test_a_key_that_may_not_read_events_signs_nobody_in(store: Store) -> None:
    sessions, _, token, _ = sessions_of(store, "score")

    with pytest.raises(AccessDenied, match="may not read events"):
        sessions.sign_in(token, START)


def test_the_cookie_is_bound_to_this_host_and_hidden_from_scripts(browser: Browser) -> None:
    token, _ = browser.key(*READER)

    answer = browser.service.client.post(
        "https://testserver/console/sign-in", data={"key": token}, headers=SAME, follow_redirects=False
    )

    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-riskengine=")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax", f"Max-Age={LONGEST_MS // 1000}"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_only_a_digest_of_the_cookie_is_stored(browser: Browser) -> None:
    browser.sign_in(*READER)
    cookie = browser.cookie()
    assert cookie is not None
    folder = browser.service.settings.home / "data"

    assert not [file for file in folder.iterdir() if cookie.encode() in file.read_bytes()]


@pytest.mark.parametrize("path", ["/console", "/console/events/any", "/console/status", "/console/policy"])
def test_who_is_not_signed_in_is_sent_to_sign_in_and_back(browser: Browser, path: str) -> None:
    answer = browser.get(path)

    assert answer.url.path == "/console/sign-in"
    assert f'name="next" value="{path}"' in answer.text


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example", "/console//evil.example", "/score"])
def test_a_sign_in_leads_to_no_other_site(browser: Browser, to: str) -> None:
    token, _ = browser.key(*READER)

    assert browser.post("/console/sign-in", key=token, next=to).url.path == "/console"


FORGED = {
    "from_another_site": {"Sec-Fetch-Site": "cross-site"},
    "from_a_neighbour": {"Sec-Fetch-Site": "same-site"},
    "by_another_origin": {"Origin": "https://evil.example"},
    "without_an_origin": {"Origin": "null"},
    "saying_nothing": {"X-Nothing": ""},
}


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("path", ["/console/sign-in", "/console/sign-out", "/console/events/any/report"])
def test_what_another_site_sends_is_refused(browser: Browser, path: str, headers: dict[str, str]) -> None:
    browser.sign_in("events:read", "verdict")
    csrf = browser.csrf()

    assert browser.post(path, headers, csrf=csrf, key="x", result="confirmed_safe").status_code == 403
    assert browser.get("/console").url.path == "/console"


def test_an_old_browser_is_believed_by_its_origin(browser: Browser) -> None:
    token, _ = browser.key(*READER)

    assert browser.post("/console/sign-in", {"Origin": "https://testserver"}, key=token).url.path == "/console"


@pytest.mark.parametrize("csrf", ["", "0" * 64, "é"])
def test_a_form_of_another_session_is_refused(browser: Browser, csrf: str) -> None:
    browser.sign_in(*READER)

    assert browser.post("/console/sign-out", csrf=csrf).status_code == 403


def test_signing_out_ends_the_session(browser: Browser) -> None:
    browser.sign_in(*READER)

    browser.post("/console/sign-out", csrf=browser.csrf())

    assert browser.get("/console").url.path == "/console/sign-in"


def test_who_fails_too_often_waits_and_who_was_right_before_does_not(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    office: Office = browser.service.app.state.office
    right, _ = browser.key(*READER)
    new, _ = browser.key(*READER)
    link = office.sessions.make_link(new.split("_")[1], office.clock())
    browser.post("/console/sign-in", key=right)
    page = browser.get("/console")
    monkeypatch.setattr(office.guesses, "_failed", Buckets(10, 600_000))
    monkeypatch.setattr(guesses, "SLOWED_SECONDS", 0.0)

    found = [browser.post("/console/sign-in", key=f"rk_wrong{number}") for number in range(11)]

    assert [answer.status_code for answer in found] == [403] * 10 + [429]
    assert 50 < int(found[-1].headers["retry-after"]) <= 60
    assert "Too many wrong credentials came from your address" in found[-1].text
    assert browser.post("/console/sign-in", key=new).status_code == 429, "nobody looks"
    held = browser.post("/console/sign-in", link=link)
    assert (held.status_code, f'value="{link}"' in held.text) == (429, True), "the link can be tried again"
    assert browser.get("/console").url.path == page.url.path, "who is signed in stays so"
    assert browser.post("/console/sign-in", key=right).url.path == "/console"


def test_cookies_are_not_guessed_either_and_one_that_ended_goes(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    office: Office = browser.service.app.state.office
    monkeypatch.setattr(office.guesses, "_failed", Buckets(3, 600_000))
    monkeypatch.setattr(guesses, "SLOWED_SECONDS", 0.0)

    found = []
    for number in range(4):
        cookie = {"Cookie": f"__Host-riskengine=guess{number}"}
        client = browser.service.client
        found.append(client.get("https://testserver/console", headers=cookie, follow_redirects=False))

    assert [answer.status_code for answer in found] == [303] * 3 + [429]
    assert '__Host-riskengine=""; ' in found[0].headers["set-cookie"]
    assert "Max-Age=0" in found[0].headers["set-cookie"]


def test_a_right_key_that_may_not_read_is_no_guess(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    office: Office = browser.service.app.state.office
    monkeypatch.setattr(office.guesses, "_failed", Buckets(1, 600_000))
    token, _ = browser.key("score")

    assert [browser.post("/console/sign-in", key=token).status_code for _ in range(3)] == [403] * 3


def test_a_link_is_not_spent_by_being_looked_at(browser: Browser) -> None:
    _, key_id = browser.key(*READER)
    office: Office = browser.service.app.state.office
    link = office.sessions.make_link(key_id, office.clock())

    page = browser.get(f"/console/sign-in?link={link}")

    assert re.findall(r'name="link" value="([^"]+)"', page.text) == [link]
    assert browser.post("/console/sign-in", link=link).url.path == "/console"
    assert browser.post("/console/sign-in", link=link).status_code == 403


@pytest.mark.parametrize("path", ["/console", "/console/status", "/console/policy", "/console/events/none"])
def test_every_page_forbids_what_is_not_ours(browser: Browser, path: str) -> None:
    browser.sign_in(*READER)

    answer = browser.get(path)

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "img-src", "connect-src", "form-action")} == {"'self'"}
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?! src=)", answer.text)
