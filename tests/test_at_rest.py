"""Personal data at rest: nothing that a caller sent about a person lies in clear in database, WAL or journal."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select

from riskengine.event import Event, NetworkClaim, Position, Report
from riskengine.journal import Journal
from riskengine.live import Live
from riskengine.store.sql import SqlStore
from riskengine.store.tables import METADATA
from tests.doors import SEAL, arrivals_of, engine_over
from tests.fixtures_geo import World

USER, LOGIN, DEVICE, AGENT = "zz-user-4711", "zz.login@example.net", "zz-device-0815", "ZzBrowser/9.9 (Secret)"
SESSION, SSID, CONTEXT, ADDRESS = "zz-session-1", "zz-ssid", "zz-context", "192.0.2.57"
EVENT = Event(
    USER,
    ADDRESS,
    event_id="at-rest-1",
    login=LOGIN,
    device_id=DEVICE,
    user_agent=AGENT,
    session_id=SESSION,
    network=NetworkClaim(type="wifi", ssid=SSID),
    position=Position(40.71281, -74.00601),
    context={"note": CONTEXT},
)
SECRETS = [
    *(text.encode() for text in (USER, LOGIN, DEVICE, AGENT, "ZzBrowser", SESSION, SSID, CONTEXT, ADDRESS, "40.71281")),
    ip_address(ADDRESS).packed + b"\0",
    ip_address("::ffff:" + ADDRESS).packed,
]


def _other(number: int, **given: object) -> Event:
    return Event(USER, ADDRESS, event_id=f"at-rest-{number}", device_id=DEVICE, user_agent=AGENT, **given)  # type: ignore[arg-type]


def test_no_file_of_the_embedded_store_holds_a_person_in_clear(sqlite_url: str, tmp_path: Path, world: World) -> None:
    engine = engine_over(SqlStore(sqlite_url), world)
    journal = Journal(tmp_path / "journal", SEAL)
    live = Live(engine, journal, deadline=0.2)

    async def scene() -> None:
        await live.start()
        await live.score([EVENT, Event(USER, "198.51.100.10", event_id="away")], "default", True)
        await live.report(Report("away", "step_up_passed"), "default", "test")
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            [answer] = await live.score([_other(2)], "default", True)
            assert isinstance(answer, dict)
            assert answer["source"] == "fallback"
            _assert_clean(tmp_path, at_least=("journal", "wal"))

    asyncio.run(scene())
    _assert_clean(tmp_path, at_least=("journal", "wal"))
    engine.store.close()
    _assert_clean(tmp_path, at_least=("db",))


def _assert_clean(folder: Path, at_least: tuple[str, ...]) -> None:
    """Assert that no file below `folder` holds a secret; `at_least` are name endings that must be among them."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.stat().st_size]
    for ending in at_least:
        assert any(file.name.endswith(ending) for file in files), f"no file ends with {ending}: nothing was looked at"
    for file in files:
        content = file.read_bytes()
        for secret in SECRETS:
            assert secret not in content, f"{secret!r} lies in {file.name}"


def test_no_row_holds_a_person_in_clear(store_url: str, world: World) -> None:
    engine = engine_over(SqlStore(store_url), world)
    events = [EVENT, _other(3, outcome="failure"), Event(USER, "198.51.100.10", event_id="away")]
    engine.run(arrivals_of([_dated(event, number) for number, event in enumerate(events)]))
    engine.store.close()

    database = create_engine(store_url)
    with database.connect() as connection:
        rows = [row for table in METADATA.sorted_tables for row in connection.execute(select(table))]
    database.dispose()
    assert len(rows) > 6
    for value in (value for row in rows for value in row):
        stored = value if isinstance(value, bytes) else str(value).encode()
        assert not any(secret in stored for secret in SECRETS), value


def _dated(event: Event, number: int) -> Event:
    return replace(event, occurred_at=1_772_582_400_000 + number * 60_000)


def test_the_secrets_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"..." + USER.encode() + b"...")

    with pytest.raises(AssertionError, match="lies in"):
        _assert_clean(tmp_path, at_least=("db",))
