"""Personal data at rest: nothing that a caller sent about a person lies in clear in database, WAL, dump or journal."""

import asyncio
import base64
import hashlib
import re
import sqlite3
import struct
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, select, update

from riskengine.engine.saved import load_histories, opened, raw_of
from riskengine.event import Event, NetworkClaim, Position, Report
from riskengine.journal import Journal
from riskengine.live import Live
from riskengine.seal import Keys, Seal, SealBroken
from riskengine.store.sql import SqlStore
from riskengine.store.tables import EVENTS, HISTORIES, METADATA
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
ADDRESS_6 = "2001:db8:4711:815::57"
TEXTS = (USER, LOGIN, DEVICE, AGENT, "ZzBrowser", SESSION, SSID, CONTEXT, ADDRESS, ADDRESS_6, "40.71281", "-74.00601")
PACKED = (ip_address("::ffff:" + ADDRESS).packed, ip_address(ADDRESS_6).packed)
HASHES = ("md5", "sha1", "sha256", "sha512", "blake2b", "blake2s", "sha3_256")


def spellings(text: str) -> Iterator[bytes]:
    """Yield how a text could lie in a file: in several encodings, and hashed without a key, alone or in its realm."""
    yield text.encode()
    yield from (text.encode(code) for code in ("utf-16-le", "utf-16-be", "utf-32-le"))
    yield from spellings_of_bytes(text.encode())
    for named in (text.encode(), b"default" + text.encode()):
        for name in HASHES:
            digest = hashlib.new(name, named).digest()[:8]
            yield from (digest, digest.hex().encode())


def spellings_of_bytes(data: bytes) -> Iterator[bytes]:
    """Yield bytes as hexadecimal digits and in base64, wherever in a longer text they begin."""
    yield from (data.hex().encode(), data.hex().upper().encode())
    for before in range(3):
        # The first and the last characters also hold bits of what lies before and behind.
        whole = base64.b64encode(bytes(before) + data).rstrip(b"=")
        yield whole[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]


SECRETS = list(
    dict.fromkeys(
        [
            *(spelled for text in TEXTS for spelled in spellings(text)),
            *(spelled for packed in PACKED for spelled in (packed, *spellings_of_bytes(packed))),
            ip_address(ADDRESS).packed + b"\0",
            *(struct.pack(form, number) for form in ("<d", ">d") for number in (40.71281, -74.00601)),
        ]
    )
)


def _other(number: int, **given: object) -> Event:
    return Event(USER, ADDRESS, event_id=f"at-rest-{number}", device_id=DEVICE, user_agent=AGENT, **given)  # type: ignore[arg-type]


def test_no_file_of_the_embedded_store_holds_a_person_in_clear(sqlite_url: str, tmp_path: Path, world: World) -> None:
    engine = engine_over(SqlStore(sqlite_url), world)
    journal = Journal(tmp_path / "journal", SEAL)
    live = Live(engine, journal, deadline=1.0)

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
        _assert_none(file.read_bytes(), file.name)


def _assert_none(content: bytes, name: str) -> None:
    for secret in SECRETS:
        assert secret not in content, f"{secret!r} lies in {name}"


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


@pytest.mark.usefixtures("postgres_programs")
def test_no_file_of_postgresql_holds_a_person_in_clear(postgres_url: str, world: World) -> None:
    """Neither what its server wrote to disk, log included, nor a dump of it."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        began = _position(connection)
        _saved(postgres_url, world)
        connection.execute("CHECKPOINT")
        contents = list(_on_disk(connection, began))
    dump = subprocess.run(["pg_dump", f"--dbname={postgres_url}"], capture_output=True, check=True).stdout
    columns = [bytes.fromhex(found.decode()) for found in re.findall(rb"\\\\x([0-9a-f]+)", dump)]

    assert sum(map(len, contents)) > 500_000
    assert len(columns) > 50
    for content in (*contents, dump, b"|".join(columns)):
        _assert_none(content, "PostgreSQL")


def _position(connection: "psycopg.Connection[Any]") -> tuple[str, int]:
    """Return file and offset where the server's log goes on."""
    row = connection.execute("SELECT * FROM pg_walfile_name_offset(pg_current_wal_insert_lsn())").fetchone()
    assert row is not None
    return str(row[0]), int(row[1])


def _on_disk(connection: "psycopg.Connection[Any]", began: tuple[str, int]) -> Iterator[bytes]:
    """Yield the files of all tables and indexes of ours, and what was written to the log since."""
    row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    folder = Path(str(row[0]))
    ours = "SELECT pg_relation_filepath(oid) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'i', 't')"
    for (path,) in connection.execute(ours).fetchall():
        yield (folder / path).read_bytes()
    end = _position(connection)
    for log in sorted((folder / "pg_wal").iterdir()):
        if began[0] <= log.name <= end[0]:
            yield log.read_bytes()[began[1] if log.name == began[0] else 0 :]


def _dated(event: Event, number: int) -> Event:
    return replace(event, occurred_at=1_772_582_400_000 + number * 60_000)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f"...{USER}...".encode(), id="text"),
        pytest.param(f"...{LOGIN}...".encode("utf-16"), id="utf_16"),
        pytest.param(f"..{DEVICE}.".encode().hex().encode(), id="hex"),
        *(pytest.param(base64.b64encode(b"." * n + AGENT.encode() + b"..."), id=f"base64_at_{n}") for n in range(4)),
        pytest.param(b"." + ip_address(ADDRESS_6).packed, id="packed_address"),
        pytest.param(struct.pack("<dd", 40.71281, 1.0), id="position"),
        pytest.param(hashlib.sha256(USER.encode()).digest(), id="plain_hash"),
        pytest.param(hashlib.blake2b(ADDRESS.encode()).hexdigest().encode(), id="plain_hash_in_hex"),
    ],
)
def test_the_secrets_would_be_found(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(content)

    with pytest.raises(AssertionError, match="lies in"):
        _assert_clean(tmp_path, at_least=("db",))


OTHER_USER = "zz-user-4712"


def _saved(store_url: str, world: World) -> list[dict[str, object]]:
    """Save events of two users, some at one address and with one device; return the rows of the events."""
    engine = engine_over(SqlStore(store_url), world)
    events = [EVENT, _other(3), Event(OTHER_USER, "192.0.2.58", event_id="at-rest-4"), _other(5)]
    events.append(replace(EVENT, ip=ADDRESS_6, event_id="at-rest-6"))
    engine.run(arrivals_of([_dated(event, number) for number, event in enumerate(events)]))
    engine.store.close()
    database = create_engine(store_url)
    with database.connect() as connection:
        rows = [dict(row) for row in connection.execute(select(EVENTS).order_by(EVENTS.c.id)).mappings()]
    database.dispose()
    return rows


def test_equality_is_all_that_an_index_shows(store_url: str, world: World) -> None:
    """Of two users at neighbouring addresses: docs/threats.md says what can be seen of them without the key."""
    first, second, neighbour, third, _ = _saved(store_url, world)

    assert first["user_ref"] == second["user_ref"] == third["user_ref"] != neighbour["user_ref"]
    assert first["device_index"] == second["device_index"] == third["device_index"]
    near, other = first["address_index"], neighbour["address_index"]
    assert isinstance(near, bytes)
    assert isinstance(other, bytes)
    assert near == second["address_index"]
    assert near[:12] == other[:12], "a /24 in common"
    assert near[12:] != other[12:]
    for name in ("raw", "assessment", "fingerprint", "event_key"):
        assert len({first[name], second[name], neighbour[name], third[name]}) == 4, f"{name} is never the same"


def test_no_index_is_a_plain_hash(store_url: str, world: World) -> None:
    """A list of all users or addresses can be hashed by anybody; with a key of one's own nothing fits either."""
    kept = {value for row in _saved(store_url, world) for value in row.values() if isinstance(value, bytes)}
    plain = [value.encode() for value in (USER, LOGIN, DEVICE, SESSION, ADDRESS)]
    plain += [ip_address(ADDRESS).packed, ip_address(ADDRESS).packed[:3]]
    stranger = Seal(Keys.generate())

    for name in HASHES:
        for value in plain:
            digest = hashlib.new(name, value).digest()
            assert not any(digest[:4] == found[at : at + 4] for found in kept for at in range(0, 16, 4))
    assert stranger.index("default", "user", USER) not in kept
    assert stranger.address_index("default", ADDRESS) not in kept


@pytest.mark.parametrize("column", ["raw", "assessment"])
def test_sealed_contents_moved_to_another_row_are_noticed(store_url: str, world: World, column: str) -> None:
    rows = _saved(store_url, world)
    database = create_engine(store_url)
    with database.begin() as connection:
        moved = update(EVENTS).where(EVENTS.c.id == rows[0]["id"]).values({column: rows[2][column]})
        connection.execute(moved)
    database.dispose()
    store = SqlStore(store_url)
    try:
        with store.transaction() as tx:
            ids = [row["id"] for row in rows if isinstance(row["id"], int)]
            found = tx.events_by_id(ids)
        read = {"raw": raw_of, "assessment": opened}[column]
        with pytest.raises(SealBroken, match="belongs to another row"):
            read(found[ids[0]], SEAL)
        assert read(found[ids[1]], SEAL)
    finally:
        store.close()


def test_a_history_moved_to_another_user_is_noticed(store_url: str, world: World) -> None:
    rows = _saved(store_url, world)
    mine, other = rows[0]["user_ref"], rows[2]["user_ref"]
    database = create_engine(store_url)
    with database.begin() as connection:
        record = connection.scalar(select(HISTORIES.c.record).where(HISTORIES.c.user_ref == other))
        connection.execute(update(HISTORIES).where(HISTORIES.c.user_ref == mine).values(record=record))
    database.dispose()

    with closing(SqlStore(store_url)) as store, store.transaction() as tx:
        assert isinstance(mine, bytes)
        with pytest.raises(SealBroken, match="belongs to another row"):
            load_histories(tx, [mine], {mine: "default"}, SEAL)
