"""A new index key: the store is then as if it had never known another one."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from riskengine.app import open_seal, open_store
from riskengine.audit import Audit
from riskengine.blocklist import Blocklist, parse_order
from riskengine.engine.arrival import Arrival, Remedy
from riskengine.engine.engine import Engine
from riskengine.engine.saved import from_journal, opened, raw_of
from riskengine.errors import RiskEngineError, SealKeyError, StoreUnavailable
from riskengine.event import Event, Report
from riskengine.journal import Journal
from riskengine.keyring import Keys
from riskengine.seal import SEAL_CHECK, Seal
from riskengine.settings import Settings, load
from riskengine.store import removal
from riskengine.store.database import opened_alone
from riskengine.store.schema import upgrade
from riskengine.store.sql import SqlStore
from riskengine.store.tables import BLOCKS, COUNTERS, DAYS, EVENT_IDS, EVENTS, HISTORIES, REPORTS
from riskengine.upkeep import reindexing
from riskengine.upkeep.reindexing import REINDEX, Reindex, to_do
from tests.doors import arrivals_of, default_policy, locator_of
from tests.fixtures_geo import World
from tests.served import serving, settings_of
from tests.test_cli import Run
from tests.upkeep.test_keys_served import command, everything_reads, log_in, rotating
from tests.upkeep.test_person import login

START = 1_772_582_400_000
# Counts of users are estimates: by some keys two users fall together, and an event counts one fewer than by others. By
# these two, whose index keys are not made anew each time, it counts the same.
OLD = replace(Keys.generate(), index=bytes([1]) * 32, next_index=bytes([2]) * 32)
NEW = OLD.reindexed()
ADDRESSES = ("192.0.2.10", "198.51.100.10", "2001:db8::7", "203.0.113.70")


def attempt(number: int) -> Event:
    """Return one of many logins of few users; each third sends a device, some name no account."""
    user = f"user-{number % 7}"
    return Event(
        None if number % 13 == 0 else user,
        ADDRESSES[number % 5 % len(ADDRESSES)],
        event_id=f"e{number}",
        occurred_at=START + number * 600_000,
        login=f"{user}@example",
        device_id=f"device-{user}" if number % 3 else None,
        session_id=f"s{number}",
        user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        outcome="failure" if number % 11 == 0 else "success",
    )


ITEMS: list[Event | Report] = [
    *map(attempt, range(150)),
    Report("e5", "confirmed_safe", at=START + 150 * 600_000),
    Report("e8", "confirmed_compromised", at=START + 151 * 600_000),
]


def fill(url: str, keys: Keys, world: World) -> None:
    """Fill a store as servers with these keys would have."""
    seal = Seal(keys)
    with closing(SqlStore(url)) as store:
        store.set_meta(SEAL_CHECK, seal.check_value())
        engine = Engine(store, locator_of(world), default_policy(), seal)
        remedy = Arrival("default", Remedy("user-3", START + 152 * 600_000), START + 152 * 600_000, who="test")
        engine.run([*arrivals_of(ITEMS), remedy])
        blocklist = Blocklist(store, seal, Audit(store, seal))
        for target in ("user:user-1", "device:device-user-2", "198.51.100.0/24"):
            blocklist.add(parse_order({"value": target, "why": "test", "for": "2h"}), "default", "soc", START)


def told(url: str, keys: Keys) -> dict[str, Any]:
    """Return all that is kept of digests, and what is sealed, in clear, with digests in it."""
    seal = Seal(keys)
    with closing(SqlStore(url)) as store, store.reading() as connection:
        tables = {
            table.name: connection.execute(select(table)).all() for table in (EVENT_IDS, REPORTS, HISTORIES, BLOCKS)
        }
        events = list(store.events())
    return {
        "events": [
            (row.id, row.event_key, row.fingerprint, row.user_ref, row.login_index, row.device_index, row.session_index)
            for row in events
        ],
        "addresses": [row.address_index for row in events],
        "raw": [raw_of(row, seal) for row in events],
        "kept": [opened(row, seal) for row in events],
        "ids": sorted(tables["event_ids"]),
        "reports": sorted((row.id, row.user_ref, row.user_seq) for row in tables["reports"]),
        "histories": {
            row.user_ref: (row.seq, seal.open(row.record, row.realm, "history", row.user_ref))
            for row in tables["histories"]
        },
        "blocks": sorted((row.kind, row.token or b"") for row in tables["blocks"]),
    }


@pytest.fixture
def expected(tmp_path: Path, world: World) -> dict[str, Any]:
    """What a store holds that never knew another key."""
    url = f"sqlite:///{tmp_path / 'fresh.db'}"
    upgrade(url)
    fill(url, NEW, world)
    return told(url, NEW)


@pytest.fixture
def filled(store_url: str, world: World) -> str:
    fill(store_url, OLD, world)
    return store_url


@pytest.fixture
def run_one(filled: str, tmp_path: Path) -> Iterator[Reindex]:
    with closing(opened_alone(filled, 1.0)) as database:
        yield Reindex(database, Seal(NEW), tmp_path / "journal")


def test_it_is_as_if_it_had_been_written_with_the_new_key(
    run_one: Reindex, filled: str, expected: dict[str, Any]
) -> None:
    said: list[int] = []
    run_one.tell = said.append
    steps = to_do(run_one.database)

    run_one.run()
    run_one.database.close()

    found = told(filled, NEW)
    for name, value in expected.items():
        assert found[name] == value, name
    assert sum(said) == steps == 2 * 150 + 7
    with closing(SqlStore(filled)) as store, store.reading() as connection:
        assert not connection.execute(select(COUNTERS)).all()
        assert not connection.execute(select(DAYS)).all()
        with pytest.raises(SealKeyError):
            Seal(OLD).verify_check(store.meta(SEAL_CHECK) or b"")
        Seal(NEW).verify_check(store.meta(SEAL_CHECK) or b"")


@pytest.mark.parametrize("other_key", [False, True], ids=["by_the_same_key", "by_another_key"])
def test_it_goes_on_from_any_step(
    other_key: bool,
    run_one: Reindex,
    filled: str,
    expected: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reindexing, "EVENTS_AT_ONCE", 20)
    monkeypatch.setattr(reindexing, "USERS_AT_ONCE", 2)
    if other_key:  # one whose key was lost before it was done
        lost = Reindex(run_one.database, Seal(OLD.reindexing().rotated().reindexed()), tmp_path / "journal")
        lost.seal = Seal(Keys(OLD.current, bytes(32), OLD.seal))
        lost.__post_init__()
        for _ in range(10):
            lost._step(lost._marked())
    while run_one._marked().stage != "done":
        # Each step by a process of its own, as it were: nothing is known but what is in the database.
        one = Reindex(run_one.database, Seal(NEW), tmp_path / "journal")
        one._step(one._marked())
    run_one.database.close()

    assert told(filled, NEW) == expected


def test_what_is_wrong_in_the_end_keeps_the_old_key_and_is_done_again(
    run_one: Reindex, filled: str, expected: dict[str, Any]
) -> None:
    while run_one._marked().stage != "verify":
        run_one._step(run_one._marked())
    with run_one.database.writing() as connection:
        last = connection.scalars(select(EVENTS.c.id).order_by(EVENTS.c.id.desc())).first()
        connection.execute(update(EVENTS).where(EVENTS.c.id == last).values(device_index=b"wrong"))

    with pytest.raises(RiskEngineError, match=f"event {last} is not found"):
        run_one.run()

    with run_one.database.writing() as connection:
        Seal(OLD).verify_check(removal.value(connection, SEAL_CHECK) or b"")
    run_one.run()
    run_one.database.close()
    assert told(filled, NEW) == expected


def test_beside_anybody_else_it_does_nothing(filled: str, tmp_path: Path) -> None:
    with closing(SqlStore(filled)) as store, closing(opened_alone(filled, 1.0)) as database:
        with pytest.raises(StoreUnavailable, match="stop all of them first"):
            Reindex(database, Seal(NEW), tmp_path / "journal").run()
        assert store.meta(REINDEX) is None


def test_what_waits_in_the_journal_follows(run_one: Reindex, filled: str, tmp_path: Path) -> None:
    before, seal = told(filled, OLD), Seal(OLD)
    kept = before["kept"][10]
    with closing(SqlStore(filled)) as store:
        row = list(store.events())[10]
    record = {
        "realm": row.realm, "received_at": row.received_at, "reports": False, "text": b"{}",
        "event": msgspec.to_builtins(attempt(10)), **kept,
    }  # fmt: skip
    with closing(Journal(tmp_path / "journal", seal)) as journal:
        journal.append([msgspec.msgpack.encode(record)])

    run_one.run()
    run_one.database.close()

    with closing(Journal(tmp_path / "journal", seal)) as journal:
        [waits] = journal.waiting()
    body: Any = from_journal(waits).body
    after = told(filled, NEW)["kept"][10]
    assert (body.answer, body.item) == (after["answer"], after["item"])
    assert body.answer["user_ref"] != kept["answer"]["user_ref"]


def test_a_damaged_event_is_left_and_told(run_one: Reindex, filled: str) -> None:
    with run_one.database.writing() as connection:
        first = connection.scalars(select(EVENTS.c.id).order_by(EVENTS.c.id)).first()
        connection.execute(update(EVENTS).where(EVENTS.c.id == first).values(raw=b"\x01" + bytes(60)))

    with pytest.raises(SealKeyError, match="lacks key 00000000"):  # a key may be found again
        run_one.run()
    with run_one.database.writing() as connection:
        broken = bytes([1]) + bytes.fromhex(OLD.current) + bytes(60)
        connection.execute(update(EVENTS).where(EVENTS.c.id == first).values(raw=broken))
    run_one.run()

    assert run_one.done["events that do not open"] == 1
    assert run_one.done["events"] == 149


def test_a_history_without_events_has_nobodys_name_left(run_one: Reindex) -> None:
    with run_one.database.writing() as connection:
        users = connection.scalars(select(EVENTS.c.user_ref).where(EVENTS.c.user_ref.is_not(None))).all()
        removal.empty(connection, removal.events_of(connection, users[0], None, 1000))

    run_one.run()

    assert run_one.done["histories without events"] == 1


# --- the command --------------------------------------------------------------------------------------------------


def test_all_commands_go_on_under_the_new_key(
    run: Run, home: Path, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("keys", "create", "--scope", "score") == 0
    settings = load()
    with closing(open_store(settings)) as store:
        engine = Engine(store, locator_of(world), default_policy(), open_seal(settings, store))
        engine.run(arrivals_of([login("ana", 1), login("ben", 2), login("ana", 3)]))
    before = Keys.read(settings.key_file)

    assert run("keys", "reindex") == 0

    said = capsys.readouterr().err
    after = Keys.read(settings.key_file)
    assert "3  events\n" in said
    assert "events/s" in said
    assert after.index != before.index
    assert (after.seal, after.next_index) == (before.seal, None)
    assert run("doctor") == 0
    assert run("audit", "verify") == 0
    assert run("audit", "list") == 0
    assert "seal.reindex" in capsys.readouterr().out
    assert run("export", "ana") == 0
    assert len(json.loads(capsys.readouterr().out)["events"]) == 2
    assert run("keys", "rotate") == 0
    assert run("keys", "reindex") == 0


def test_a_run_whose_last_step_was_missing_is_ended(run: Run, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("keys", "create", "--scope", "score") == 0
    settings = load()
    keys = Keys.read(settings.key_file)
    settings.key_file.unlink()
    new = keys.reindexing().reindexed()
    new.write(settings.key_file)
    with closing(opened_alone(settings.database_url, 1.0)) as database:
        Reindex(database, Seal(new), home / "journal").run()
    capsys.readouterr()

    assert run("keys", "list") == 0
    assert run("keys", "status") == 4
    assert "between two index keys: run `riskengine keys reindex`" in capsys.readouterr().err
    assert run("keys", "reindex") == 0
    assert run("keys", "status") == 0


def test_keys_kept_elsewhere_are_printed_before_and_after(
    run: Run, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKENGINE_KEYS", Keys.generate().text())
    assert run("keys", "create", "--scope", "score") == 0
    capsys.readouterr()

    assert run("keys", "reindex") == 0
    first = capsys.readouterr().out
    assert run("doctor") == 0
    capsys.readouterr()
    monkeypatch.setenv("RISKENGINE_KEYS", first)
    assert run("keys", "reindex") == 0
    second = capsys.readouterr().out

    assert json.loads(second)["index"] == json.loads(first)["next_index"]
    assert run("keys", "status") == 4
    monkeypatch.setenv("RISKENGINE_KEYS", second)
    assert run("keys", "status") == 0


@pytest.mark.timeout(300)  # seven processes one after the other
def test_a_running_server_refuses_it_and_a_killed_one_goes_on_where_it_was(tmp_path: Path, world: World) -> None:
    settings = settings_of(tmp_path / "home", world)
    with serving(settings) as served:
        count = asyncio.run(log_in(served, 0, 1500))
        before = Keys.read(settings.key_file)
        refused = command(settings, "keys", "reindex")
        assert (refused.returncode, refused.stdout) == (5, "")
        assert "a server or another command has the database open" in refused.stderr
        assert Keys.read(settings.key_file) == before
        count += asyncio.run(log_in(served, 5000, 10))
        assert served.stop() == 0

    killed = [killed_after(settings, written) for written in (60_000, 200_000)]
    assert all(working is not None and working.wait() == -9 for working in killed)
    start = command(settings, "serve")
    assert start.returncode == 4
    assert "between two index keys" in start.stderr
    last = command(settings, "keys", "reindex")

    assert last.returncode == 0, last.stderr
    after = Keys.read(settings.key_file)
    assert (after.index != before.index, after.next_index) == (True, None)
    with serving(settings, served.token) as served:
        count += asyncio.run(log_in(served, 6000, 20))
        assert served.stop() == 0
    everything_reads(settings, count)


def killed_after(settings: Settings, written: int) -> "subprocess.Popen[bytes] | None":
    """Kill a run once it has written so many bytes; return its process, None where it was done before."""
    log = settings.home / "data" / "riskengine.db-wal"
    working, largest = rotating(settings, "reindex"), 0
    while largest < written:
        if working.poll() is not None:
            return None
        largest = max(largest, log.stat().st_size if log.exists() else 0)
        time.sleep(0.002)
    working.kill()
    return working
