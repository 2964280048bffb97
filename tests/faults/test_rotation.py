"""A new sealing key under load, and kill -9 of all processes while old rows are sealed anew."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from riskengine.keyring import Keys
from riskengine.store.database import opened
from riskengine.upkeep.resealing import used_keys
from tests.faults.client import Callers, Kept, play, until
from tests.faults.conftest import LONG, Make
from tests.faults.ledger import audit
from tests.faults.server import ROOT, Server

ROTATIONS = {"sqlite": 10, "postgresql": 10} if LONG else {"sqlite": 1, "postgresql": 1}
EVENTS = 5_000 if LONG else 1_000
# Callers leave the machine some time for the commands beside them.
CALLERS, PAUSE = 8, 0.03


def keys_of(server: Server) -> Keys:
    return Keys.read(server.home / "keys" / "seal.json")


def sealed_by(server: Server, key_id: str) -> int:
    """Return how many stored values a key sealed."""
    with closing(opened(server.database_url, 10.0)) as database:
        return sum(used_keys(database).get(key_id, {}).values())


async def command(server: Server, *words: str) -> str:
    """Run `riskengine keys …` to its end beside the callers; return what it said."""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "riskengine", "keys", *words],
        env=server.environment, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


async def interrupted_rotation(server: Server, callers: Callers) -> None:
    """Rotate under load, kill servers and command while they seal anew, and have it ended after the next start."""
    await callers.answered(EVENTS)
    before, workers = keys_of(server).current, server.workers()
    rotating = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "riskengine", "keys", "rotate"),
        env=server.environment, cwd=ROOT, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    await until(lambda: keys_of(server).current != before or rotating.returncode is not None)
    most = sealed_by(server, before)
    while (now := sealed_by(server, before)) >= most:
        most = now
        await asyncio.sleep(0.01)
    for pid in (rotating.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    await rotating.wait()
    await asyncio.to_thread(server.kill)
    assert 0 < sealed_by(server, before) < most
    await asyncio.to_thread(server.start)

    assert f"Key {before} stays: it sealed" in await command(server, "retire")
    assert before in keys_of(server).seal
    await command(server, "reseal", "--flat-out")
    assert f"Key {before} is retired" in await command(server, "retire")
    assert keys_of(server).seal.keys() == {keys_of(server).current}


@pytest.mark.timeout(1200 if LONG else 240)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_rotation_survives_kills_under_load_and_ends_with_one_key(make: Make, database: str) -> None:
    server = make(database, more={"RISKENGINE_WORKERS": "2"})

    async def scene() -> Kept:
        await asyncio.to_thread(server.start)
        callers = Callers(server.port, server.key, CALLERS, pause=PAUSE)
        for _ in range(ROTATIONS[database]):
            await interrupted_rotation(server, callers)
        await callers.answered(100)
        kept = await callers.stop()
        await callers.send_again()
        return kept

    kept = play(scene())
    assert server.stop() == 0

    stored = audit(server, kept)  # opens every value, with the one key that is left
    assert stored.keys() == kept.sent.keys() == kept.decided.keys()
