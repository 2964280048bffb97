"""The journal outlives kill -9 and a torn last record, and the next process under the same home adopts it."""

import asyncio

from riskengine.journal import SUFFIX
from tests.faults.client import Callers, Kept, play, until
from tests.faults.conftest import Make
from tests.faults.holder import Holder
from tests.faults.ledger import audit


def test_a_journal_left_by_a_kill_is_adopted(make: Make) -> None:
    """Killed while the store is held, so that what was answered lies in the journal only."""
    server = make()
    folder = server.home / "journal"

    async def scene() -> Kept:
        holder = Holder(server.home / "data" / "riskengine.db")
        await asyncio.to_thread(server.start)
        callers = Callers(server.port, server.key, 8)
        await callers.answered(40)
        await holder.hold()
        await until(lambda: callers.kept.sources["fallback"] >= 60)
        await asyncio.to_thread(server.kill)
        await holder.let_go()
        files = sorted(folder.glob(f"*{SUFFIX}"))
        assert files, "what was answered is on disk"
        with files[-1].open("r+b") as last:
            # A record that the kill (or a power cut) interrupted: whole ones are synced before they are answered.
            begun = last.read()[20:70]
            last.write(begun)
        await asyncio.to_thread(server.start)
        await until(lambda: server.metric("riskengine_journal_pending") == 0)
        await callers.answered(40)
        kept = await callers.stop()
        assert await asyncio.to_thread(server.stop) == 0
        return kept

    kept = play(scene())
    stored = audit(server, kept)
    assert sum(answer["source"] == "fallback" for answer in stored.values()) >= 60
    assert not list(folder.iterdir()), "drained and gone"
