"""The purge: what is personal goes at its time, decisions later, histories follow, and nothing else changes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from riskengine.audit import Audit
from riskengine.blocklist import Blocklist, parse_order
from riskengine.engine.engine import Engine
from riskengine.engine.saved import items_of, load_histories
from riskengine.errors import SettingsError
from riskengine.event import DAY_MS, Event, Report
from riskengine.history.learn import fold
from riskengine.settings import Settings, load
from riskengine.store.database import Database, opened
from riskengine.store.sql import SqlStore
from riskengine.store.tables import METADATA
from riskengine.upkeep.pace import FLAT_OUT, Pace
from riskengine.upkeep.purge import Purge, Retention, last_purge
from riskengine.upkeep.upkeep import Upkeep
from tests.doors import SEAL, arrivals_of, default_policy, locator_of
from tests.fixtures_geo import World

START = 1_772_582_400_000
NOW = START + 300 * DAY_MS


def login(user: str | None, day: float, number: int, ip: str = "192.0.2.1", **given: str) -> Event:
    at = START + round(day * DAY_MS) + number * 60_000
    return Event(user, ip, event_id=f"{user}-{day}-{number}", occurred_at=at, device_id="d1", **given)  # type: ignore[arg-type]


ITEMS: list[Event | Report] = [
    *(login("ana", day, 0) for day in (10, 20, 30)),
    *(login("gone", 11, number) for number in range(150)),
    login(None, 12, 0, outcome="failure", login="x"),
    login("risky", 13, 0),
    Report("risky-13-0", "confirmed_compromised", at=START + 13 * DAY_MS + 60_000),
    *(login("ana", day, 0, "198.51.100.10") for day in (200, 210)),
    login("ben", 250, 0),
]


@pytest.fixture
def store(store_url: str, world: World) -> Iterator[SqlStore]:
    store = SqlStore(store_url)
    engine = Engine(store, locator_of(world), default_policy(), SEAL)
    for arrival in arrivals_of(ITEMS):
        engine.run([arrival])
    yield store
    store.close()


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    database = opened(store_url, 5.0)
    yield database
    database.close()


def purge(database: Database, personal: int | None = 180, decisions: int | None = 400, pace: Pace = FLAT_OUT) -> Purge:
    return Purge(database, SEAL, Retention(personal, decisions), NOW, decisions is not None, pace)


def ref(user: str) -> bytes:
    return SEAL.index("default", "user", user)


def rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.reader.begin() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in METADATA.sorted_tables
            if table.name not in ("meta", "workers")
        }


def test_what_is_old_loses_whose_it_was_and_keeps_what_was_decided(store: SqlStore, database: Database) -> None:
    before = {row.id: row for row in store.events()}

    done = purge(database).run()

    after = {row.id: row for row in store.events()}
    emptied = [row for row in after.values() if not row.raw]
    assert done["events emptied"] == len(emptied) == 3 + 150 + 1 + 1
    assert after.keys() == before.keys()
    for row in emptied:
        was = before[row.id]
        assert (row.decision, row.score, row.reasons, row.country, row.city, row.asn) == (
            (was.decision, was.score, was.reasons, was.country, was.city, was.asn)
        )
        assert not any((row.user_ref, row.login_index, row.device_index, row.session_index, row.address_index))
        assert not any((row.event_key, row.fingerprint, row.assessment))
    assert [row for row in after.values() if row.raw] == [row for row in before.values() if after[row.id].raw]
    assert len(rows(database)["event_ids"]) == 3
    assert rows(database)["reports"] == []


def test_histories_are_folded_from_what_is_kept(store: SqlStore, database: Database) -> None:
    purge(database).run()

    users = [ref("ana"), ref("ben"), ref("gone"), ref("risky")]
    with store.transaction() as tx:
        records = load_histories(tx, users, dict.fromkeys(users, "default"), SEAL)
        expected = [fold(items_of(*tx.items_of(user), SEAL)) for user in users[:2]]
        found = tx.load_histories(users)
    for record, folded in zip(records, expected, strict=False):
        folded["seq"] = record["seq"]
        assert np.array_equal(record.tobytes(), folded[0].tobytes())
    assert ref("gone") not in found
    assert records["at_risk"].tolist() == [0, 0, 0, 1]  # nobody has remediated
    assert found[ref("ana")].seq == 5  # goes on counting


def test_counters_of_old_days_go(store: SqlStore, database: Database) -> None:
    before = rows(database)

    purge(database).run()

    first = (NOW - 180 * DAY_MS) // DAY_MS
    after = rows(database)
    for name, unit in (("counters", 1440), ("days", 1)):
        at = 2 if name == "counters" else 1
        assert after[name] == [row for row in before[name] if int(str(row[at])) >= first * unit]
        assert 0 < len(after[name]) < len(before[name])


def test_decisions_go_after_their_own_time(store: SqlStore, database: Database) -> None:
    purge(database, 180, 250).run()

    assert [row.id for row in store.events()] == [row.id for row in store.events() if row.raw]
    assert len(list(store.events())) == 3


def test_a_second_purge_finds_nothing_and_an_interrupted_one_goes_on(store: SqlStore, database: Database) -> None:
    steps = iter([False] * 4 + [True] * 1000)
    partly = purge(database, pace=Pace(0.0, lambda: next(steps))).run()
    assert 0 < partly["events emptied"] < 155

    rest = purge(database).run()

    assert partly["events emptied"] + rest["events emptied"] == 155
    assert purge(database).run() == {}


def test_a_dry_run_counts_what_a_purge_then_takes(store: SqlStore, database: Database) -> None:
    before = rows(database)
    counted = dict(purge(database, 180, 250).waiting())

    assert rows(database) == before
    assert counted["events emptied"] == counted["events deleted"] == 155
    assert counted["days"] > 0


def test_what_is_kept_for_ever_is_not_touched(store: SqlStore, database: Database) -> None:
    before = rows(database)

    assert purge(database, None, None).run() == {}

    assert rows(database) == before


def test_a_server_purges_once_a_day_at_its_time(
    store: SqlStore, database: Database, store_url: str, tmp_path: Path
) -> None:
    upkeep = Upkeep(Settings(home=tmp_path, database_url=store_url, purge_at="03:30"), SEAL)
    midnight = NOW // DAY_MS * DAY_MS
    upkeep.run(midnight)
    assert all(row.raw for row in store.events())

    upkeep.run(midnight + 4 * 3_600_000)

    assert not all(row.raw for row in store.events())
    assert last_purge(database) == midnight + 4 * 3_600_000


@pytest.mark.parametrize("given", [{"personal_days": "0"}, {"personal_days": "never"}, {"purge_at": "25:00"}])
def test_a_retention_that_is_none_is_refused_by_name(given: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"RISKENGINE_{next(iter(given)).upper()}"):
        load(None, home=tmp_path, **given)


def test_what_is_personal_never_outlives_its_decision(tmp_path: Path) -> None:
    assert Retention.of(Settings(home=tmp_path, retention_days=90)) == Retention(90, 90)
    assert Retention.of(load(home=tmp_path, personal_days="for ever", retention_days="for ever")) == Retention(
        None, None
    )


def test_blocks_go_when_they_ended_long_ago(store: SqlStore, database: Database) -> None:
    blocklist = Blocklist(store, SEAL, Audit(store, SEAL))
    for day in (10, 119, 121):
        order = parse_order({"value": "user:ana", "for": "1h", "why": "ticket 4711"})
        blocklist.add(order, "default", "ops", START + day * DAY_MS)

    assert purge(database).waiting()["blocks"] == 2
    assert purge(database).run()["blocks"] == 2
    assert [row[7] for row in rows(database)["blocks"]] == [START + 121 * DAY_MS]
