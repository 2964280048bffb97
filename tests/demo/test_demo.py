"""The month that `riskengine demo` makes up: believable, the same each time, and only where nothing real is."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner

from riskengine.check import parse_time
from riskengine.cli import riskengine
from riskengine.demo.fill import fill, refuse_filled
from riskengine.demo.habits import Item
from riskengine.demo.networks import HOSTS, address, networks
from riskengine.demo.people import DAYS, PEOPLE, people
from riskengine.demo.story import SEED, story
from riskengine.engine.arrival import Remedy
from riskengine.engine.engine import Engine
from riskengine.errors import Conflict
from riskengine.event import DAY_MS, VERDICTS, Event, Report
from riskengine.locate.locator import Locator
from riskengine.replay.lines import Summary, memory_engine
from tests.doors import default_policy

NOW = parse_time("2026-11-27T18:30:00Z")
COUNTRIES = {
    "Lisbon": "PT", "London": "GB", "New York": "US", "Berlin": "DE", "Paris": "FR", "Madrid": "ES", "Tokyo": "JP",
    "Singapore": "SG", "Boston": "US", "Frankfurt": "DE", "Amsterdam": "NL", "Bucharest": "RO", "Lagos": "NG",
    "Hanoi": "VN", "Moscow": "RU",
}  # fmt: skip


@dataclass(frozen=True)
class Filled:
    """A store with a month of some of the people in it, decided with the data of a machine that fetched nothing."""

    engine: Engine
    items: list[Item | Remedy]
    summary: Summary
    answers: Mapping[str, Any]
    states: Counter[str | None]


@pytest.fixture(scope="module")
def filled() -> Filled:
    engine, items = memory_engine(Locator.open(None), default_policy()), of_some(story(NOW))
    counted: list[int] = []
    summary = fill(engine, items, counted.append, NOW)
    assert sum(counted) == sum(not isinstance(one, Remedy) for one in items)
    ids = [one.event_id or "" for one in items if isinstance(one, Event)]
    found = [engine.find(one, "default") for one in ids]
    answers = {one["answer"]["event_id"]: one["answer"] for one in found}
    return Filled(engine, items, summary, answers, Counter(one["state"] for one in found))


def of_some(items: list[Item | Remedy]) -> list[Item | Remedy]:
    """Return all that thieves did, and the rest of those whom they did it to, or a verdict is on, and some others."""
    events = {one.event_id: one for one in items if isinstance(one, Event)}
    judged = {events[one.event_id].user_id for one in items if isinstance(one, Report) and one.result in VERDICTS}
    stolen = {one.user_id for one in events.values() if one.action == "access"}
    some = judged | stolen | {one.user_id for one in people(SEED)[::6]}
    campaign = {one.event_id for one in events.values() if "python" in (one.user_agent or "")}

    def is_wanted(item: Item | Remedy) -> bool:
        if isinstance(item, Remedy):
            return item.user_id in some
        return item.event_id in campaign or events[item.event_id].user_id in some

    return [item for item in items if is_wanted(item)]


def test_the_same_day_gives_the_same_month_and_what_was_up_to_an_hour_stays() -> None:
    month, earlier = story(NOW), story(NOW - 3 * 3_600_000)

    assert month == story(NOW)
    assert earlier == [one for one in month if at(one) <= NOW - 3 * 3_600_000]
    assert len(earlier) < len(month)


def at(item: Item | Remedy) -> int:
    return (item.occurred_at if isinstance(item, Event) else item.at) or 0


@pytest.mark.parametrize("day", range(7))
def test_on_every_day_of_the_week_the_month_ends_now(day: int) -> None:
    now = NOW + day * DAY_MS
    times = [at(one) for one in story(now)]

    assert times == sorted(times)
    assert now - (DAYS + 2) * DAY_MS < times[0] < now - (DAYS - 2) * DAY_MS
    assert now - DAY_MS / 3 < times[-1] <= now


def test_two_hundred_people_have_names_of_their_own() -> None:
    assert len({one.user_id for one in people(SEED)}) == PEOPLE


def test_the_built_in_table_knows_every_network_in_its_country() -> None:
    for (city, use), nets in networks().items():
        for network in nets:
            labels = Locator.open(None).locate([address(network, 0), address(network, HOSTS - 1)]).labels
            assert {label.country for label in labels} == {COUNTRIES[city]}, (city, use, network)


def test_honest_people_are_seldom_asked_and_never_denied(filled: Filled) -> None:
    honest = [
        filled.answers[one.event_id or ""]
        for one in filled.items
        if isinstance(one, Event) and one.outcome == "success" and one.device_id and one.action == "login"
    ]
    decided = Counter(one["decision"] for one in honest)

    assert len(honest) > 1_000
    assert decided["deny"] == 0
    assert 0 < decided["step_up"] < 0.03 * len(honest)


def test_the_passwords_tried_out_are_denied_once_the_campaign_is_seen(filled: Filled) -> None:
    denied = [one for one in filled.answers.values() if one["decision"] == "deny"]

    assert len(denied) > 200
    assert {"guessing_campaign"} <= {reason["code"] for one in denied for reason in one["reasons"]}


def test_stolen_sessions_and_the_journey_are_seen_and_judged(filled: Filled) -> None:
    judged = {one.event_id: one.result for one in filled.items if isinstance(one, Report)}
    compromised = [id for id, result in judged.items() if result == "confirmed_compromised"]

    assert len(compromised) == 2
    for event_id in compromised:
        answer = filled.answers[event_id]
        assert answer["decision"] == "step_up"
        assert "impossible_travel" in {reason["code"] for reason in answer["reasons"]}
    assert filled.states["confirmed_compromised"] == 2
    assert filled.states["confirmed_safe"] == filled.states["dismissed"] == 1
    assert filled.states["step_up_passed"] > 3
    stolen = [one for one in filled.items if isinstance(one, Event) and one.action == "access"]
    assert len(stolen) == 3
    assert all(filled.answers[one.event_id or ""]["decision"] == "step_up" for one in stolen)


def test_one_compromise_is_over_and_one_user_is_left_at_risk(filled: Filled) -> None:
    [over] = [one for one in filled.items if isinstance(one, Remedy)]
    at_risk: dict[str | None, bool] = {}
    for one in filled.items:
        if isinstance(one, Event):
            codes = {reason["code"] for reason in filled.answers[one.event_id or ""]["reasons"]}
            if "user_at_risk" in codes or one.user_id in at_risk:
                at_risk[one.user_id] = "user_at_risk" in codes

    assert not at_risk.get(over.user_id)
    assert sum(at_risk.values()) == 1


def test_a_store_that_holds_events_is_refused() -> None:
    engine = memory_engine(Locator.open(None), default_policy())
    refuse_filled(engine.store)
    fill(engine, [one for one in story(NOW) if isinstance(one, Event)][:5], lambda count: None, NOW)

    with pytest.raises(Conflict, match=r"holds 5 events.*RISKENGINE_HOME"):
        refuse_filled(engine.store)


def test_the_command_fills_a_home_once_and_says_what_comes_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, world: Any
) -> None:
    monkeypatch.setenv("RISKENGINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RISKENGINE_GEOIP_CITY", str(world.city))
    monkeypatch.setattr(sys.modules["riskengine.cli.demo"], "story", lambda now: story(NOW)[:200])
    runner = CliRunner()

    first = runner.invoke(riskengine, ["demo"])
    second = runner.invoke(riskengine, ["demo"])

    assert first.exit_code == 0, first.output
    assert f"RISKENGINE_HOME={tmp_path}/home riskengine up" in first.stdout
    assert "http://127.0.0.1:8000/console" in first.stdout
    assert isinstance(second.exception, Conflict)
