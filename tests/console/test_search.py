"""Searching from the console: every filter, addresses that tell nobody, names masked for viewers."""

import re
from collections.abc import Callable

import pytest

from riskengine.console.search import FIELDS
from riskengine.inquiry.filters import FILTERS
from tests.api.conftest import NEW_YORK, TOKYO
from tests.console.conftest import Browser


def come(browser: Browser, user: str, when: str, **given: str) -> str:
    event_id = f"{user}-{given.get('ip', NEW_YORK)}"
    body = {"user_id": user, "ip": NEW_YORK, "occurred_at": when, "event_id": event_id} | given
    answer = browser.service.post("/score", body)
    assert answer.status_code == 200, answer.text
    return event_id


def test_the_form_has_every_filter(browser: Browser) -> None:
    browser.sign_in("events:read")

    page = browser.get("/console/search").text

    assert set(FIELDS) == {*FILTERS, "order"}
    assert set(re.findall(r'<(?:input|select) name="(\w+)"', page)) >= set(FIELDS)


@pytest.mark.parametrize(
    ("filters", "finds"),
    [
        pytest.param({"country": "JP"}, False, id="another_country"),
        pytest.param({"country": "jp, us"}, True, id="one_of_several"),
        pytest.param({"cidr": "192.0.2.0/24"}, True, id="its_network"),
        pytest.param({"ip": TOKYO}, False, id="another_address"),
        pytest.param({"since": "2020-01-01T00:00", "order": "time"}, True, id="a_time_without_a_zone"),
        pytest.param({"until": "2020-01-01T00:00"}, False, id="before_it"),
    ],
)
def test_what_is_asked_for_is_found(
    browser: Browser, user: str, ago: Callable[[float], str], filters: dict[str, str], finds: bool
) -> None:
    event_id = come(browser, user, ago(5))
    browser.sign_in("events:read", "verdict")

    page = browser.post("/console/search", None, csrf=browser.csrf(), user_id=user, **filters)

    assert page.status_code == 200
    assert (f"/console/events/{event_id}" in page.text) == finds
    assert user not in str(page.url)


def test_what_makes_no_sense_is_named_beside_the_form(browser: Browser) -> None:
    browser.sign_in("events:read")

    page = browser.post("/console/search", csrf=browser.csrf(), cidr="10.0.0.0/2", min_score="200")

    assert page.status_code == 422
    assert "Network (CIDR) is too wide" in page.text
    assert "Score, at least" in page.text


def test_a_viewer_finds_by_name_and_sees_it_masked(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    event_id = come(browser, user, ago(5))
    browser.sign_in("events:read")

    page = browser.post("/console/search", csrf=browser.csrf(), user_id=user).text

    assert f"/console/events/{event_id}" in page
    assert f"<bdi>{user}</bdi>" not in page
    assert f'value="{user}"' not in page


@pytest.mark.parametrize("token", ["x", "A" * 60, "é"])
def test_a_search_nobody_made_is_not_there(browser: Browser, token: str) -> None:
    browser.sign_in("events:read")

    assert browser.get(f"/console/search/{token}").status_code == 404


def test_another_realms_search_is_not_there(browser: Browser) -> None:
    browser.sign_in("events:read")
    url = browser.post("/console/search", csrf=browser.csrf(), country="JP").url.path
    browser.sign_in("events:read", realm="other")

    assert browser.get(url).status_code == 404


def test_a_user_has_a_page_with_journeys_hours_and_habits(
    browser: Browser, user: str, ago: Callable[[float], str]
) -> None:
    come(browser, user, ago(60), device_id="laptop")
    come(browser, user, ago(5), ip=TOKYO, device_id="laptop")
    browser.sign_in("events:read", "verdict")
    reference = browser.service.get(f"/events/{user}-{TOKYO}").json()["answer"]["user_ref"]

    page = browser.get(f"/console/users/{reference}").text

    assert f"User <bdi>{user}</bdi>" in page
    assert 'class="map"' in page
    assert 'class="hours"' in page
    assert "laptop" in page


def test_a_viewer_sees_a_user_masked_until_the_click(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    come(browser, user, ago(5), device_id="secret-laptop")
    browser.sign_in("events:read")
    reference = browser.service.get(f"/events/{user}-{NEW_YORK}").json()["answer"]["user_ref"]
    path = f"/console/users/{reference}"

    masked, revealed = browser.get(path).text, browser.post(f"{path}/reveal", csrf=browser.csrf()).text

    assert "secret-laptop" not in masked
    assert f"User <bdi>{user}</bdi>" not in masked
    assert f"User <bdi>{user}</bdi>" in revealed
    assert "secret-laptop" in revealed


@pytest.mark.parametrize("reference", ["0" * 32, "x"])
def test_a_user_nobody_knows_is_not_there(browser: Browser, reference: str) -> None:
    browser.sign_in("events:read")

    assert browser.get(f"/console/users/{reference}").status_code == 404


def test_the_overview_shows_what_came_in(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    event_id = come(browser, user, ago(0.1))
    browser.sign_in("events:read", "verdict")

    assert f"/console/events/{event_id}" in browser.get("/console").text
    assert f"/console/events/{event_id}" in browser.get("/console/tail").text


def test_what_the_engine_trusts_stands_on_the_users_page(
    browser: Browser, user: str, ago: Callable[[float], str]
) -> None:
    come(browser, user, ago(5), device_id="laptop", mfa="passed")
    browser.sign_in("events:read", "verdict")
    reference = browser.service.get(f"/events/{user}-{NEW_YORK}").json()["answer"]["user_ref"]

    page = browser.get(f"/console/users/{reference}").text

    assert "1 logins learned on 1 days" in page
    assert "trusted" in page


def test_a_page_that_is_not_all_says_of_how_many_it_is_one(
    browser: Browser, user: str, ago: Callable[[float], str]
) -> None:
    events = [{"user_id": user, "ip": NEW_YORK, "occurred_at": ago(100 - minute)} for minute in range(52)]
    assert browser.service.post("/score/batch", {"events": events}).status_code == 200
    browser.sign_in("events:read")

    whole = browser.post("/console/search", csrf=browser.csrf(), user_id=user, since=ago(60.5).rstrip("Z")[:16])
    page = browser.post("/console/search", csrf=browser.csrf(), user_id=user)

    assert "50 of 52 events that match; these are counted here." in page.text
    assert re.search(r"<p>1\d events\.</p>", whole.text)


def test_a_journey_within_a_city_is_none(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    come(browser, user, ago(300))
    come(browser, user, ago(100), ip="192.0.2.200")
    event_id = come(browser, user, ago(10), ip=TOKYO)
    browser.sign_in("events:read", "verdict")
    reference = re.findall(r"/console/users/(\w+)", browser.get(f"/console/events/{event_id}").text)[0]

    page = browser.get(f"/console/users/{reference}").text

    assert page.count("<td>impossible</td>") == 1
    assert "Each journey of 50 km or more" in page
