"""One event that breaks the engine, among 64: it alone gets an error, and nobody else notices."""

import asyncio
from typing import Any

from tests.faults.client import Kept, Line, ask_once, login, play, request_of
from tests.faults.conftest import Make
from tests.faults.ledger import audit
from tests.faults.poisoned import POISONED

COUNT = 64


def test_one_poisoned_event_of_64_fails_alone(make: Make) -> None:
    """See tests/faults/poisoned.py for what the poison is, and why it cannot come from a request alone."""
    server = make(program=("-m", "tests.faults.poisoned"))

    async def singly(bodies: list[dict[str, Any]]) -> Kept:
        """Send each on a connection of its own, all at once, so that they meet in the queue."""
        kept = Kept(sent={body["event_id"]: body for body in bodies})
        lines = [await Line.to(server.port) for _ in bodies]
        requests = [request_of(server.key, body) for body in bodies]
        answers = await asyncio.gather(*(line.ask(one) for line, one in zip(lines, requests, strict=True)))
        kept.answers = dict(zip(kept.sent, answers, strict=True))
        for line in lines:
            line.close()
        return kept

    async def scene() -> Kept:
        await asyncio.to_thread(server.start)
        bodies = [login(event_id=f"one-{number}", outcome="success") for number in range(COUNT)]
        bodies[31] |= {"device_id": POISONED}
        kept = await singly(bodies)
        assert kept.answers.pop("one-31").status == 500
        del kept.sent["one-31"]
        assert len(kept.decided) == COUNT - 1

        together = [login(event_id=f"of-{number}", outcome="success") for number in range(COUNT)]
        together[31] |= {"device_id": POISONED}
        answer = await ask_once(server.port, server.key, {"events": together}, "/score/batch")
        members = answer.body["answers"]
        assert members[31]["problem"]["status"] == 500
        assert [member.get("event_id") for member in members[:31] + members[32:]] == [
            f"of-{number}" for number in range(COUNT) if number != 31
        ]
        stored = {body["event_id"]: body for body in together if body["device_id"] != POISONED}
        kept.sent |= stored
        assert {member["source"] for member in members if "source" in member} == {"engine"}
        assert server.ready()[0] == 200
        assert await asyncio.to_thread(server.stop) == 0
        return kept

    kept = play(scene())
    assert audit(server, kept).keys() == kept.sent.keys()
