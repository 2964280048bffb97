"""The pages that speak of the service itself."""

from collections.abc import Callable

from riskengine.app import clock
from riskengine.inquiry.rollup import Rollup
from tests.api.conftest import NEW_YORK
from tests.console.conftest import Browser


def test_an_empty_console_says_how_events_come(browser: Browser) -> None:
    browser.sign_in("events:read")

    page = browser.get("/console").text

    assert "Nothing has been decided yet: send a login with" in page
    assert "<code>riskengine demo</code>" in page


def test_the_overview_counts_the_last_day_and_the_last_month(
    browser: Browser, user: str, ago: Callable[[float], str]
) -> None:
    browser.service.post("/score", {"user_id": user, "ip": NEW_YORK, "occurred_at": ago(1)})
    browser.sign_in("events:read")
    assert "being counted" in browser.get("/console").text

    Rollup(browser.service.parts.store).run(clock())
    page = browser.get("/console").text

    assert page.count("1 login: 1 allowed, 0 asked for a second factor, 0 denied.") == 2
    assert "Logins that were not allowed, by day" in page


def test_the_policy_page_tells_what_decides(browser: Browser) -> None:
    browser.sign_in("events:read")

    page = browser.get("/console/policy").text

    policy = browser.service.parts.rulebook.policy
    assert policy.version in page
    assert "impossible travel" in page
    assert "[thresholds]" in page


def test_the_status_page_tells_age_licence_and_keys(browser: Browser, user: str, ago: Callable[[float], str]) -> None:
    key_id = browser.sign_in("events:read")
    browser.service.post("/score", {"user_id": user, "ip": NEW_YORK, "occurred_at": ago(1)})

    page = browser.get("/console/status").text

    assert "GeoLite2 EULA" in page
    assert "0 days" in page
    assert "All is well." in page
    assert key_id in page


def test_a_file_of_the_page_is_kept_by_the_browser(browser: Browser) -> None:
    page = browser.get("/console/sign-in").text
    path = page.split('rel="stylesheet" href="')[1].split('"')[0]

    answer = browser.get(path)

    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert "url(" not in answer.text


def test_a_proxy_that_hides_everybody_is_told(browser: Browser, ago: Callable[[float], str]) -> None:
    for number in range(40):
        body = {"user_id": f"behind-{number}", "ip": "10.0.0.1", "occurred_at": ago(1)}
        assert browser.service.post("/score", body).status_code == 200
    browser.sign_in("events:read")

    assert "Your proxy hides your users" in browser.get("/console/status").text
