"""Sealing anew: all that an older key sealed, nothing that changed meanwhile, and what keys are used."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from riskengine.audit import Audit
from riskengine.engine.engine import Engine
from riskengine.engine.saved import opened, raw_of, report_detail
from riskengine.errors import SealKeyError
from riskengine.event import Event, Report
from riskengine.journal import Journal
from riskengine.keyring import Keys
from riskengine.seal import Seal
from riskengine.store.database import Database
from riskengine.store.database import opened as opened_database
from riskengine.store.sql import SqlStore
from riskengine.upkeep.pace import FLAT_OUT, Pace
from riskengine.upkeep.resealing import reseal, used_in_journal, used_keys
from tests.doors import arrivals_of, default_policy, locator_of
from tests.fixtures_geo import World

START = 1_772_582_400_000
EVENTS = [
    Event("ana" if n % 3 else "ben", f"192.0.2.{n % 40}", event_id=f"e{n}", occurred_at=START + n * 60_000)
    for n in range(150)
]
KEYS = Keys.generate()


@pytest.fixture
def seal() -> Seal:
    return Seal(KEYS)


@pytest.fixture
def store(store_url: str, world: World, seal: Seal) -> Iterator[SqlStore]:
    """A store with 150 events, a report, histories and an audit line, all sealed with the first key."""
    store = SqlStore(store_url)
    engine = Engine(store, locator_of(world), default_policy(), seal)
    engine.run(arrivals_of([*EVENTS, Report("e5", "confirmed_safe", at=START + 9_600_000)]))
    Audit(store, seal).record(START, "default", "cli", "key.create", "rk_1", name="é")
    yield store
    store.close()


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    database = opened_database(store_url, 5.0)
    yield database
    database.close()


def test_all_is_sealed_anew_and_reads_as_before(store: SqlStore, database: Database, seal: Seal) -> None:
    before = [(raw_of(row, seal), opened(row, seal)) for row in store.events()]
    total = sum(used_keys(database)[KEYS.current].values())
    seal.adopt(KEYS.rotated())

    done = reseal(database, seal, FLAT_OUT)

    assert done == total == 150 * 2 + 1 + 2 + 1
    assert used_keys(database).keys() == {seal.keys.current}
    fresh = Seal(seal.keys.without(KEYS.current))
    assert [(raw_of(row, fresh), opened(row, fresh)) for row in store.events()] == before
    assert [report_detail(row, fresh)["by"] for row in store.reports()]
    assert reseal(database, seal, FLAT_OUT) == 0


def test_what_was_begun_is_gone_on_with(store: SqlStore, database: Database, seal: Seal) -> None:
    seal.adopt(KEYS.rotated())
    steps = itertools.count()
    reseal(database, seal, Pace(0.0, lambda: next(steps) > 0))
    used = used_keys(database)
    assert used.keys() == {KEYS.current, seal.keys.current}

    reseal(database, seal, FLAT_OUT)

    assert used_keys(database).keys() == {seal.keys.current}


def test_what_cannot_be_opened_stays_and_is_counted(store: SqlStore, database: Database, seal: Seal) -> None:
    stranger = Seal(Keys("00000001", KEYS.index, {"00000001": bytes(32)}))
    Audit(store, stranger).record(START, "default", "cli", "key.create", "rk_2")
    seal.adopt(KEYS.rotated())

    reseal(database, seal, FLAT_OUT)

    assert used_keys(database)["00000001"] == {"audit.detail": 1}
    with pytest.raises(SealKeyError):
        seal.open(stranger.seal(b"", "", "raw", 1), "", "raw", 1)


def test_keys_of_the_journal_are_told(tmp_path: Path, seal: Seal) -> None:
    journal = Journal(tmp_path, seal)
    journal.append([b"one", b"two"])
    rotated = KEYS.rotated()
    seal.adopt(rotated)
    journal.append([b"three"])

    assert used_in_journal(tmp_path) == {KEYS.current: 2, rotated.current: 1}
    assert used_in_journal(tmp_path / "none") == {}
    journal.close()
