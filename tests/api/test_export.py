"""What the engine knows of a user, and events as streams: over HTTP, hostile content included."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from riskengine.app import clock
from riskengine.check import format_time
from riskengine.cli import riskengine as command_line
from riskengine.visible import visible
from tests.api.conftest import NEW_YORK, TOKYO, Service

Run = Callable[..., Result]
HOSTILE = "=cmd|'/c calc'!A1<script>\u202eevil\u2066"


@pytest.fixture
def seen(service: Service, user: str) -> str:
    """A user with two logins, the second with hostile content wherever a caller may put it."""
    now = clock()
    for ip, minutes, more in (
        (NEW_YORK, 20, {}),
        (TOKYO, 10, {"login": HOSTILE, "user_agent": HOSTILE, "resource": HOSTILE, "session_id": HOSTILE}),
    ):
        body = {"user_id": user, "ip": ip, "event_id": f"{user}-{minutes}"[-128:], "device_id": f"{user} {minutes}",
                "occurred_at": format_time(now - minutes * 60_000), **more}  # fmt: skip
        assert service.post("/score", body).status_code == 200
    return user


@pytest.fixture
def run(service: Service, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name, value in (
        ("HOME", service.settings.home),
        ("GEOIP_CITY", service.settings.geoip_city),
        ("GEOIP_ASN", service.settings.geoip_asn),
    ):
        monkeypatch.setenv(f"RISKENGINE_{name}", str(value))
    return lambda *words: CliRunner().invoke(command_line, ["events", *words], catch_exceptions=False)


def test_a_user_is_shown_as_the_engine_knows_them(service: Service, seen: str) -> None:
    ref = service.post("/events/search", {"user_id": seen}).json()["events"][0]["answer"]["user_ref"]

    found = service.get(f"/users/{ref}").json()

    assert (found["user_ref"], found["at_risk"], found["logins_learned"]) == (ref, False, 1)
    assert [place["place"] for place in found["places"]] == ["New York"]
    assert [country["country"] for country in found["countries"]] == ["US"]
    assert [device["device_id"] for device in found["devices"]] == [f"{seen} 20"]
    assert sum(hour["logins"] for hour in found["hours"]) == 1
    assert [one["event"]["ip"] for one in found["last_events"]] == [TOKYO, NEW_YORK]


@pytest.mark.parametrize("ref", ["0" * 32, "nobody", "A" * 32])
def test_a_user_who_is_not_known_is_not_there(service: Service, ref: str) -> None:
    assert service.get(f"/users/{ref}").status_code == 404


def test_a_user_of_another_realm_is_not_there(service: Service, seen: str) -> None:
    ref = service.post("/events/search", {"user_id": seen}).json()["events"][0]["answer"]["user_ref"]
    assert service.get(f"/users/{ref}", service.key("events:read", realm="elsewhere")).status_code == 404
    assert service.get(f"/users/{ref}", service.key("score")).status_code == 403
    assert service.get(f"/users/{ref}", {"x": "y"}).status_code == 401


@pytest.mark.parametrize("format_", ["ndjson", "csv", "ocsf", "ecs"])
def test_an_export_holds_every_event_in_each_format(service: Service, seen: str, format_: str) -> None:
    key = service.key("events:export")
    answer = service.get(f"/events/export?user_id={seen}&format={format_}", key)

    assert answer.status_code == 200
    if format_ == "csv":
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [row["ip"] for row in rows] == [TOKYO, NEW_YORK]
        assert rows[0]["login"] == "'" + visible(HOSTILE)
        assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "@"))]
    else:
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert len(lines) == 2
        assert HOSTILE in list(_texts(lines[0]))


def test_an_export_needs_its_own_scope_and_is_refused_by_name(service: Service) -> None:
    assert service.get("/events/export").status_code == 403
    key = service.key("events:export")
    assert service.get("/events/export?format=xml", key).json()["parameter"] == "format"
    assert service.get("/events/export?limit=5", key).json()["parameter"] == "limit"
    assert service.get("/events/export?cidr=10.0.0.0/7", key).json()["parameter"] == "cidr"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def test_the_terminal_shows_hostile_content_as_text(seen: str, run: Run) -> None:
    shown = run("--user", seen)
    assert shown.exit_code == 0
    assert "Tokyo" in shown.stdout
    story = run("show", f"{seen}-10"[-128:])
    assert "<U+202E>evil<U+2066>" in story.stdout
    assert re.search(r"impossible_travel|new_", story.stdout)
    for text in (shown.stdout, story.stdout):
        assert not [c for c in text if not c.isprintable() and c != "\n"]


def test_the_command_line_finds_what_the_api_finds(service: Service, seen: str, run: Run) -> None:
    found = run("--user", seen, "--since", "1h", "--country", "JP", "--format", "ndjson")
    assert [json.loads(line) for line in found.stdout.splitlines()] == service.post(
        "/events/search", {"user_id": seen, "country": "JP"}
    ).json()["events"]
    assert run("--user", seen, "--since", "5m", "--format", "ndjson").stdout == ""
    assert len(run("--user", seen, "--limit", "1", "--format", "ndjson").stdout.splitlines()) == 1
