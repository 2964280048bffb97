"""Geolocation files that change under a server in use: a new edition, half a file, and one that moves the world."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from riskengine.locate.status import status
from tests.faults.client import Callers, ask_once, play, until
from tests.faults.conftest import Make
from tests.faults.server import ROOT, Server
from tests.fixtures_geo import NEW_YORK, WORLD, Record, write_city_db, write_world

JERSEY_CITY: Record = {**NEW_YORK, "city": "Jersey City", "longitude": -74.08}
EDITION = {net: JERSEY_CITY if place is NEW_YORK else place for net, place in WORLD.items()}
# Every place is where the next one was.
WRONG = dict(zip(WORLD, [*list(EDITION.values())[3:], *list(EDITION.values())[:3]], strict=True))


def swap(path: Path, networks: Mapping[str, Record], cut: int | None = None) -> None:
    """Put a new file, or its first half, in a file's place as an updater does: in one step."""
    fresh = path.with_suffix(".fresh")
    write_city_db(fresh, networks)
    if cut is not None:
        fresh.write_bytes(fresh.read_bytes()[: fresh.stat().st_size // cut])
    fresh.replace(path)


async def command(server: Server, *words: str) -> str:
    """Run `riskengine …` over the server's home and return all it says."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "riskengine", *words],
        env=server.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


def test_new_files_under_a_server_in_use(make: Make, tmp_path: Path) -> None:
    world = write_world(tmp_path / "own")
    server = make(world=world, more={"RISKENGINE_RELOAD_SECONDS": "0.1"})

    async def city() -> str:
        body = {"user_id": "one", "ip": "192.0.2.10"}
        return str((await ask_once(server.port, server.key, body, "/score/preview")).body["location"]["city"])

    async def becomes(name: str) -> None:
        for _ in range(300):
            if await city() == name:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"it is {await city()}, not {name}: {server.told()}")

    async def scene() -> None:
        await asyncio.to_thread(server.start)
        callers = Callers(server.port, server.key, 4, pause=0.02)
        assert await city() == "New York"

        swap(world.city, EDITION, cut=2)
        await until(lambda: "is not a whole MaxMind-format file" in server.told())
        assert await city() == "New York", "half a file changes nothing"
        swap(world.city, EDITION)
        await becomes("Jersey City")

        swap(world.city, WRONG)
        await until(lambda: server.metric("riskengine_geolocation_held") == 1)
        assert "held back" in server.told()
        assert "held back" in await command(server, "geo", "status")
        assert await city() == "Jersey City"
        assert str(world.city) in await command(server, "geo", "accept")
        await becomes(WRONG["192.0.2.0/26"]["city"])
        await until(lambda: server.metric("riskengine_geolocation_held") == 0)
        assert not any("held back" in line for line in status(server.home, world.city).warnings)
        kept = await callers.stop()
        assert {answer.status for answer in kept.answers.values()} == {200}
        assert not kept.lost
        assert await asyncio.to_thread(server.stop) == 0

    play(scene())
