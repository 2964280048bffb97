"""The write-ahead log of SQLite is moved beside the commits, and its space used again."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from riskengine.store import checkpoint
from riskengine.store.sql import SqlStore, upgrade

PAGES = 200  # written by each round


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqlStore:
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.02)
    url = f"sqlite:///{tmp_path / 'r.db'}"
    upgrade(url)
    return SqlStore(url)


def log_of(tmp_path: Path) -> Path:
    return tmp_path / "r.db-wal"


def write(store: SqlStore, rounds: int) -> None:
    for _ in range(rounds):
        store.set_meta("big", bytes(PAGES * 4096))
        time.sleep(0.03)


def test_a_log_that_is_moved_does_not_grow(store: SqlStore, tmp_path: Path) -> None:
    with closing(store):
        write(store, 20)
        assert log_of(tmp_path).stat().st_size < 10 * PAGES * 4096


def test_what_was_moved_is_there_without_the_log(store: SqlStore, tmp_path: Path) -> None:
    with closing(store):
        write(store, 1)
        end = time.monotonic() + 10
        copy = tmp_path / "copy.db"
        while time.monotonic() < end:
            copy.write_bytes((tmp_path / "r.db").read_bytes())  # as it is, without its log
            with closing(sqlite3.connect(copy)) as found:
                if found.execute("SELECT count(*) FROM meta WHERE name = 'big'").fetchone() == (1,):
                    return
            time.sleep(0.02)
    pytest.fail("the log was not moved")


def test_a_reader_in_the_way_is_no_error(store: SqlStore, tmp_path: Path) -> None:
    with closing(store), closing(sqlite3.connect(tmp_path / "r.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT count(*) FROM meta").fetchone()
        write(store, 5)
        assert reader.execute("SELECT count(*) FROM meta").fetchone() == before
        reader.execute("COMMIT")
        write(store, 5)
        assert store.meta("big") == bytes(PAGES * 4096)


def test_a_store_that_only_reads_starts_no_thread(store: SqlStore) -> None:
    with closing(store):
        store.meta("big")
        assert store._database._checkpoints._thread is None  # type: ignore[attr-defined]
