"""Neither store nor journal can be written: nobody is answered, nobody is sent here, and it passes by itself."""

import asyncio
from pathlib import Path

from tests.faults.client import Callers, Kept, ask_once, login, play, until
from tests.faults.conftest import Make
from tests.faults.disk import SmallDisk, read_only
from tests.faults.holder import Holder
from tests.faults.ledger import audit
from tests.faults.server import Server


async def _refused(server: Server, callers: Callers) -> None:
    """Wait until the server has turned callers away and says that it is not ready; hold it to what a caller is told."""
    seen = len(callers.kept.refused(503))
    await until(lambda: len(callers.kept.refused(503)) >= seen + 20)
    await until(lambda: server.ready() == (503, ["neither the store nor the journal can be written"]))
    answer = await ask_once(server.port, server.key, login())
    assert (answer.status, answer.retry_after) == (503, 1)
    assert answer.body["code"] == "store-unavailable"
    assert answer.seconds < 1.0


async def _decided(server: Server, callers: Callers) -> None:
    """Wait until the server is ready again and has answered callers."""
    await until(lambda: server.ready()[0] == 200)
    enough = callers.kept.sources.total() + 40
    await callers.until(lambda kept: kept.sources.total() >= enough)


def test_a_full_disk(make: Make, tmp_path: Path) -> None:
    async def scene(server: Server, disk: SmallDisk) -> Kept:
        await asyncio.to_thread(server.start)
        callers = Callers(server.port, server.key, 8, pause=0.005)
        await _decided(server, callers)
        disk.fill(server)
        await _refused(server, callers)
        disk.clear(server)
        await _decided(server, callers)
        kept = await callers.stop()
        await until(lambda: server.metric("riskengine_journal_pending") == 0)
        assert await asyncio.to_thread(server.stop) == 0
        return kept

    with SmallDisk.at(tmp_path / "disk") as disk:
        server = make(home=disk.folder / "home")
        kept = play(scene(server, disk))
        stored = audit(server, kept)
    answered = {event_id for event_id, answer in kept.answers.items() if answer.status == 200}
    assert stored.keys() == answered, "what was refused is not there"


def test_a_held_database_beside_a_read_only_folder(make: Make) -> None:
    server = make()

    async def scene() -> Kept:
        holder = Holder(server.home / "data" / "riskengine.db")
        await asyncio.to_thread(server.start)
        callers = Callers(server.port, server.key, 8, pause=0.005)
        await _decided(server, callers)
        with read_only(server.home / "journal"):
            await _decided(server, callers)  # the store alone will do
            await holder.hold()
            await _refused(server, callers)
        await _decided(server, callers)  # the journal alone will do
        await holder.let_go()
        await until(lambda: server.metric("riskengine_journal_pending") == 0)
        await _decided(server, callers)
        kept = await callers.stop()
        assert await asyncio.to_thread(server.stop) == 0
        return kept

    kept = play(scene())
    audit(server, kept)
    assert {answer["source"] for answer in kept.decided.values()} == {"engine", "fallback"}
