"""kill -9 under load: what was answered is stored, nothing is half there, and the next process goes on."""

import asyncio
import random

import pytest

from tests.faults.client import Callers, Kept, play
from tests.faults.conftest import LONG, Make
from tests.faults.ledger import audit

KILLS = {"sqlite": 50, "postgresql": 50} if LONG else {"sqlite": 3, "postgresql": 1}


@pytest.mark.timeout(1200 if LONG else 120)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_was_answered_before_a_kill_is_stored_whole(make: Make, database: str) -> None:
    server = make(database)
    chance = random.Random(7)

    async def scene() -> tuple[Kept, set[str]]:
        server.start()
        callers = Callers(server.port, server.key, 16)
        for _ in range(KILLS[database]):
            await callers.answered(60 + chance.randrange(120))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        kept = await callers.stop()
        return kept, await callers.send_again()

    kept, again = play(scene())
    assert server.stop() == 0

    stored = audit(server, kept)
    assert len(again) >= KILLS[database], "every kill hit a call under way"
    assert stored.keys() == kept.sent.keys() == kept.decided.keys()
