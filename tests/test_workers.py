"""Several workers on one address: started, started again, stopped, and told of changes, all of them."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from riskengine.cli import workers
from riskengine.journal import Journal
from riskengine.seal import Keys, Seal
from riskengine.settings import Settings
from tests.fixtures_geo import World
from tests.served import Caller, Served, environment_of, serving, settings_of

CONNECTIONS = 12
LOGIN = {"user_id": "ana", "ip": "192.0.2.10"}


@pytest.fixture
def settings(tmp_path: Path, world: World) -> Settings:
    return settings_of(tmp_path / "home", world, workers=2)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Served]:
    """One server for the tests that leave it as they found it."""
    with serving(settings_of(tmp_path_factory.mktemp("home"), world, workers=2)) as served:
        yield served


def command(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "riskengine", *words],
        env=environment_of(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def modes(served: Served) -> set[str]:
    """Return the modes in force over many new connections, which reach every worker."""
    found = set()
    for _ in range(CONNECTIONS):
        caller = await Caller(served).connect()
        found.add((await caller.score(LOGIN))["policy"]["mode"])
        caller.close()
    return found


async def readiness(served: Served) -> list[int]:
    callers = [await Caller(served).connect() for _ in range(CONNECTIONS)]
    found = [(await caller.get("/readyz"))[0] for caller in callers]
    for caller in callers:
        caller.close()
    return found


def until(done: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_an_activated_policy_reaches_every_worker(served: Served) -> None:
    assert asyncio.run(modes(served)) == {"enforce"}

    assert command(served.settings, "policy", "mode", "observe").returncode == 0

    until(lambda: asyncio.run(modes(served)) == {"observe"})


def test_a_worker_that_is_killed_is_started_again_and_its_journal_adopted(served: Served) -> None:
    first, other = served.workers()
    keys = Keys.read(served.settings.key_file)
    journal = Journal(served.settings.home / "journal", Seal(keys))
    journal.append([b"what a dead process left"])
    journal.close()

    os.kill(first, signal.SIGKILL)
    served.until_logged("ready", times=3)
    served.until_logged("worker ended")

    assert served.lines("worker ended")[0]["worker"] == first
    assert served.lines("worker ended")[0]["code"] == -signal.SIGKILL
    assert other in served.workers()
    assert len(served.workers()) == 2
    # Not one of ours, so it is refused and put aside: somebody took it up.
    until(lambda: [file.suffix for file in (served.settings.home / "journal").iterdir()] == [".damaged"])
    assert asyncio.run(readiness(served)) == [200] * CONNECTIONS


def test_a_signal_drains_all_and_ends_with_0(tmp_path: Path, world: World) -> None:
    with serving(settings_of(tmp_path / "home", world, workers=2, drain_seconds=2)) as served:

        async def under_way() -> list[int]:
            callers = [await Caller(served).connect() for _ in range(CONNECTIONS)]
            for caller in callers:
                await caller.score(LOGIN)
            served.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.7)
            found = [(await caller.get("/readyz"))[0] for caller in callers]
            found += [(await caller.post("/score", LOGIN))[0] for caller in callers]
            for caller in callers:
                caller.close()
            return found

        assert asyncio.run(under_way()) == [503] * CONNECTIONS + [200] * CONNECTIONS
        assert served.process.wait(60) == 0
        assert len(served.lines("stopped")) == 2


def test_a_second_signal_ends_at_once(tmp_path: Path, world: World) -> None:
    with serving(settings_of(tmp_path / "home", world, workers=2, drain_seconds=60)) as served:
        served.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        began = time.monotonic()

        assert served.stop(signal.SIGINT) == 0

        assert time.monotonic() - began < 20


def test_workers_whose_parent_dies_stop_and_leave_the_address_free(settings: Settings) -> None:
    with serving(settings) as served:
        running = served.workers()

        served.process.kill()
        served.process.wait()

        until(lambda: not [pid for pid in running if Path(f"/proc/{pid}").exists()])
        with socket.create_server(("127.0.0.1", served.settings.port)):
            pass


def test_a_second_server_on_the_same_address_is_refused(served: Served) -> None:
    other = served.settings.model_copy(update={"home": served.settings.home.parent / "other"})

    found = command(other, "serve")

    assert found.returncode == 4
    assert f"RISKENGINE_PORT {other.port}" in found.stderr
    assert found.stderr.count("\n") == 1


def test_what_stops_the_start_is_one_sentence_and_no_worker_is_started(tmp_path: Path, world: World) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("name = 1")
    wrong = settings_of(tmp_path / "home", world, workers=3, policy=policy)

    found = command(wrong, "serve")

    assert found.returncode == 4
    assert "policy.toml" in found.stderr
    assert found.stderr.count("\n") == 1


def test_workers_that_cannot_start_end_all_and_are_not_started_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "WORKER", "riskengine.cli.none")

    assert workers.supervise(settings) == 1

    # Once each, unless it was stopped before it got so far.
    assert 1 <= capfd.readouterr().err.count("No module named riskengine.cli.none") <= settings.workers


async def blocked(served: Served, login: dict[str, str]) -> set[bool]:
    """Return whether a block holds a login, over many new connections, which reach every worker."""
    found = set()
    for _ in range(CONNECTIONS):
        caller = await Caller(served).connect()
        status, answer = await caller.post("/score/preview", login)
        assert status == 200, answer
        found.add("blocked" in [reason["code"] for reason in answer["reasons"]])
        caller.close()
    return found


def test_a_block_reaches_every_worker_within_5_seconds_and_its_end_too(served: Served) -> None:
    login = {"user_id": "ben", "ip": "198.51.100.10"}
    assert asyncio.run(blocked(served, login)) == {False}

    added = command(served.settings, "block", "add", "user:ben", "--for", "1h", "--why", "ticket 4711")

    assert added.returncode == 0, added.stderr
    until(lambda: asyncio.run(blocked(served, login)) == {True}, 5)
    assert command(served.settings, "block", "lift", added.stdout.strip()).returncode == 0
    until(lambda: asyncio.run(blocked(served, login)) == {False}, 5)
