"""A population and its log: honest people, attackers among them, and how each step-up would end.

`python -m tests.quality.population --seed 100 --out DIR` writes what `riskengine replay` and `evaluate` read:
events.ndjson, labels.csv, and the databases city.mmdb, asn.mmdb and anonymous.mmdb.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from riskengine.check import format_time
from riskengine.event import Event, Report
from tests.fixtures_geo import World as Files
from tests.quality.attackers import Attack, Attackers
from tests.quality.journeys import MINUTE_MS, START_MS
from tests.quality.logins import Login, logins
from tests.quality.parameters import Parameters, of_seed
from tests.quality.people import TRAITS, population
from tests.quality.world import World

LEGITIMATE = "legitimate"
HIGH_RESOURCE, NORMAL_RESOURCE = "payroll", "wiki"  # what the default policy calls high, and what it does not


@dataclass(frozen=True)
class Note:
    """What is known of an event besides what the engine is told: `label` is LEGITIMATE or an attack's, `traits` are
    those of an honest user, `via` how they connected, `high` whether it names a resource of high sensitivity."""

    label: str
    traits: tuple[str, ...] = ()
    via: str = ""
    high: bool = False


@dataclass(frozen=True)
class Log:
    """Events in order of time, the reports on them, a note for each event by its id, and the world they happened in."""

    parameters: Parameters
    events: tuple[Event, ...]
    reports: tuple[Report, ...]
    notes: dict[str, Note]
    world: World

    def write(self, folder: Path) -> Files:
        """Write the log, its labels and its world's databases into `folder`; return the databases."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = [(event.occurred_at, 0, _event_line(event)) for event in self.events]
        lines += [(report.at, 1, _report_line(report)) for report in self.reports]
        lines.sort(key=lambda line: line[:2])
        encode = msgspec.json.Encoder().encode
        (folder / "events.ndjson").write_bytes(b"".join(encode(line) + b"\n" for *_, line in lines))
        with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("event_id", "label", "via", "traits"))
            for event_id, note in self.notes.items():
                rows.writerow((event_id, note.label, note.via, " ".join(note.traits)))
        return self.write_world(folder)

    def write_world(self, folder: Path) -> Files:
        """Write the databases alone, as new as the log is."""
        return self.world.write(folder, START_MS // 1000)


@dataclass(frozen=True)
class _Draft:
    """An event before it has an id, and how a step-up on it would end: `result` at `ends`; "" for one that failed."""

    event: Event
    note: Note
    result: str = ""
    ends: int = 0


def generate(parameters: Parameters) -> Log:
    """Return the log of a population: a pure function of its parameters."""
    world = World(parameters)
    of_user = {person.user_id: logins(person, world) for person in population(world)}
    random = Random(f"{parameters.seed} events")
    drafts = [draft for some in of_user.values() for login in some for draft in _honest(login, parameters, random)]
    drafts += [_hostile(attack, random) for attack in Attackers(world, of_user).attacks()]
    drafts.sort(key=lambda draft: draft.event.occurred_at or 0)
    named = {f"{parameters.seed}-{number:05d}": draft for number, draft in enumerate(drafts)}
    return Log(
        parameters,
        tuple(replace(draft.event, event_id=key) for key, draft in named.items()),
        tuple(Report(key, draft.result, at=draft.ends) for key, draft in named.items() if draft.result),
        {key: draft.note for key, draft in named.items()},
        world,
    )


def _honest(login: Login, parameters: Parameters, random: Random) -> Iterator[_Draft]:
    """Yield an honest login, the wrong passwords typed before it first."""
    dice = random.random()
    high = dice < parameters.high_resource
    resource = HIGH_RESOURCE if high else NORMAL_RESOURCE if dice < 0.25 else None
    person = login.person
    event = Event(
        user_id=person.user_id,
        ip=login.address,
        occurred_at=login.time,
        user_agent=login.device.user_agent(login.day),
        device_id=login.device_id,
        resource=resource,
        timezone=login.zone if person.sends_zone else None,
    )
    note = Note(LEGITIMATE, tuple(name for name in TRAITS if name in person.traits), login.via, high)
    if random.random() < parameters.mistyped:
        for number in range(1 if random.random() < 0.8 else 2):
            at = login.time - round(random.uniform(5, 20) * 1000) * (number + 1)
            yield _Draft(replace(event, occurred_at=at, outcome="failure"), note)
    result = "step_up_abandoned" if random.random() < parameters.abandoned else "step_up_passed"
    yield _Draft(event, note, result, login.time + random.randrange(20_000, 120_000))


def _hostile(attack: Attack, random: Random) -> _Draft:
    event = Event(
        user_id=attack.user_id,
        ip=attack.address,
        occurred_at=attack.time,
        login=attack.login,
        outcome="success" if attack.succeeded else "failure",
        user_agent=attack.agent,
        device_id=attack.device_id,
        timezone=attack.zone,
    )
    ends = attack.time + round(random.uniform(1, 5) * MINUTE_MS)
    return _Draft(event, Note(attack.label), "step_up_abandoned" if attack.succeeded else "", ends)


def _event_line(event: Event) -> dict[str, Any]:
    """Return an event as a line of riskengine's own NDJSON."""
    told = {one.name: getattr(event, one.name) for one in fields(Event)}
    found = {name: value for name, value in told.items() if value not in (None, (), {})}
    return {"user_id": event.user_id, **found, "occurred_at": format_time(event.occurred_at or 0)}


def _report_line(report: Report) -> dict[str, Any]:
    at = format_time(report.at or 0)
    return {"type": "report", "event_id": report.event_id, "result": report.result, "at": at}


def main() -> None:
    """Write one seed's log and world."""
    parser = argparse.ArgumentParser(prog="python -m tests.quality.population", description=__doc__)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    log = generate(of_seed(given.seed))
    files = log.write(given.out)
    print(f"{len(log.events):,} events and {len(log.reports):,} reports in {given.out}; try:")
    paths = {"CITY": files.city, "ASN": files.asn, "ANONYMOUS": files.anonymous}
    settings = " ".join(f"RISKENGINE_GEOIP_{name}={path}" for name, path in paths.items())
    print(f"{settings} riskengine evaluate {given.out}/events.ndjson --labels {given.out}/labels.csv --warm-up 21")


if __name__ == "__main__":
    main()
