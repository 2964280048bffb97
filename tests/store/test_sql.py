"""What only databases can show: several writers, locks, restarts, files and refusals."""

import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from riskengine.errors import SettingsError, StoreUnavailable
from riskengine.store.contract import Cell, CellKey, DayCell
from riskengine.store.sql import SqlStore, upgrade
from tests.conftest import PostgresServer
from tests.store.rows import ALICE, BOB, cells_of, event, history, key

AT = CellKey("address", 2**63, 5)


def database_name(url: str) -> str:
    """Return the name of the database in a URL of the test server."""
    return url.split("@/", 1)[1].split("?", 1)[0]


def save_cell(store: SqlStore, cell: Cell) -> None:
    with store.transaction() as tx:
        tx.save([], [], {}, [], {AT: cell})


def test_two_workers_add_up(store_url: str) -> None:
    one, other = SqlStore(store_url), SqlStore(store_url)

    save_cell(one, Cell(3, 3, ((7, 1), (8, 2))))
    save_cell(other, Cell(2, 2, ((8, 1), (9, 1))))
    save_cell(one, Cell(1, 1, ((7, 1),)))

    for store in (one, other):
        with store.transaction() as tx:
            found = cells_of(tx.load_cells([("address", AT.key, 5, 5)]))
            assert found == {AT: Cell(6, 6, ((7, 2), (8, 3), (9, 1)))}
    one.close()
    other.close()


def test_days_of_two_workers_stand_beside_each_other(store_url: str) -> None:
    one, other = SqlStore(store_url), SqlStore(store_url)
    cells = [DayCell(7, 3, 1, 2, 4), DayCell(7, 3, 8, 0, 0)]
    for store, cell in zip((one, other), cells, strict=True):
        with store.transaction() as tx:
            tx.save_days([cell])

    with one.transaction() as tx:
        assert sorted(tx.load_days([(7, 0, 9)])) == cells
    one.close()
    other.close()


def test_each_worker_writes_rows_of_its_own(sqlite_url: str) -> None:
    for _ in range(2):
        store = SqlStore(sqlite_url)
        save_cell(store, Cell(1, 0, ()))
        store.close()

    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as database:
        assert database.execute("SELECT worker, attempts FROM counters ORDER BY worker").fetchall() == [(1, 1), (2, 1)]
    database.close()


def test_who_only_reads_writes_nothing(sqlite_url: str) -> None:
    store = SqlStore(sqlite_url)
    store.access_keys()
    store.close()

    database = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    assert database.execute("SELECT count(*) FROM workers").fetchone() == (0,)
    database.close()


def test_a_user_locked_elsewhere_is_not_obtained(postgres_url: str) -> None:
    one, other = SqlStore(postgres_url), SqlStore(postgres_url)

    with one.transaction() as first:
        assert first.lock_users([ALICE]) == {ALICE}
        with other.transaction() as second:
            assert second.lock_users([ALICE, BOB]) == {BOB}
        assert first.lock_users([BOB]) == {BOB}
    with other.transaction() as second:
        assert second.lock_users([ALICE, BOB]) == {ALICE, BOB}
    one.close()
    other.close()


def test_a_lock_goes_with_a_transaction_that_fails(postgres_url: str) -> None:
    one, other = SqlStore(postgres_url), SqlStore(postgres_url)

    with pytest.raises(ZeroDivisionError), one.transaction() as first:  # noqa: PT012 (the lock comes first)
        first.lock_users([ALICE])
        raise ZeroDivisionError

    with other.transaction() as second:
        assert second.lock_users([ALICE]) == {ALICE}
    one.close()
    other.close()


def test_who_holds_a_user_sees_what_the_last_holder_wrote(postgres_url: str) -> None:
    one, other = SqlStore(postgres_url), SqlStore(postgres_url)

    with other.transaction() as second:
        assert second.load_histories([ALICE]) == {}
        with one.transaction() as first:
            first.lock_users([ALICE])
            first.save([], [], {}, [history(ALICE, 4)], {})
        second.lock_users([ALICE])
        assert second.load_histories([ALICE]) == {ALICE: history(ALICE, 4)}
    one.close()
    other.close()


def test_an_id_that_another_transaction_is_claiming_is_waited_for_only_shortly(postgres_url: str) -> None:
    one, other = SqlStore(postgres_url), SqlStore(postgres_url)

    with one.transaction() as first:
        first.claim_ids([(key("a"), 1, key("body"))])
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable), other.transaction() as second:
            second.claim_ids([(key("a"), 2, key("body"))])
        assert time.monotonic() - begun < 2

    with other.transaction() as second:
        assert second.claim_ids([(key("a"), 2, key("body"))]) == {key("a"): 1}
    one.close()
    other.close()


def test_two_transactions_that_wait_for_each_other_end_as_unavailable(postgres_url: str) -> None:
    one, other = SqlStore(postgres_url), SqlStore(postgres_url)
    refused: list[Exception] = []
    both = threading.Barrier(2)

    def run(store: SqlStore, own: str, others: str) -> None:
        try:
            with store.transaction() as tx:
                tx.claim_ids([(key(own), 1, key("body"))])
                both.wait(5)
                tx.claim_ids([(key(others), 2, key("body"))])
        except StoreUnavailable as error:
            refused.append(error)

    threads = [
        threading.Thread(target=run, args=(one, "a", "b")),
        threading.Thread(target=run, args=(other, "b", "a")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert refused
    one.close()
    other.close()


def test_a_restarted_server_is_picked_up(postgres_server: PostgresServer, postgres_url: str) -> None:
    store = SqlStore(postgres_url)
    save_cell(store, Cell(1, 0, ()))

    postgres_server.end_sessions(database_name(postgres_url))

    save_cell(store, Cell(1, 0, ()))
    with store.transaction() as tx:
        assert cells_of(tx.load_cells([("address", AT.key, 5, 5)])) == {AT: Cell(2, 0, ())}
    store.close()


def test_a_connection_lost_within_a_transaction_rolls_it_back(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    store = SqlStore(postgres_url)

    with pytest.raises(StoreUnavailable), store.transaction() as tx:  # noqa: PT012 (what comes before the cut)
        tx.save([event(1)], [], {}, [], {})
        postgres_server.end_sessions(database_name(postgres_url))
        tx.save([event(2)], [], {}, [], {})

    assert store.counts()["events"] == 0
    store.close()


def test_postgresql_answers_only_what_is_durable(postgres_url: str) -> None:
    store = SqlStore(postgres_url)
    with store._writing() as connection:
        assert connection.scalar(text("SHOW synchronous_commit")) == "on"
        assert connection.scalar(text("SHOW lock_timeout")) == "250ms"
        assert connection.scalar(text("SHOW statement_timeout")) == "500ms"
    store.close()


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        SqlStore(f"postgresql://postgres@/nothing?host={tmp_path}")


def test_sqlite_answers_only_what_is_durable(sqlite_url: str) -> None:
    store = SqlStore(sqlite_url)
    with store._reading() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA synchronous")) == 2
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
    store.close()


def test_two_writers_on_sqlite_lose_nothing(sqlite_url: str) -> None:
    rounds, at_once = 150, 2
    failures: list[Exception] = []

    def write(worker: int) -> None:
        store = SqlStore(sqlite_url)
        try:
            for turn in range(rounds):
                row = event(1 + turn * at_once + worker, seq=turn)
                with store.transaction() as tx:
                    tx.claim_ids([(row.event_key, row.id, row.fingerprint)])
                    stored = tx.load_histories([ALICE]).get(ALICE)
                    seq = 1 if stored is None else stored.seq + 1
                    tx.save([row], [], {}, [history(ALICE, seq)], {AT: Cell(1, 1, ((worker, 1),))})
        except StoreUnavailable as error:
            failures.append(error)
        store.close()

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    store = SqlStore(sqlite_url)
    with store.transaction() as tx:
        assert tx.load_histories([ALICE])[ALICE].seq == rounds * at_once
        every = rounds * at_once
        found = cells_of(tx.load_cells([("address", AT.key, 5, 5)]))

    assert found == {AT: Cell(every, every, ((0, rounds), (1, rounds)))}
    assert store.counts()["events"] == rounds * at_once
    store.close()


def test_a_writer_who_does_not_end_makes_the_other_give_up(sqlite_url: str) -> None:
    one, other = SqlStore(sqlite_url), SqlStore(sqlite_url)
    save_cell(other, Cell(1, 0, ()))

    with one.transaction():
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="busy"), other.transaction():
            pass
        assert 0.2 < time.monotonic() - begun < 2
        assert other.counts()["events"] == 0  # reading goes on

    with other.transaction() as tx:
        tx.save([event(1)], [], {}, [], {})
    one.close()
    other.close()


def test_a_database_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="riskengine db upgrade"):
        SqlStore(f"sqlite:///{tmp_path}/none.db")

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, " * 1000)

    with pytest.raises(StoreUnavailable):
        SqlStore(f"sqlite:///{tmp_path}/text.db")
    with pytest.raises(StoreUnavailable):
        upgrade(f"sqlite:///{tmp_path}/text.db")


def test_a_database_that_vanishes_fails_the_ping(sqlite_url: str, tmp_path: Path) -> None:
    store = SqlStore(sqlite_url)

    shutil.move(tmp_path / "store.db", tmp_path / "moved.db")

    with pytest.raises(StoreUnavailable):
        store.ping()
    store.close()


@pytest.mark.parametrize(
    "url",
    ["", "banana", "mysql://secret@host/db", "sqlite://", "sqlite:///:memory:", "postgresql://u:secret@host:port/db"],
)
def test_a_url_of_no_database_we_speak_to_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL") as refusal:
        SqlStore(url)

    assert "secret" not in str(refusal.value)


def test_codes_that_nothing_knows_are_refused_by_the_database(store_url: str) -> None:
    store = SqlStore(store_url)

    for wrong in ({"outcome": "maybe"}, {"decision": "shrug"}, {"score": 1001}, {"state": "lost"}):
        with pytest.raises(Exception, match=r"(?i)check"), store.transaction() as tx:
            tx.save([event(1, **wrong)], [], {}, [], {})

    assert store.counts()["events"] == 0
    store.close()


def test_errors_do_not_repeat_what_was_to_be_stored(sqlite_url: str) -> None:
    store = SqlStore(sqlite_url)

    with pytest.raises(Exception, match=r"(?i)check") as refusal, store.transaction() as tx:
        tx.save([event(1, resource="payroll-of-alice", outcome="maybe")], [], {}, [], {})

    assert "payroll-of-alice" not in str(refusal.value)
    store.close()


def test_the_few_indexes_of_events_serve_their_questions(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url)
    questions = {
        "user_ref = x'00' AND occurred_at > 1": "ix_events_user_ref_occurred_at",
        "realm = 'default' AND address_index BETWEEN x'00' AND x'01'": "ix_events_realm_address_index",
        "occurred_at BETWEEN 1 AND 2": "ix_events_occurred_at",
        "decision != 'allow' AND occurred_at > 1": "ix_events_not_allowed",
    }
    with engine.connect() as connection:
        for question, index in questions.items():
            plan = connection.execute(text(f"EXPLAIN QUERY PLAN SELECT id FROM events WHERE {question}")).all()
            assert index in str(plan)
    engine.dispose()
