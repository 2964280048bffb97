"""Nothing personal can be read from the files of a database or a journal."""

from pathlib import Path
from typing import Any

import psycopg

from riskengine.journal import Journal
from riskengine.seal import Seal
from riskengine.store.contract import Cell, CellKey, EventRow, HistoryRow
from riskengine.store.sql import SqlStore
from tests.store.rows import event, report

PERSONAL = {
    "user": "alice.liddell@example.com",
    "login": "Alice L.",
    "ip": "203.0.113.77",
    "device": "device-4711-of-alice",
    "agent": "Mozilla/5.0 (TestBrowser 99.1)",
    "session": "session-of-alice-0815",
}


def sealed_event(seal: Seal) -> EventRow:
    """Return the row of an event that holds all of PERSONAL, as an engine makes it."""
    raw = repr(PERSONAL).encode()
    user = seal.index("default", "user", PERSONAL["user"])
    given: dict[str, Any] = {
        "event_key": seal.index("default", "event", "event-1"),
        "fingerprint": seal.index("default", "body", repr(PERSONAL)),
        "login_index": seal.index("default", "login", PERSONAL["login"]),
        "device_index": seal.index("default", "device", PERSONAL["device"]),
        "session_index": seal.index("default", "session", PERSONAL["session"]),
        "address_index": seal.address_index("default", PERSONAL["ip"]),
        "raw": seal.seal(raw, "default", "raw", 1),
        "assessment": seal.seal(raw, "default", "assessment", 1),
    }
    return event(1, user, **given)


def save(store: SqlStore, seal: Seal) -> None:
    row = sealed_event(seal)
    assert row.user_ref is not None
    sealed = repr(PERSONAL).encode()
    cell = CellKey("address", seal.key64("default", "address", PERSONAL["ip"]), 5)
    with store.transaction() as tx:
        tx.claim_ids([(row.event_key, row.id, row.fingerprint)])
        tx.save(
            [row],
            [report(1, user=row.user_ref, detail=seal.seal(sealed, "default", "report", 1))],
            {1: "step_up_passed"},
            [HistoryRow(row.user_ref, "default", 1, seal.seal(sealed, "default", "history", row.user_ref))],
            {cell: Cell(1, 1, ((seal.key32("default", "user", PERSONAL["user"]), 1),))},
        )


def assert_nothing_in(content: bytes) -> None:
    assert len(content) > 1000
    for name, value in PERSONAL.items():
        for spelled in (
            value.encode(),
            value.encode("utf-16-le"),
            value.lower().encode(),
            value.encode().hex().encode(),
        ):
            assert spelled not in content, name


def test_no_file_of_an_sqlite_database_holds_it(sqlite_url: str, tmp_path: Path, seal: Seal) -> None:
    store = SqlStore(sqlite_url)
    save(store, seal)

    files = sorted(tmp_path.glob("store.db*"))

    assert [file.name for file in files] == ["store.db", "store.db-line", "store.db-shm", "store.db-wal"]
    assert_nothing_in(b"".join(file.read_bytes() for file in files))
    store.close()
    assert_nothing_in((tmp_path / "store.db").read_bytes())


def test_no_table_of_a_postgresql_database_holds_it(postgres_url: str, seal: Seal) -> None:
    store = SqlStore(postgres_url)
    save(store, seal)
    store.close()

    content = b""
    with psycopg.connect(postgres_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            with connection.cursor().copy(f"COPY (SELECT * FROM {table}) TO STDOUT (FORMAT binary)".encode()) as copy:
                content += b"".join(bytes(part) for part in copy)
    assert_nothing_in(content)


def test_no_file_of_a_journal_holds_it(tmp_path: Path, seal: Seal) -> None:
    journal = Journal(tmp_path / "journal", seal)
    journal.append([repr(PERSONAL).encode()] * 5)

    assert_nothing_in(b"".join(file.read_bytes() for file in (tmp_path / "journal").iterdir()))
    journal.close()
