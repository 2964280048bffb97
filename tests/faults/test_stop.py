"""SIGTERM under load: /readyz says so first, whoever was accepted is answered, and the exit is 0."""

import asyncio

import pytest

from tests.faults.client import Callers, Kept, play, until
from tests.faults.conftest import LONG, Make
from tests.faults.ledger import audit

ROUNDS = 10 if LONG else 1


@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_stop_under_load_drops_nothing(make: Make, round: int) -> None:
    server = make(more={"RISKENGINE_DRAIN_SECONDS": "1.5"})

    async def scene() -> tuple[Kept, int]:
        await asyncio.to_thread(server.start)
        callers = Callers(server.port, server.key, 32)
        await callers.answered(100)
        assert server.process is not None
        server.terminate()
        await until(lambda: server.ready() == (503, ["stopping"]), 10)
        answered = len(callers.kept.answers)
        await callers.answered(30)  # a load balancer has not noticed yet: they are still served
        assert len(callers.kept.answers) > answered
        code = await asyncio.to_thread(server.process.wait, 30)
        await until(lambda: len(callers.kept.answers) + len(callers.kept.lost) >= len(callers.kept.sent))
        return await callers.stop(), code

    kept, code = play(scene())
    assert code == 0
    assert {answer.status for answer in kept.answers.values()} == {200}
    stored = audit(server, kept)
    dropped = kept.lost & stored.keys()
    assert not dropped, "what was stored was answered"
