"""Ways into the engine, for cases and laws: one sequence in, what was answered out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from riskengine.engine.arrival import Arrival, canonical
from riskengine.engine.engine import Engine
from riskengine.engine.segment import Outcome
from riskengine.event import DAY_MS, Event, Report, parse_event
from riskengine.locate.locator import Locator
from riskengine.policy.parse import parse
from riskengine.policy.policy import Policy
from riskengine.seal import Keys, Seal
from riskengine.settings import package_files
from riskengine.store.contract import Store
from riskengine.store.memory import MemoryStore
from tests.fixtures_geo import World

CASES = Path(__file__).parent / "cases"
# A Wednesday; live doors move it to the recent past, since live refuses what is over 400 days old.
EPOCH = 1_772_582_400_000
ADDRESSES = {
    "new_york": "192.0.2.10",
    "new_york_2": "192.0.2.70",
    "tokyo": "198.51.100.10",
    "lisbon": "198.51.100.70",
    "equator": "198.51.100.130",
    "london": "203.0.113.10",
    "tor": "203.0.113.70",
    "hosting": "203.0.113.100",
    "wifi": "203.0.113.130",
    "mobile": "203.0.113.200",
    "private": "10.1.2.3",
    "nowhere": "9.9.9.9",
}
SEAL = Seal(Keys(index=bytes(32), current="00000000", seal={"00000000": bytes(32)}))
_UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
_CONTROLS = ("at", "user", "from", "then", "report", "of", "repeat", "many", "each")


@dataclass(frozen=True)
class Step:
    """One item of a case, and what must be true of its answer."""

    item: Event | Report
    then: Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A case as written, laid out in time from EPOCH on."""

    name: str
    steps: tuple[Step, ...]
    live_only: bool

    @property
    def in_order(self) -> bool:
        """Whether the items are in order of time, as replay would put them."""
        times = [_time(step.item) for step in self.steps]
        return times == sorted(times)


def _time(item: Event | Report) -> int:
    time = item.occurred_at if isinstance(item, Event) else item.at
    assert time is not None
    return time


def span(text: str) -> int:
    """Return a length of time such as 10m or 24.1h in ms."""
    match = re.fullmatch(r"([\d.]+)([smhd])", text)
    assert match, text
    return round(float(match[1]) * _UNITS[match[2]])


def load_cases() -> list[Case]:
    """Return every case of every file."""
    found = []
    for file in sorted(CASES.glob("*.yaml")):
        for body in yaml.safe_load(file.read_text()):
            found.append(Case(body["case"], tuple(_steps(body["items"])), "live_only" in body))
    return found


def _steps(items: Sequence[Mapping[str, Any]]) -> list[Step]:
    steps: list[Step] = []
    ids: list[str] = []
    for item in items:
        at, then = EPOCH + span(item["at"]), item.get("then", {})
        if "of" in item:
            steps.append(Step(Report(ids[item["of"] - 1], item["report"], at=at), then))
            ids.append("")
            continue
        for number in range(item.get("many", 1) * item.get("each", 1) * item.get("repeat", 1)):
            event_id = f"e{len(ids) + 1}-{number}"
            when = at + number * DAY_MS if "repeat" in item else at
            steps.append(Step(_event(item, event_id, when, number // item.get("each", 1)), then))
            if "report" in item:
                steps.append(Step(Report(event_id, item["report"], at=when + 300_000), {}))
        ids.append(f"e{len(ids) + 1}-0")
    return steps


def _event(item: Mapping[str, Any], event_id: str, at: int, number: int) -> Event:
    body = {name: value for name, value in item.items() if name not in _CONTROLS}
    if "login" in body:
        body["login"] = body["login"].replace("{n}", str(number))
    user = item["user"]
    body["user_id"] = None if user is None else user.replace("{n}", str(number))
    body["ip"] = ADDRESSES.get(item["from"], item["from"])
    event: Event = parse_event(body)
    return replace(event, event_id=event_id, occurred_at=at)


@cache
def default_policy() -> Policy:
    """Return the policy that ships."""
    return parse((package_files("data") / "policy.toml").read_text(), "policy.toml")


@cache
def locator_of(world: World) -> Locator:
    """Return a locator over the tests' world."""
    return Locator.open(None, world.city, world.asn, world.anonymous)


def engine_over(store: Store, world: World, policy: Policy | None = None) -> Engine:
    """Return an engine with the tests' keys and world."""
    return Engine(store, locator_of(world), policy or default_policy(), SEAL)


def memory_engine(world: World) -> Engine:
    """Return an engine over an empty memory store."""
    return engine_over(MemoryStore(), world)


def arrivals_of(items: Sequence[Event | Report], reports: bool = True) -> list[Arrival]:
    """Return items as they would arrive, each at its own time."""
    texts = [canonical(item) if isinstance(item, Event) else b"" for item in items]
    return [
        Arrival("default", item, _time(item), reports, who="test", text=text)
        for item, text in zip(items, texts, strict=True)
    ]


def check(name: str, then: Mapping[str, Any], answer: Outcome) -> None:
    """Assert what a case says of one answer."""
    if "refused" in then:
        assert then["refused"] in str(answer), f"{name}: {answer!r}"
        return
    assert isinstance(answer, dict), f"{name}: {answer!r}"
    codes = [reason["code"] for reason in answer.get("reasons", [])]
    told = " / ".join(reason["message"] for reason in answer.get("reasons", []))
    seen = f"{name}: {answer.get('decision')} {answer.get('score')} {codes} {told}"
    if "decision" in then:
        assert answer["decision"] == then["decision"], seen
    for code in then.get("reasons", []):
        assert code in codes, f"{seen}: {code} is missing"
    for code in then.get("not", []):
        assert code not in codes, f"{seen}: {code} must not be there"
    if "says" in then:
        assert then["says"] in told, seen
    if "asks" in then:
        assert answer["step_up"]["acr_values"] == then["asks"], seen
    if "located" in then:
        assert (answer["location"] is not None) is then["located"], seen
    if "decision" in answer:
        points = sum(round(reason["points"] * 10) for reason in answer["reasons"])
        assert points == round(answer["score"] * 10), f"{seen}: the points do not add up to the score"
