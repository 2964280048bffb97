"""One person's data: all of it is told, all of it goes, and nobody else's does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from riskengine.audit import Audit, verify
from riskengine.blocklist import Blocklist, parse_order
from riskengine.engine.engine import Engine
from riskengine.engine.saved import raw_of
from riskengine.event import Event, Report
from riskengine.store.database import Database, opened
from riskengine.store.sql import SqlStore
from riskengine.upkeep.person import Erasure, Person, checkpoint
from tests.doors import SEAL, arrivals_of, default_policy, locator_of
from tests.fixtures_geo import World

START = 1_772_582_400_000


def login(user: str, number: int, **given: str) -> Event:
    return Event(user, "192.0.2.1", event_id=f"{user}-{number}", occurred_at=START + number * 60_000, **given)  # type: ignore[arg-type]


ITEMS: list[Event | Report] = [
    *(login(user, number, login=f"{user}@example") for number in range(100) for user in ("ana", "ben")),
    login("ana", 101, outcome="failure"),
    Report("ana-5", "confirmed_safe", at=START + 6_200_000),
    Report("ben-5", "confirmed_safe", at=START + 6_200_000),
]


@pytest.fixture
def store(store_url: str, world: World) -> Iterator[SqlStore]:
    store = SqlStore(store_url)
    Engine(store, locator_of(world), default_policy(), SEAL).run(arrivals_of(ITEMS))
    audit = Audit(store, SEAL)
    audit.record(START, "default", "soc", "event.read", "event", event_id="ana-3")
    audit.record(START, "default", "soc", "events.search", "events", user_id=["ana"], login="ben@example")
    yield store
    store.close()


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    database = opened(store_url, 5.0)
    yield database
    database.close()


def person(database: Database, user: str) -> Person:
    return Person(database, SEAL, "default", user)


def test_all_that_is_held_is_told(store: SqlStore, database: Database) -> None:
    held = person(database, "ana").held()

    assert len(held["events"]) == 101
    assert held["events"][3]["event"]["event_id"] == "ana-3"
    assert held["events"][3]["answer"]["decision"]
    assert [report["result"] for report in held["reports"]] == ["confirmed_safe"]
    assert held["history"]["seq"] == 102
    assert [line["action"] for line in held["audit"]] == ["event.read", "events.search"]


def test_of_somebody_unknown_nothing_is_held(store: SqlStore, database: Database) -> None:
    held = person(database, "nobody").held()

    assert (held["events"], held["reports"], held["history"], held["audit"]) == ([], [], None, [])


def test_everything_of_one_goes_and_nothing_of_others(
    store: SqlStore, database: Database, store_url: str, tmp_path: Path
) -> None:
    others = person(database, "ben").held()
    one = Erasure(person(database, "ana"), tmp_path / "journal")
    files = [tmp_path] if store_url.startswith("sqlite") else []
    assert checkpoint(store_url)

    one.run()
    assert checkpoint(store_url)

    assert one.done["events"] == 101
    assert one.done["reports"] == one.done["histories"] == 1
    assert one.done["counters"] > 0
    assert len(one.needles) == 1 + 2 * 101 + 1 + 2
    assert one.left(files) == []
    held = person(database, "ana").held()
    assert (held["events"], held["reports"], held["history"], held["audit"]) == ([], [], None, [])
    after = person(database, "ben").held()
    assert {**after, "audit": []} == {**others, "audit": []}
    assert after["audit"][0]["detail"] == {
        "user_id": [one.pseudonym], "login": "ben@example", "erased": one.pseudonym,
    }  # fmt: skip
    trail = verify(store.audit_lines(), SEAL)
    assert (trail.lines, trail.erased, trail.faults) == (2, 2, [])
    assert {raw_of(row, SEAL)["user_id"] for row in store.events()} == {"ben"}


def test_the_search_would_find_what_is_left(
    store: SqlStore, database: Database, store_url: str, tmp_path: Path
) -> None:
    one = Erasure(person(database, "ana"), tmp_path / "journal")
    row = next(store.events())
    one.needles.add(row.raw[5:21])
    checkpoint(store_url)

    left = one.left([tmp_path] if store_url.startswith("sqlite") else [])

    assert "the database's tables" in left
    assert not store_url.startswith("sqlite") or any(name.endswith("store.db") for name in left)


def test_blocks_on_somebody_are_told_and_go(store: SqlStore, database: Database, tmp_path: Path) -> None:
    blocklist = Blocklist(store, SEAL, Audit(store, SEAL))
    for value in ("user:ana", "user:ben"):
        order = parse_order({"value": value, "for": "1h", "why": "ticket 4711"})
        blocklist.add(order, "default", "ops", 1_000)

    assert person(database, "ana").held()["blocks"] == [
        {
            "why": "ticket 4711",
            "by": "ops",
            "created_at": "1970-01-01T00:00:01.000Z",
            "expires_at": "1970-01-01T01:00:01.000Z",
            "lifted_at": None,
        }
    ]
    one = Erasure(person(database, "ana"), tmp_path / "journal")
    one.run()

    assert one.done["blocks"] == 1
    assert person(database, "ana").held()["blocks"] == []
    assert len(person(database, "ben").held()["blocks"]) == 1
