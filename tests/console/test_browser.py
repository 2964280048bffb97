"""The console in a real browser: an analyst's way from signing in to a verdict, and what every page must be."""

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect, sync_playwright

from riskengine.access.access import Access
from riskengine.app import build, clock
from riskengine.check import format_time
from riskengine.cli.serve import configured
from tests.api.conftest import ALL_SCOPES, NEW_YORK, TOKYO
from tests.fixtures_geo import World
from tests.served import settings_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCREENSHOTS = Path(__file__).parent / "screenshots"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"
OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
HOSTILE = "<img src=x onerror=document.title='owned'>\u202e"
EVENT = "ana:tokyo"
MINUTE_MS = 60_000

if CHROMIUM is None:
    if os.environ.get("CI"):
        pytest.fail("Under CI the console is tested in a browser: install chromium.", pytrace=False)
    pytest.skip("There is no Chromium here, so the console was not tested in a browser.", allow_module_level=True)


@dataclass(frozen=True, slots=True)
class Site:
    """A served console with a story in it, and a key to it."""

    url: str
    key: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Site]:
    settings = settings_of(tmp_path_factory.mktemp("home"), world)
    app = build(settings)
    access: Access = app.state.parts.access
    key, _ = access.create("ana-lyst", ALL_SCOPES, "default", clock())
    server = uvicorn.Server(configured(app, settings))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        tell_story(settings.base_url, key)
        yield Site(settings.base_url, key)
    finally:
        server.should_exit = True
        thread.join(20)


def tell_story(url: str, key: str) -> None:
    """Have a user of New York, of many days, turn up in Tokyo; and one whose every field is hostile."""
    now = clock()
    ana = {"user_id": "ana", "ip": NEW_YORK, "user_agent": CHROME, "device_id": "laptop", "mfa": "passed"}
    events: list[dict[str, Any]] = [
        ana | {"occurred_at": format_time(now - (day * 1440 + 10 + 37 * day) * MINUTE_MS)} for day in range(9, 0, -1)
    ]
    events.append(ana | {"occurred_at": format_time(now - 20 * MINUTE_MS)})
    events.append({"user_id": "ana", "ip": TOKYO, "event_id": EVENT, "occurred_at": format_time(now - 10 * MINUTE_MS)})
    fields = ("user_id", "login", "user_agent", "device_id", "session_id", "resource")
    events.append(
        dict.fromkeys(fields, HOSTILE[:-1]) | {"ip": TOKYO, "event_id": "hostile", "context": {"note": HOSTILE}}
    )
    answer = httpx2.post(
        f"{url}/score/batch", json={"events": events}, headers={"Authorization": f"Bearer {key}"}, timeout=20
    )
    assert answer.status_code == 200, answer.text
    assert "problem" not in answer.text


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(chromium: Chromium, site: Site) -> Iterator[Page]:
    """An analyst's tab, signed in; at the end nothing was asked of anybody else, nor refused by the policy."""
    page = chromium.new_page(base_url=site.url)
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text) if "Policy" in message.text else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto("/console")
    page.get_by_label("Access key").fill(site.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    yield page
    page.close()
    assert [url for url in asked if not url.startswith(site.url)] == []
    assert said == []


def test_an_analyst_finds_the_journey_judges_it_and_sees_the_change(page: Page) -> None:
    page.goto("/console/search")
    page.get_by_label("User", exact=True).fill("ana")
    page.get_by_label("Decision").select_option("step_up")
    page.get_by_role("button", name="Search").click()
    assert re.search(r"/console/search/[\w-]{40,}$", page.url)

    found = page.get_by_role("table", name="Events found")
    found.get_by_role("row").filter(has_text="Tokyo").first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("New York to Tokyo, 10,849 km")
    expect(page.locator("svg.map .impossible")).to_be_visible()

    page.get_by_role("button", name="Confirm compromised").click()

    expect(page.locator(".lead")).to_contain_text("confirmed compromised")
    expect(page.get_by_role("table", name="What was reported of it")).to_contain_text("ana-lyst")


def test_hostile_content_is_shown_as_text(page: Page) -> None:
    page.goto("/console/events/hostile")

    expect(page.get_by_text("<img src=x", exact=False).first).to_be_visible()
    assert page.locator("img").count() == 0
    assert "owned" not in page.title()


def test_what_comes_in_appears_by_itself(page: Page, site: Site) -> None:
    page.goto("/console")
    body = {"user_id": "latecomer", "ip": NEW_YORK}
    httpx2.post(f"{site.url}/score", json=body, headers={"Authorization": f"Bearer {site.key}"})

    expect(page.locator("[data-refresh]")).to_contain_text("latecomer", timeout=9_000)


def test_the_keyboard_reaches_the_content_first(page: Page) -> None:
    page.goto("/console/status")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.locator("#main")).to_be_focused()


PAGES = {
    "overview": "/console",
    "search": "/console/search",
    "event": f"/console/events/{EVENT}",
    "policy": "/console/policy",
    "blocks": "/console/blocks",
    "status": "/console/status",
    "refused": "/console/events/none",
}


@pytest.mark.parametrize("name", [*PAGES, "user"])
def test_a_page_can_be_used_by_everybody_in_light_and_dark_and_on_a_phone(page: Page, name: str) -> None:
    page.goto(PAGES.get(name, PAGES["event"]))
    if name == "user":
        page.get_by_role("link", name="This user").click()
    SCREENSHOTS.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
        page.screenshot(path=SCREENSHOTS / f"{name}-{scheme}.png", full_page=True)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    page.set_viewport_size({"width": 390, "height": 800})
    page.screenshot(path=SCREENSHOTS / f"{name}-phone.png", full_page=True)
    width = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size({"width": 1280, "height": 720})
    page.emulate_media(color_scheme="light")
    assert width <= 390


def test_signing_in_can_be_used_by_everybody(chromium: Chromium, site: Site) -> None:
    page = chromium.new_page(base_url=site.url)
    page.goto("/console")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "sign-in-light.png")

    found = Axe().run(page)

    page.close()
    assert found.violations_count == 0, found.generate_report()
