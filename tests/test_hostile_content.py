"""Hostile texts in every field that callers fill: each is refused, or shown as text wherever it comes out."""

import csv
import io
import json
import logging
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from riskengine.app import clock, start_logging
from riskengine.check import format_time
from riskengine.cli import riskengine
from riskengine.console.render import POLICY, shown
from riskengine.settings import package_files
from riskengine.visible import visible
from tests.api.conftest import NEW_YORK, TOKYO, Service, running, settings_for
from tests.console.conftest import Browser
from tests.fixtures_geo import World

# Every text holds this, so that it is found again, and a tag or an attribute that it became would be called so.
MARK = "x-mark"
# A caller may send these; the door takes all of them.
TEXTS = {
    "html": "<x-mark><img src=x onerror=alert(1)>",
    "script": "</script><script>alert('x-mark')</script>",
    "closing": "</dd></td></table></svg></title></textarea>--><x-mark>",
    "attribute": '" x-mark="1" onmouseover="alert(1)',
    "apostrophe": "' x-mark='1' onfocus='alert(1)",
    "unquoted": "x onload=alert(1) x-mark=1 style=x",
    "entity": "&lt;x-mark&gt;&#60;x-mark&#62;&amp",
    "template": "{{ 7 * 7 }}{% for x in y %}{x-mark}${x-mark}%(x-mark)s{0}%s",
    "scheme": "javascript:alert('x-mark')//https://example.com/",
    "right_to_left": "x-mark\u202efdp.exe\u202c\u2067isolated\u2069\u061c\u200e",
    "no_width": "x-\u200bmark\u200d\u2060\u00ad\ufe0f\U000e0041x-mark",
    "lines": "x-mark\u2028second\u2029third",
    "newest": "x-mark\U0001f600 é 日本 \u0928\u094d\u200d",
    "equals": "=cmd|'/c calc'!A1 x-mark",
    "plus": "+1+x-mark",
    "minus": "-2+3+x-mark",
    "at": "@SUM(x-mark)",
    "wide_equals": "＝1+x-mark",
    "quotes": '","x-mark\n'.strip() + '",=1+1,"',
    "path": "../../x-mark/..%2f%00?x=1#y",
    "long": "x-mark " + "l" * 2_000,
}
# And these it refuses, by the name of the field.
REFUSED = {
    "escape": "x-mark\x1b[31mred",
    "title": "x-mark\x1b]0;owned\x07",
    "c1": "x-mark\x9b31mred\x85",
    "nul": "x-mark\x00",
    "delete": "x-mark\x7f",
    "tab": "x-mark\t=1+1",
    "return": "x-mark\r=1+1",
    "surrogate": "x-mark\ud800",
    "enormous": "x-mark" * 2_000,
}
# Field → the members that hold a text, and how long one may be.
FIELDS: dict[str, tuple[Callable[[str], dict[str, Any]], int]] = {
    "user_id": (lambda text: {"user_id": text}, 256),
    "login": (lambda text: {"login": text}, 256),
    "user_agent": (lambda text: {"user_agent": text}, 2048),
    "device_id": (lambda text: {"device_id": text}, 256),
    "session_id": (lambda text: {"session_id": text}, 256),
    "groups": (lambda text: {"groups": [text]}, 128),
    "resource": (lambda text: {"resource": text}, 256),
    "ssid": (lambda text: {"network": {"ssid": text}}, 64),
    "bssid": (lambda text: {"network": {"bssid": text}}, 64),
    "edge": (lambda text: {"rtt": {"ms": 1.0, "edge": text}}, 64),
    "amr": (lambda text: {"mfa": {"result": "failed", "amr": [text]}}, 32),
    "context": (lambda text: {"context": {text: {"note": [text]}}}, 1_500),
}
# A policy's author is trusted, a slip of theirs is not.
POLICY_TEXT = TEXTS["html"] + TEXTS["attribute"] + TEXTS["right_to_left"] + "\x1b[31m\x9b"


@dataclass(frozen=True)
class Stored:
    """A service that was told every text in every field; `log` is what it logged meanwhile."""

    service: Service
    policy: Path
    refs: dict[str, str]
    log: str

    def run(self, *words: str) -> tuple[str, str]:
        """Run a command over the same home; return what it printed, and what it said beside."""
        settings = self.service.settings
        env = {"RISKENGINE_HOME": str(settings.home), "RISKENGINE_POLICY": str(self.policy)}
        files = {"CITY": settings.geoip_city, "ASN": settings.geoip_asn, "ANONYMOUS": settings.geoip_anonymous}
        env |= {f"RISKENGINE_GEOIP_{name}": str(file) for name, file in files.items()}
        done = CliRunner().invoke(riskengine, list(words), env=env)
        assert done.exception is None, done.exception
        return done.stdout, done.stderr


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Stored]:
    folder, log = tmp_path_factory.mktemp("hostile"), io.StringIO()
    policy = folder / "policy.toml"
    policy.write_text(policy_text(), encoding="utf-8")
    start_logging("text")
    logging.root.handlers[0].setStream(log)  # type: ignore[attr-defined]
    with running(settings_for(folder / "home", world, policy=policy)) as service:
        answer = service.post("/score/batch", {"events": list(events(clock()))})
        assert answer.status_code == 200, answer.text
        refs = {one["event_id"]: one["user_ref"] for one in answer.json()["answers"]}
        for name, text in TEXTS.items():
            note = text[:200].strip()
            for path, body in (
                (f"/events/{name}/report", {"result": "dismissed", "amr": [text[:32].strip()]}),
                ("/blocks", {"value": f"device:{note}", "for": "1h", "why": note}),
            ):
                answer = service.post(path, body)
                assert answer.is_success, answer.text
        yield Stored(service, policy, refs, log.getvalue())


def policy_text() -> str:
    """Return the shipped policy under a hostile name, with a rule that says so at each login."""
    shipped = (package_files("data") / "policy.toml").read_text(encoding="utf-8")
    said = json.dumps(POLICY_TEXT)
    rule = f'[[rules]]\nname = "odd"\nwhy = {said}\nwhen = {{ countries = ["JP"] }}\nat_least = "step_up"\n'
    return shipped.replace('name = "default"', f"name = {said}") + "\n" + rule


def events(now: int) -> Iterator[dict[str, Any]]:
    """Yield two logins of a user for each text, every field full of it: in New York, and 20 minutes later in Tokyo."""
    for number, (name, text) in enumerate(TEXTS.items()):
        full: dict[str, Any] = {}
        for members, longest in FIELDS.values():
            full |= members(text[:longest].strip())
        at = now - 7_200_000 + number * 60_000
        yield full | {"ip": NEW_YORK, "event_id": f"{name}:before", "occurred_at": format_time(at)}
        yield full | {"ip": TOKYO, "event_id": name, "occurred_at": format_time(at + 1_200_000)}


def obeyed(text: str) -> set[str]:
    """Return the characters of a text that a screen would obey, or not show; line ends and tabs apart."""
    return {one for one in text if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") and one not in "\n\t"}


class Page(HTMLParser):
    """What a browser makes of a page: tags, names of attributes, values of them, texts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def harmless(html: str) -> Page:
    """Return a page after it was shown that nothing of the texts became part of it."""
    found = Page(html)
    assert obeyed(html) == set()
    assert not {MARK, "img", "iframe", "object"} & set(found.tags)
    names = {name for name, _ in found.attributes}
    assert not {name for name in names if MARK in name or name.startswith("on") or name == "style"}
    links = [value or "" for name, value in found.attributes if name in ("href", "src", "action")]
    assert all(link.startswith(("/console", "#", "https://")) and MARK not in link for link in links)
    return found


@pytest.fixture
def analyst(stored: Stored) -> Browser:
    stored.service.client.cookies.clear()
    browser = Browser(stored.service)
    browser.sign_in("events:read", "verdict")
    return browser


def page_of(browser: Browser, path: str) -> Page:
    answer = browser.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == POLICY
    found = harmless(answer.text)
    assert found.tags.count("script") <= 1
    return found


# --- in --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_text_may_hold_is_refused_by_the_name_of_the_field(stored: Stored, name: str) -> None:
    headers = stored.service.headers | {"Content-Type": "application/json"}
    for field, (members, _) in FIELDS.items():
        if field == "context" and name in ("tab", "return"):
            continue  # JSON writes them as escapes, and so do all ways out
        body = {"user_id": "ana", "ip": NEW_YORK} | members(REFUSED[name])

        answer = stored.service.client.post("/score", content=json.dumps(body), headers=headers)

        assert answer.status_code == 422, (field, answer.text)
        assert answer.json()["errors"][0]["pointer"].split("/")[1] == next(iter(members("x")))
        assert not obeyed(answer.text)
        assert MARK not in answer.text


def test_no_log_line_holds_any_of_it(stored: Stored) -> None:
    # A policy's name is its author's, and stands there escaped.
    lines = [line for line in stored.log.splitlines() if "policy" not in line]

    assert lines
    assert [line for line in lines if MARK in line] == []
    assert not obeyed(stored.log)


# --- out: pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_the_page_of_an_event_shows_it_as_text(stored: Stored, analyst: Browser, name: str) -> None:
    found = page_of(analyst, f"/console/events/{name}")

    texts = [text.strip() for text in found.texts]
    for longest in (256, 2048):  # the user, the software: each whole, in an element of its own
        assert shown(visible(TEXTS[name][:longest].strip())) in texts


@pytest.mark.parametrize("name", TEXTS)
def test_the_page_of_a_user_and_a_search_for_them_show_it_as_text(stored: Stored, analyst: Browser, name: str) -> None:
    user = TEXTS[name][:256].strip()
    found = page_of(analyst, f"/console/users/{stored.refs[name]}")
    answer = analyst.post("/console/search", csrf=analyst.csrf(), user_id=user, device_id=user)

    assert visible(user) in [text.strip() for text in found.texts]
    searched = harmless(answer.text)
    assert MARK not in str(answer.url)
    values = [value for attribute, value in searched.attributes if attribute == "value"]
    assert visible(user) in values


@pytest.mark.parametrize("page", ["", "/tail", "/blocks", "/policy", "/status", "/search"])
def test_every_other_page_shows_it_as_text(analyst: Browser, page: str) -> None:
    page_of(analyst, f"/console{page}")


def test_a_viewer_sees_no_more(stored: Stored) -> None:
    stored.service.client.cookies.clear()
    viewer = Browser(stored.service)
    viewer.sign_in("events:read")

    for path in ("/console", *(f"/console/events/{name}" for name in ("html", "attribute", "right_to_left"))):
        page_of(viewer, path)


# --- out: exports ----------------------------------------------------------------------------------------------------


def exported(stored: Stored, format_: str) -> str:
    answer = stored.service.get(f"/events/export?format={format_}", stored.service.key("events:read", "events:export"))
    assert answer.status_code == 200
    return answer.text


def printed(stored: Stored, format_: str) -> str:
    return stored.run("events", "--limit", "0", "--format", format_)[0]


WAYS = [exported, printed]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("format_", ["ndjson", "ocsf", "ecs"])
def test_lines_of_json_mean_what_was_sent_and_nothing_in_them_is_obeyed(
    stored: Stored, way: Callable[[Stored, str], str], format_: str
) -> None:
    text = way(stored, format_)
    rows = [json.loads(line) for line in text.splitlines()]

    assert not obeyed(text)
    assert len(rows) == 2 * len(TEXTS)
    if format_ == "ndjson":
        agents = {row["event"]["user_agent"] for row in rows}
        assert agents == {unicodedata.normalize("NFC", text[:2048].strip()) for text in TEXTS.values()}


@pytest.mark.parametrize("way", WAYS)
def test_no_cell_of_csv_is_a_formula_or_obeyed(stored: Stored, way: Callable[[Stored, str], str]) -> None:
    text = way(stored, "csv")
    rows = list(csv.reader(io.StringIO(text)))

    assert not obeyed(text)
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(rows) == 1 + 2 * len(TEXTS)
    numbers = re.compile(r"-?[\d.]+(e-?\d+)?")
    cells = [cell for row in rows for cell in row if not numbers.fullmatch(cell)]
    assert [cell for cell in cells if cell.startswith(tuple("=+-@\t\r＝＋－＠"))] == []


# --- out: the terminal -----------------------------------------------------------------------------------------------


def test_the_table_of_events_and_its_stories_are_text(stored: Stored) -> None:
    listed = stored.run("events")[0]

    assert not obeyed(listed)
    assert len(listed.splitlines()) == 1 + 2 * len(TEXTS)
    for name in TEXTS:
        said = stored.run("events", "show", name)[0] + stored.run("explain", name)[0]
        assert not obeyed(said)
        assert visible(TEXTS[name][:256].strip()) in said


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_held_on_a_person_is_json_that_no_terminal_obeys(stored: Stored, name: str) -> None:
    user = unicodedata.normalize("NFC", TEXTS[name][:256].strip())
    told = "".join(stored.run("export", "--", user))

    assert not obeyed(told)
    assert json.loads(told[: told.rindex("}") + 1])["events"]


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "list", "--limit", "0"),
        ("audit", "list", "--limit", "0", "--format", "ndjson"),
        ("block", "list", "--all"),
        ("policy", "status"),
        ("policy", "list"),
        ("keys", "list"),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_other_commands_print_text(stored: Stored, words: tuple[str, ...]) -> None:
    said = "".join(stored.run(*words))

    assert said
    assert not obeyed(said)


# --- out: replays ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def log_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same events as a log, with lines that are refused among them."""
    file = tmp_path_factory.mktemp("log") / "events.ndjson"
    now = clock() - 3_600_000
    bad = [{"user_id": text, "ip": NEW_YORK, "occurred_at": format_time(now)} for text in REFUSED.values()]
    lines = [json.dumps(one, ensure_ascii=False) for one in events(now)]
    lines += [json.dumps(one) for one in bad] + [f"{{{text}" for text in REFUSED.values() if "\ud800" not in text]
    file.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    return file


def test_a_replay_and_its_rejects_are_json_that_no_terminal_obeys(
    stored: Stored, log_file: Path, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.ndjson"
    answers, said = stored.run("replay", str(log_file), "--rejects", str(rejects))
    refused = rejects.read_text(encoding="utf-8")

    assert len([json.loads(line) for line in answers.splitlines()]) == 2 * len(TEXTS)
    assert len([json.loads(line) for line in refused.splitlines()]) >= len(REFUSED)
    assert not obeyed(answers + said + refused)


def test_a_comparison_is_text_on_a_terminal_and_on_a_page(stored: Stored, log_file: Path, tmp_path: Path) -> None:
    lax, report = tmp_path / "lax.toml", tmp_path / "report.html"
    lax.write_text(
        policy_text().replace("step_up = 40.0", "step_up = 99.0").replace('at_least = "step_up"', 'at_most = "allow"')
    )
    compared = ("replay", str(log_file), "--compare", str(lax))

    said = "".join(stored.run(*compared, "--report", str(report)))
    figures, _ = stored.run(*compared, "--json")

    page = harmless(report.read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert visible(TEXTS["html"]) in "".join(page.texts)
    assert MARK in said
    assert not obeyed(said + figures)
    assert json.loads(figures)
