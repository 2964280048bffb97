"""The real command over a running server: a rotation under load, with deaths in between."""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from riskengine.engine.saved import opened, raw_of
from riskengine.keyring import Keys
from riskengine.seal import Seal
from riskengine.settings import Settings
from riskengine.store.sql import SqlStore
from tests.fixtures_geo import World
from tests.served import Caller, Served, environment_of, serving, settings_of

EVENTS = 600
MOST = 0.9


def command(settings: Settings, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "riskengine", *words],
        env=environment_of(settings), capture_output=True, text=True, check=False,
    )  # fmt: skip


def rotating(settings: Settings, *words: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "riskengine", "keys", *words], env=environment_of(settings), stderr=subprocess.DEVNULL
    )


async def log_in(served: Served, first: int, count: int, until: Callable[[], bool] = lambda: False) -> int:
    """Send logins by eight connections; return how many were answered, each as it should be, and are in the store.

    A machine that other tests keep busy makes the store too slow now and then: a few are answered without it.
    """
    numbers = iter(range(first, first + count))
    sources: Counter[str] = Counter()

    async def caller() -> None:
        connection = await Caller(served).connect()
        for number in numbers:
            answer = await connection.score({"user_id": f"u{number % 50}", "ip": "192.0.2.1", "event_id": f"e{number}"})
            sources[answer["source"]] += 1
            if until():
                break
        connection.close()

    await asyncio.gather(*(caller() for _ in range(8)))
    assert sources["engine"] >= MOST * sources.total(), sources
    await asyncio.to_thread(served.until_drained)
    return sources.total()


def begun(served: Served) -> "subprocess.Popen[bytes]":
    """Begin a rotation; return its process as soon as the new key is in the file."""
    first = Keys.read(served.settings.key_file).current
    working = rotating(served.settings, "rotate")
    end = time.monotonic() + 60
    while Keys.read(served.settings.key_file).current == first:
        assert time.monotonic() < end
        time.sleep(0.01)
    return working


def everything_reads(settings: Settings, count: int) -> None:
    """Assert that all events open with the keys that are left, and that these are one."""
    keys = Keys.read(settings.key_file)
    assert len(keys.seal) == 1
    store, seal = SqlStore(settings.database_url), Seal(keys)
    rows = list(store.events())
    store.close()
    assert len(rows) == count
    for row in rows:
        assert raw_of(row, seal)["user_id"].startswith("u")
        assert opened(row, seal)["answer"]["decision"] == row.decision


def test_a_rotation_under_load_survives_deaths_and_ends_with_one_key(tmp_path: Path, world: World) -> None:
    settings = settings_of(tmp_path / "home", world)
    with serving(settings) as served:
        count = asyncio.run(log_in(served, 0, EVENTS))
        first = Keys.read(settings.key_file).current
        working = begun(served)
        time.sleep(0.1)
        working.kill()
        working.wait()
        served.process.kill()  # the server too, which goes on with it
        served.process.wait()
    assert f"Key {first} stays: it sealed" in command(settings, "keys", "retire").stderr
    with serving(settings, served.token) as served:
        working = rotating(settings, "reseal")
        count += asyncio.run(log_in(served, 100_000, 20_000, lambda: working.poll() is not None))
        assert working.wait() == 0

        retired = command(settings, "keys", "retire")

        assert f"Key {first} is retired" in retired.stderr
        count += asyncio.run(log_in(served, 300_000, 50))
        assert served.stop() == 0
    everything_reads(settings, count)


def test_on_postgresql_a_running_server_takes_up_the_key(tmp_path: Path, world: World, postgres_url: str) -> None:
    settings = settings_of(tmp_path / "home", world, database_url=postgres_url)
    with serving(settings) as served:
        count = asyncio.run(log_in(served, 0, EVENTS))
        first = Keys.read(settings.key_file).current
        working = begun(served)
        count += asyncio.run(log_in(served, 100_000, 20_000, lambda: working.poll() is not None))
        assert working.wait() == 0
        served.until_logged("sealing keys taken up")
        retired = command(settings, "keys", "retire")
        assert f"Key {first} is retired" in retired.stderr
        assert served.stop() == 0
    everything_reads(settings, count)
