"""Events lie in partitions by the month of their arrival; months are made ahead and dropped when they are over."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.rows import scalar_row

from riskengine.engine.engine import Engine
from riskengine.errors import StoreUnavailable
from riskengine.event import DAY_MS
from riskengine.store import partitions
from riskengine.store.contract import EventRow
from riskengine.store.partitions import Kept, first_id, keep
from riskengine.store.postgresql import PATIENT_MS
from riskengine.store.schema import downgrade, upgrade
from riskengine.store.sql import SqlStore
from tests.doors import engine_over
from tests.fixtures_geo import World
from tests.store.rows import event, key


def ms(year: int, month: int, day: int = 1, hour: int = 0) -> int:
    return round(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1000)


def asked(url: str, statement: str, *values: Any) -> list[Any]:
    with psycopg.connect(url, autocommit=True, row_factory=scalar_row) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def parts(url: str) -> list[str]:
    return asked(
        url, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass ORDER BY 1"
    )


def arrived(at: int, number: int = 0) -> EventRow:
    """Return an event that arrived at `at`."""
    row = first_id(at) + number
    return event(row, event_key=key(f"e {row:x}")[-16:], received_at=at)


def save(store: SqlStore, *rows: EventRow) -> None:
    with store.transaction() as tx:
        tx.claim_ids([(row.event_key, row.id, row.fingerprint) for row in rows])
        tx.save(rows, [], {}, [], {})


@pytest.fixture
def store(postgres_url: str) -> Iterator[SqlStore]:
    """A PostgreSQL store whose months begin with this one."""
    store = SqlStore(postgres_url)
    yield store
    store.close()


def months_on(count: int) -> list[int]:
    """Return the beginnings of this month and of `count` following ones, ms since 1970."""
    now = datetime.now(UTC)
    counted = [now.year * 12 + now.month - 1 + ahead for ahead in range(count + 1)]
    return [ms(number // 12, number % 12 + 1) for number in counted]


def name_of(at: int) -> str:
    return f"events_{datetime.fromtimestamp(at / 1000, UTC):%Y_%m}"


def test_this_month_and_three_more_are_made_once(postgres_url: str) -> None:
    months = months_on(4)
    wanted = tuple(name_of(month) for month in months[:4])

    assert keep(postgres_url, months[0] + DAY_MS, 400) == Kept(made=wanted)
    assert keep(postgres_url, months[0] + DAY_MS, 400) == Kept()
    assert keep(postgres_url, months[1], 400) == Kept(made=(name_of(months[4]),))
    assert parts(postgres_url) == sorted([*wanted, name_of(months[4]), "events_before", "events_default"])


def test_rows_land_in_the_month_of_their_arrival(postgres_url: str, store: SqlStore) -> None:
    months = months_on(5)
    keep(postgres_url, months[0], 400)
    save(
        store,
        arrived(ms(2021, 5)),
        arrived(months[0] - 1),
        arrived(months[0]),
        arrived(months[1] - 1),
        arrived(months[1]),
        arrived(months[4]),
    )

    found = asked(postgres_url, "SELECT tableoid::regclass::text FROM events ORDER BY id")
    first, second = name_of(months[0]), name_of(months[1])

    assert found == ["events_before", "events_before", first, first, second, "events_default"]


def test_an_engines_ids_tell_the_month_of_arrival(store: SqlStore, world: World) -> None:
    engine: Engine = engine_over(store, world)
    month = months_on(1)[1]

    before, after = engine._next_id(month - 1), engine._next_id(month)

    assert before < first_id(month) <= after


def test_what_no_month_covered_moves_into_its_month(postgres_url: str, store: SqlStore) -> None:
    month, following = months_on(1)
    rows = [arrived(month + 5), arrived(month + 6), arrived(following + 5)]
    save(store, *rows)
    assert asked(postgres_url, "SELECT count(*) FROM events_default") == [3]

    keep(postgres_url, month, 400)

    assert asked(postgres_url, "SELECT count(*) FROM events_default") == [0]
    assert list(store.events()) == rows
    assert store.read_event(rows[0].event_key) == (rows[0], [])


def test_nobody_is_refused_while_the_month_that_is_written_to_is_made(postgres_url: str, store: SqlStore) -> None:
    month = months_on(0)[0]
    failures: list[BaseException] = []
    made = threading.Event()

    def write(first: int) -> None:
        try:
            for number in range(first, first + 1000):
                save(store, arrived(month, number))
                if made.is_set() and number > first + 20:
                    return
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(1000 * place,)) for place in range(3)]
    for writer in writers:
        writer.start()
    time.sleep(0.1)
    keep(postgres_url, month, 400)
    made.set()
    for writer in writers:
        writer.join(30)

    assert failures == []
    assert asked(postgres_url, "SELECT count(*) FROM events_default") == [0]


def test_many_at_once_make_each_month_once(postgres_url: str) -> None:
    month = months_on(0)[0]
    made: list[str] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            made.extend(keep(postgres_url, month, 400).made)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    # Who finds another at it leaves the rest to that one, who may have been between two steps: nothing is made twice.
    assert failures == []
    made.extend(keep(postgres_url, month, 400).made)
    assert sorted(made) == sorted(name_of(at) for at in months_on(3))


@pytest.mark.parametrize(
    ("later_ms", "dropped"),
    [
        pytest.param(400 * DAY_MS - 1, 1, id="not_until_its_last_event_is_old_enough"),
        pytest.param(400 * DAY_MS, 2, id="from_then_on"),
    ],
)
def test_exactly_the_months_beyond_the_retention_go(
    postgres_url: str, store: SqlStore, later_ms: int, dropped: int
) -> None:
    months = months_on(4)
    keep(postgres_url, months[0], 400)
    rows = [arrived(at) for at in (ms(2021, 5), months[0], months[1] - 1, months[1], months[4] + 5)]
    save(store, *rows)

    kept = keep(postgres_url, months[1] + later_ms, 400)

    assert kept.dropped == (name_of(months[0]), "events_before")[2 - dropped :]
    assert list(store.events()) == rows[1 if dropped == 1 else 3 :]


def test_dropping_frees_the_event_ids_of_the_dropped_alone(
    postgres_url: str, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "IDS_AT_ONCE", 10)
    month, following = months_on(1)
    keep(postgres_url, month, 400)
    old, young = [arrived(month, number) for number in range(35)], arrived(following)
    save(store, *old, young)
    with store.transaction() as tx:  # an id whose event is another row, as a purge may leave it
        tx.claim_ids([(key("other"), 1, key("body"))])

    keep(postgres_url, following + 400 * DAY_MS, 400)

    assert sorted(asked(postgres_url, "SELECT event FROM event_ids")) == [1, young.id]
    assert store.read_event(young.event_key) == (young, [])
    with store.transaction() as tx:
        assert tx.claim_ids([(old[0].event_key, 2, key("new body"))]) == {}


def test_for_ever_drops_nothing(postgres_url: str, store: SqlStore) -> None:
    month = months_on(0)[0]
    keep(postgres_url, month, None)
    save(store, arrived(month))

    assert keep(postgres_url, month + 20 * 400 * DAY_MS, None).dropped == ()
    assert store.counts()["events"] == 1


def test_a_look_up_by_id_touches_one_partition(postgres_url: str, store: SqlStore) -> None:
    months = months_on(3)
    keep(postgres_url, months[0], 400)
    rows = [arrived(at + 5) for at in months]
    save(store, *rows)
    database = store._database

    statements: list[tuple[str, dict[str, list[Any]]]] = [
        (database._finds["event_by_id"], {"keys": [rows[1].id]}),  # type: ignore[attr-defined]
        (database._finds["event_by_key"], {"keys": [rows[1].event_key]}),  # type: ignore[attr-defined]
        (database._writes["states"], {"new_state": ["dismissed"], "new_id": [rows[1].id]}),  # type: ignore[attr-defined]
    ]
    for statement, values in statements:
        for plan in ("force_custom_plan", "force_generic_plan"):
            assert _touched(postgres_url, statement, values, plan) == {name_of(months[1])}, statement


def _touched(url: str, statement: str, values: dict[str, list[Any]], plan: str) -> set[str]:
    """Return the partitions that a statement reads when it is run, prepared, by this kind of plan."""
    with psycopg.connect(url) as connection:
        connection.execute(f"SET plan_cache_mode = {plan}".encode())
        explained = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}".encode(), values, prepare=True)
        [(found,)] = explained.fetchall()
        connection.rollback()
    return {
        node["Relation Name"]
        for node in _nodes(json.loads(json.dumps(found))[0]["Plan"])
        if partitions.is_partition(node.get("Relation Name", "")) and node["Actual Loops"]
    }


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def test_scoring_goes_on_while_a_step_waits_for_a_quiet_moment(postgres_url: str, store: SqlStore) -> None:
    month, following = months_on(1)
    keep(postgres_url, month, 400)
    save(store, arrived(month))
    other = SqlStore(postgres_url)
    kept: list[Kept] = []
    keeping = threading.Thread(target=lambda: kept.append(keep(postgres_url, following + 400 * DAY_MS, 400)))

    with store.transaction() as tx:
        tx.save([arrived(following)], [], {}, [], {})
        tx.events_by_id([1])  # now it is written
        keeping.start()
        for number in range(20):  # each would fail if it had to wait for a lock as long as a batch may
            save(other, arrived(following, number + 1))
            time.sleep(0.03)
        assert kept == []
    keeping.join(30)

    assert kept[0].dropped == (name_of(month), "events_before")
    assert store.counts()["events"] == 21
    other.close()


def test_a_step_that_finds_no_quiet_moment_gives_up(
    postgres_url: str, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "TRIES", 2)
    month, following = months_on(1)
    keep(postgres_url, month, 400)

    with store.transaction() as tx:
        tx.save([arrived(following)], [], {}, [], {})
        tx.events_by_id([1])
        with pytest.raises(StoreUnavailable, match="never free"):
            keep(postgres_url, following + 400 * DAY_MS, 400)


def test_who_is_told_to_stop_takes_no_further_step(postgres_url: str) -> None:
    assert keep(postgres_url, months_on(0)[0], 400, PATIENT_MS, stopped=lambda: True) == Kept()


def test_nothing_happens_on_sqlite(sqlite_url: str) -> None:
    assert keep(sqlite_url, months_on(0)[0], 400) == Kept()


def test_a_database_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        keep("postgresql://postgres@/nothing?host=/nowhere", 0, 400)


def test_what_was_stored_before_there_were_partitions_stays_and_writers_go_on(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    downgrade(postgres_url, "0003")
    with monkeypatch.context() as before:
        before.setattr("riskengine.store.schema.head", lambda: "0003")
        other = SqlStore(postgres_url)  # a server of the version before, but for one table
    asked(postgres_url, "CREATE TABLE arrivals (turn bigint PRIMARY KEY, events bytea)")
    month = months_on(0)[0]
    rows = [arrived(month, number - 4) for number in range(8)]  # often enough for its statements to be prepared
    for row in rows:
        save(other, row)

    asked(postgres_url, "DROP TABLE arrivals")
    upgrade(postgres_url)
    late = arrived(month, 99)
    save(other, late)
    keep(postgres_url, month, 400)

    assert asked(postgres_url, "SELECT count(*) FROM events_before") == [9]
    with other.transaction() as tx:
        assert tx.events_by_id([rows[0].id, late.id]) == {rows[0].id: rows[0], late.id: late}
    assert list(other.events()) == [*rows, late]
    other.close()


def test_going_back_to_one_table_keeps_every_event(postgres_url: str, store: SqlStore) -> None:
    months = months_on(1)
    keep(postgres_url, months[0], 400)
    rows = [arrived(at) for at in (ms(2021, 5), *months)]
    save(store, *rows)

    downgrade(postgres_url, "0003")
    assert asked(postgres_url, "SELECT id FROM events ORDER BY id") == [row.id for row in rows]
    upgrade(postgres_url)

    assert list(store.events()) == rows
