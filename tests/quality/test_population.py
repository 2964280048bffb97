"""The generator: the same seed gives the same people, who move as people do, in a world that databases blur."""

from bisect import bisect_right
from collections import defaultdict
from dataclasses import fields, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from riskengine.batch import Located
from riskengine.evaluate.labels import read_labels
from riskengine.event import DAY_MS, Event, Report
from riskengine.geo import MS_PER_HOUR
from riskengine.locate.address import Scope, number, scope
from riskengine.locate.locator import Locator
from riskengine.network import Trait
from riskengine.readers.log import Read
from riskengine.readers.read import read
from riskengine.replay.lines import Line, Summary, decide, in_time_order, memory_engine
from tests.doors import default_policy
from tests.quality.attackers import EARLIER_LOGINS, LABELS
from tests.quality.cities import apart_km, between_km, cities
from tests.quality.logins import Login, logins
from tests.quality.parameters import Parameters, reporting, tuning
from tests.quality.people import TRAITS, population
from tests.quality.plain import RULES, challenged
from tests.quality.population import LEGITIMATE, Log, generate
from tests.quality.runner import prepared, run
from tests.quality.world import World, operators

SMALL = reporting(100, users=60, days=36, attacks=12)
TINY = tuning(3, users=25, days=28, attacks=4)


@cache
def log() -> Log:
    return generate(SMALL)


@cache
def people() -> list[list[Login]]:
    """Return the logins of each of many people."""
    world = World(tuning(0))
    return [logins(person, world) for person in population(world)]


def real_logins() -> dict[str | None, list[Event]]:
    """Return the honest successes of each user, in order of time."""
    found = defaultdict(list)
    for event in log().events:
        if event.outcome == "success" and log().notes[event.event_id or ""].label == LEGITIMATE:
            found[event.user_id].append(event)
    return found


def attacks(label: str) -> list[Event]:
    """Return the successful attempts of a label."""
    of = log().notes
    return [one for one in log().events if of[one.event_id or ""].label == label and one.outcome == "success"]


def test_one_seed_gives_one_log() -> None:
    again = generate(SMALL)

    assert (again.events, again.reports, again.notes) == (log().events, log().reports, log().notes)
    assert {key: block.record for key, block in again.world.blocks.items()} == {
        key: block.record for key, block in log().world.blocks.items()
    }
    assert generate(replace(SMALL, seed=101)).events != log().events


def test_reporting_ranges_are_wider_than_those_tuned_on_and_each_has_its_reason() -> None:
    for field in fields(Parameters):
        if "narrow" not in field.metadata:
            continue
        (low, high), (lowest, highest) = field.metadata["narrow"], field.metadata["wide"]
        assert lowest <= low <= high <= highest, field.name
        assert field.metadata["why"], field.name
        assert low <= getattr(tuning(4), field.name) <= high, field.name
        assert lowest <= getattr(reporting(104), field.name) <= highest, field.name


def test_events_are_in_order_of_time_and_each_has_a_note() -> None:
    times = [event.occurred_at or 0 for event in log().events]

    assert times == sorted(times)
    assert list(log().notes) == [event.event_id for event in log().events]
    assert {note.label for note in log().notes.values()} == {LEGITIMATE, *LABELS}


def test_every_trait_occurs_and_so_does_every_way_to_connect() -> None:
    assert {trait for some in people() for trait in some[0].person.traits if some} == set(TRAITS)
    assert {login.via for some in people() for login in some} == {
        *("home", "mobile", "roaming", "office", "cafe", "hotel", "flight", "corporate_vpn", "commercial_vpn", "relay")
    }


def test_nobody_honest_travels_faster_than_an_airliner() -> None:
    moves = 0
    for some in people():
        for one, other in pairwise(login for login in some if login.city is not None):
            assert one.city
            assert other.city
            km, hours = between_km(one.city, other.city), (other.time - one.time) / MS_PER_HOUR
            assert km <= 900 * hours, (one.person.user_id, one.city.name, other.city.name, hours)
            moves += km > 0
    assert moves > 200


def test_a_step_up_is_passed_by_the_honest_and_abandoned_by_attackers() -> None:
    ends = {report.event_id: report for report in log().reports}
    honest = 0
    for event in log().events:
        report = ends.get(event.event_id or "")
        assert (report is None) == (event.outcome == "failure")
        if report is None:
            continue
        assert event.occurred_at is not None
        assert report.at is not None
        assert 20_000 <= report.at - event.occurred_at <= 300_000
        if log().notes[report.event_id].label == LEGITIMATE:
            honest += report.result == "step_up_passed"
        else:
            assert report.result == "step_up_abandoned"
    assert honest / sum(len(some) for some in real_logins().values()) > 0.9


@pytest.mark.parametrize("label", LABELS)
def test_victims_have_been_known_for_three_weeks(label: str) -> None:
    for event in attacks(label):
        times = [one.occurred_at or 0 for one in real_logins()[event.user_id]]
        assert event.occurred_at is not None
        assert bisect_right(times, event.occurred_at) >= EARLIER_LOGINS
        assert event.occurred_at - times[0] >= SMALL.warm_up_days * DAY_MS


def test_a_stolen_session_shows_the_victims_own_device_minutes_after_them_and_far_away() -> None:
    blocks = {block.cidr.rsplit(".", 1)[0]: block for block in log().world.blocks.values()}
    for event in attacks("stolen_session"):
        assert event.occurred_at is not None
        before = [
            one
            for one in real_logins()[event.user_id]
            if 2 * 60_000 <= event.occurred_at - (one.occurred_at or 0) <= 30 * 60_000
            and (one.device_id, one.user_agent) == (event.device_id, event.user_agent)
        ]
        here = blocks[event.ip.rsplit(".", 1)[0]].city
        far = [between_km(blocks[one.ip.rsplit(".", 1)[0]].city, here) for one in before if ":" not in one.ip]
        assert before
        assert all(km >= 500 for km in far), far


def test_stuffing_mostly_fails_and_names_of_nobody_have_a_login_only() -> None:
    tried = [one for one in log().events if log().notes[one.event_id or ""].label == "stuffing"]

    assert 0.005 < len(attacks("stuffing")) / len(tried) < 0.04
    assert len({one.ip for one in tried}) <= 3 * round(SMALL.campaigns)
    assert all((one.user_id is None) == (one.login is not None) for one in tried)
    assert any(one.user_id is None for one in tried)


def test_a_targeted_attacker_sits_in_the_victims_city_with_their_software() -> None:
    agents = {user: {one.user_agent for one in some} for user, some in real_logins().items()}

    assert all(one.user_agent in agents[one.user_id] for one in attacks("targeted"))


def test_databases_are_as_wrong_as_published() -> None:
    world = World(tuning(0))
    for kind, low, high in (("broadband", 5.0, 12.0), ("mobile", 150.0, 230.0)):
        errors = []
        for city in cities():
            for number_ in range(10):
                block = world.block(operators(kind, city.country)[0], city, number_)
                if block.located and block.record["country"] == city.country:
                    place = (float(block.record["latitude"]), float(block.record["longitude"]))
                    errors.append(apart_km(city.latitude, city.longitude, *place))
        assert low <= median(errors) <= high, kind


def test_the_files_say_what_the_world_holds_and_built_in_tables_add_nothing(tmp_path: Path) -> None:
    files = log().write_world(tmp_path)
    locator = Locator.open(None, files.city, files.asn, files.anonymous)
    flags = Trait.FLAG_ANONYMOUS_PROXY | Trait.FLAG_SATELLITE | Trait.FLAG_ANYCAST | Trait.FLAG_DROP
    blocks = list(log().world.blocks.values())
    addresses = [block.address(7) for block in blocks]
    places = locator.locate(addresses)
    for block, address, row, label in zip(blocks, addresses, places.columns, places.labels, strict=True):
        assert scope(number(address) or 0) is Scope.PUBLIC
        assert not row["traits"] & flags
        assert row["asn"] == block.operator.asn
        assert (row["located"] == Located.PLACE) == block.located
        assert label.country == (None if block.record["country"] == "ZZ" else block.record["country"])
        assert label.timezone == block.record.get("timezone")


def test_what_is_written_is_what_was_generated(tmp_path: Path) -> None:
    log().write(tmp_path)
    items = [found.item for found in read([str(tmp_path / "events.ndjson")]) if isinstance(found, Read)]

    assert [item for item in items if isinstance(item, Event)] == list(log().events)
    assert {item for item in items if isinstance(item, Report)} == set(log().reports)
    labels = read_labels(str(tmp_path / "labels.csv"))
    assert {key: label.name for key, label in labels.items()} == {key: note.label for key, note in log().notes.items()}


def test_the_runner_decides_as_replay_does(tmp_path: Path) -> None:
    ready = prepared(TINY)
    files = ready.log.write_world(tmp_path)
    engine = memory_engine(Locator.open(None, files.city, files.asn, files.anonymous), default_policy())
    both: list[Event | Report] = [*ready.log.events, *ready.log.reports]
    items = [Line(item, "log", at, at) for at, item in enumerate(both)]
    summary = Summary(reporting=True)
    answers = dict(decide(in_time_order(items), engine, summary, lambda _: None, lambda _: None))

    found = run(ready, default_policy()).found
    decisions = [("allow", "step_up", "deny")[code] for code in found.items["decision"][ready.at]]
    assert [answers[at]["decision"] for at in range(len(ready.log.events))] == decisions
    scores = (found.verdicts["score"][ready.at] / 10).tolist()
    assert [answers[at]["score"] for at in range(len(ready.log.events))] == scores
    assert "step_up" in decisions


def test_plain_rules_keep_to_what_honest_people_showed() -> None:
    ready = prepared(TINY)
    first: dict[str | None, str] = {}
    for event in ready.log.events:
        if event.outcome == "success":
            first.setdefault(event.user_id, event.event_id or "")
    for rule in RULES:
        found = challenged(ready.log, ready.events, rule)
        assert found
        assert not found & set(first.values()), "a first login has nothing to be compared with"
