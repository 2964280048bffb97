"""`riskengine backup` and `riskengine restore`: all that is stored as one file, and back."""

import asyncio
import json
import shutil
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from riskengine.app import make_home, open_seal, open_store
from riskengine.engine.engine import Engine
from riskengine.engine.saved import items_of, opened
from riskengine.history.learn import fold
from riskengine.history.record import pack
from riskengine.journal import Journal
from riskengine.keyring import Keys
from riskengine.seal import Seal
from riskengine.settings import Settings, load
from riskengine.store.contract import EventRow
from riskengine.store.sql import SqlStore
from tests.doors import arrivals_of, default_policy, locator_of
from tests.fixtures_geo import World
from tests.served import Caller, Served, environment_of, serving, settings_of
from tests.test_cli import Run
from tests.upkeep.test_keys_served import MOST, command, log_in
from tests.upkeep.test_person import login

QUIET = {"user_id": "ana", "ip": "198.51.100.10", "device_id": "d1", "event_id": "quiet-1"}
LATER = QUIET | {"ip": "203.0.113.10", "event_id": "later", "occurred_at": "2026-03-04T09:15:31.500Z"}


async def ask(served: Served, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    caller = await Caller(served).connect()
    answers = [await caller.score(body) for body in bodies]
    caller.close()
    return answers


def elsewhere(settings: Settings, home: Path, world: World, **given: Any) -> Settings:
    """Return settings over a new home, in which the key file lies already."""
    other = settings_of(home, world, **given)
    other.key_file.parent.mkdir(parents=True)
    shutil.copy(settings.key_file, other.key_file)
    return other


def body(number: int) -> dict[str, Any]:
    """Return what `log_in` sends under a number."""
    return {"user_id": f"u{number % 50}", "ip": "192.0.2.1", "event_id": f"e{number}"}


def test_a_backup_under_load_answers_elsewhere_as_the_server_did(tmp_path: Path, world: World) -> None:
    settings, file = settings_of(tmp_path / "home", world), tmp_path / "one.tar"
    with serving(settings) as served:
        asyncio.run(log_in(served, 0, 200))
        before = asyncio.run(ask(served, [QUIET, body(7), body(199)]))
        taking = subprocess.Popen(
            [sys.executable, "-m", "riskengine", "backup", str(file)],
            env=environment_of(settings), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        during = asyncio.run(log_in(served, 1000, 20_000, lambda: taking.poll() is not None))
        said = taking.communicate()[1]
        assert taking.returncode == 0, said
        later = asyncio.run(ask(served, [LATER]))

    other = elsewhere(settings, tmp_path / "other", world)
    restored = command(other, "restore", str(file))
    assert restored.returncode == 0, restored.stderr
    with serving(other, served.token) as again:
        assert asyncio.run(ask(again, [QUIET, body(7), body(199)])) == before
        assert asyncio.run(ask(again, [LATER])) == later

    assert during > 10, "logins went on meanwhile"
    rows = whole(other)
    assert 201 < len(rows) <= 202 + during
    assert sum(row.source == "engine" for row in rows) >= MOST * len(rows)


def whole(settings: Settings) -> list[EventRow]:
    """Return the events of a store, each of which opens, and whose histories are what they amount to."""
    seal = Seal(Keys.read(settings.key_file))
    with closing(SqlStore(settings.database_url)) as store:
        rows = list(store.events())
        assert all(opened(row, seal)["answer"]["decision"] == row.decision for row in rows)
        users = sorted({row.user_ref for row in rows if row.user_ref})
        with store.transaction() as tx:
            for user, kept in tx.load_histories(users).items():
                [folded] = pack(fold(items_of(*tx.items_of(user), seal)))
                assert seal.open(kept.record, kept.realm, "history", user) == folded
    return rows


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.fixture
def backed_up(run: Run, home: Path, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A backup of some logins and of a record that waits in the journal."""
    assert run("keys", "create", "--scope", "score") == 0
    filled(load(), world)
    with closing(Journal(home / "journal", Seal(Keys.read(home / "keys" / "seal.json")))) as journal:
        journal.append([b"waits"])
    assert run("backup", str(tmp_path / "one.tar")) == 0
    return tmp_path / "one.tar"


def filled(settings: Settings, world: World) -> None:
    with closing(open_store(settings)) as store:
        engine = Engine(store, locator_of(world), default_policy(), open_seal(settings, store))
        engine.run(arrivals_of([login(user, number) for number in range(30) for user in ("ana", "ben")]))


@pytest.fixture
def target(backed_up: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another home, with the key file."""
    other = tmp_path / "other"
    monkeypatch.setenv("RISKENGINE_HOME", str(other))
    make_home(load())
    shutil.copy(home / "keys" / "seal.json", other / "keys")
    return other


def left(home: Path) -> list[str]:
    """Return the files of a home, all but its keys."""
    return sorted(path.name for path in home.rglob("*") if path.is_file() and path.parent.name != "keys")


def test_it_says_what_it_holds_and_what_is_needed_beside_it(
    backed_up: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = capsys.readouterr()
    keys = Keys.read(home / "keys" / "seal.json")

    assert said.out.splitlines()[-1] == str(backed_up)
    assert "60 events, 2 histories, 1 journal records." in said.err
    assert f"- the keys (key {keys.current} and the index key, as {home / 'keys' / 'seal.json'} holds them)" in said.err
    assert "GeoLite2" in said.err or "city.mmdb" in said.err
    assert "RISKENGINE_GEOIP_CITY" in said.err
    assert stat.S_IMODE(backed_up.stat().st_mode) == 0o600
    content = backed_up.read_bytes()
    for secret in (keys.index, *keys.seal.values()):
        assert secret not in content
        assert json.loads(keys.text())["index"].encode() not in content
    assert b"ana" not in content
    assert sorted(path.name for path in backed_up.parent.iterdir()) == ["home", "one.tar"]


def test_it_comes_back_whole_with_what_waited(target: Path, backed_up: Path, home: Path, run: Run) -> None:
    assert run("restore", str(backed_up)) == 0

    seal = Seal(Keys.read(target / "keys" / "seal.json"))
    with closing(Journal(target / "journal", seal)) as journal:
        assert list(journal.waiting()) == [b"waits"]
    assert run("doctor") == 0
    assert run("audit", "verify") == 0
    with (
        closing(SqlStore(load().database_url)) as store,
        closing(SqlStore(f"sqlite:///{home}/data/riskengine.db")) as old,
    ):
        assert list(store.events()) == list(old.events())


def test_nothing_is_restored_over_anything(
    target: Path, backed_up: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (target / "data" / "riskengine.db-wal").write_bytes(b"")
    assert run("restore", str(backed_up)) == 1
    (target / "data" / "riskengine.db-wal").unlink()
    waiting = target / "journal" / "1-a.journal"
    waiting.write_bytes(b"another's")
    assert run("restore", str(backed_up)) == 1
    waiting.unlink()
    assert run("restore", str(backed_up)) == 0
    before = left(target)
    assert run("restore", str(backed_up)) == 1
    assert "nothing is restored over a database" in capsys.readouterr().err
    assert left(target) == before
    assert run("backup", str(backed_up)) == 1
    assert "is not overwritten" in capsys.readouterr().err


@pytest.mark.parametrize("keys", ["none", "others"])
def test_without_its_keys_nothing_is_restored(
    keys: str, target: Path, backed_up: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (target / "keys" / "seal.json").unlink()
    if keys == "others":
        Keys.generate().write(target / "keys" / "seal.json")

    assert run("restore", str(backed_up)) == 4

    said = capsys.readouterr().err
    assert "Without it nothing personal in the backup can ever be read" in said or "lacks" in said
    assert left(target) == []


def test_a_key_file_with_the_right_names_and_other_keys_is_refused(target: Path, backed_up: Path, run: Run) -> None:
    file = target / "keys" / "seal.json"
    other = Keys.generate()
    right = Keys.read(file)
    file.unlink()
    Keys(right.current, right.index, {right.current: other.seal[other.current]}).write(file)

    assert run("restore", str(backed_up)) == 4
    assert left(target) == []


@pytest.mark.parametrize("part", ["database.db", "journal", "manifest.json", "end"])
def test_a_damaged_backup_is_refused(part: str, target: Path, backed_up: Path, run: Run) -> None:
    content = bytearray(backed_up.read_bytes())
    with tarfile.open(backed_up) as tar:
        places = {member.name: member.offset_data + member.size // 2 for member in tar.getmembers()}
    if part == "end":
        del content[places["database.db"] :]
    else:
        at = next(place for name, place in places.items() if name.startswith(part))
        content[at] ^= 0xFF
    backed_up.write_bytes(content)

    assert run("restore", str(backed_up)) == 4
    assert left(target) == []


def test_a_file_that_is_none_is_refused(target: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "x.tar").write_bytes(b"no backup" * 1000)

    assert run("restore", str(tmp_path / "x.tar")) == 4


def test_with_keys_it_opens_by_itself_and_says_so(
    target: Path,
    home: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RISKENGINE_HOME", str(home))
    (tmp_path / "all").mkdir()
    assert run("backup", str(tmp_path / "all"), "--with-keys") == 0
    assert "who has it reads everything" in capsys.readouterr().err
    [file] = (tmp_path / "all").iterdir()
    monkeypatch.setenv("RISKENGINE_HOME", str(target))
    (target / "keys" / "seal.json").unlink()

    assert run("restore", str(file)) == 0

    assert Keys.read(target / "keys" / "seal.json") == Keys.read(home / "keys" / "seal.json")
    assert run("doctor") == 0


def test_the_policy_files_come_along(
    target: Path,
    home: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    policy = tmp_path / "mine.toml"
    shutil.copy(Path(__file__).parent.parent.parent / "data" / "policy.toml", policy)
    monkeypatch.setenv("RISKENGINE_HOME", str(home))
    monkeypatch.setenv("RISKENGINE_POLICY", str(policy))
    assert run("backup", str(tmp_path / "two.tar")) == 0
    monkeypatch.setenv("RISKENGINE_HOME", str(target))

    assert run("restore", str(tmp_path / "two.tar")) == 0

    assert f"set RISKENGINE_POLICY to {target / 'policy.toml'}" in capsys.readouterr().err
    assert (target / "policy.toml").read_bytes() == policy.read_bytes()


def test_a_restore_that_is_killed_leaves_nothing_and_is_begun_again(target: Path, backed_up: Path, run: Run) -> None:
    database = target / "data" / "riskengine.db"
    draft = database.with_name("riskengine.db.restoring")
    working = subprocess.Popen([sys.executable, "-m", "riskengine", "restore", str(backed_up)])
    end = time.monotonic() + 30
    while not draft.exists() and working.poll() is None:
        assert time.monotonic() < end
    working.kill()
    killed = working.wait() != 0

    assert killed != database.exists()
    if killed:
        assert run("restore", str(backed_up)) == 0
    assert not draft.exists()
    assert run("audit", "verify") == 0


# --- PostgreSQL ---------------------------------------------------------------------------------------------------


@pytest.fixture
def on_postgresql(home: Path, run: Run, world: World, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKENGINE_DATABASE_URL", postgres_url)
    assert run("keys", "generate") == 0
    assert run("keys", "create", "--scope", "score") == 0
    filled(load(), world)


@pytest.mark.usefixtures("on_postgresql", "postgres_programs")
def test_a_postgresql_database_comes_back_by_its_own_programs(
    run: Run, tmp_path: Path, postgres_url: str, postgres_empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "one.tar"
    assert run("backup", str(file)) == 0
    assert run("restore", str(file)) == 1, "the database is there"
    monkeypatch.setenv("RISKENGINE_DATABASE_URL", postgres_empty_url)

    assert run("restore", str(file)) == 0

    assert run("db", "status") == 0
    assert run("audit", "verify") == 0
    with closing(SqlStore(postgres_empty_url)) as store, closing(SqlStore(postgres_url)) as old:
        assert list(store.events()) == list(old.events())
        assert store.counts()["events"] == 60


@pytest.mark.usefixtures("on_postgresql")
def test_without_those_programs_it_says_what_to_install(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert run("backup", str(tmp_path / "one.tar")) == 1

    assert "pg_dump is not on the PATH: install" in capsys.readouterr().err
    assert not (tmp_path / "one.tar").exists()
