"""Clients that trickle, that connect and say nothing, and that go away: none of them is the others' problem."""

import asyncio
import json

import pytest

from tests.faults.client import HOST, Callers, Kept, Line, ask_once, login, play, request_of
from tests.faults.conftest import LONG, Make
from tests.faults.ledger import audit
from tests.faults.server import Server

HALF_OPEN = 300


async def _usual(server: Server) -> float:
    """Return the median seconds of some logins now."""
    callers = Callers(server.port, server.key, 4)
    await callers.answered(100)
    kept = await callers.stop()
    assert {answer.status for answer in kept.answers.values()} == {200}
    waits = sorted(answer.seconds for answer in kept.answers.values())
    return waits[len(waits) // 2]


async def _trickle(server: Server, request: bytes) -> int:
    """Send a login with half of its body a byte at a time; return the status of the answer."""
    reader, writer = await asyncio.open_connection(HOST, server.port)
    head = request.index(b"\r\n\r\n") + 4
    writer.write(request[:head])
    for byte in request[head : head + 40]:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)
    writer.write(request[head + 40 :])
    first = await reader.readline()
    writer.close()
    return int(first[9:12])


def test_slow_and_half_open_connections_hold_up_nobody(make: Make) -> None:
    """Hundreds that say nothing or stop in the middle, while others come and go as before."""
    server = make()

    async def scene() -> None:
        await asyncio.to_thread(server.start)
        before = await _usual(server)
        whole = request_of(server.key, login())
        parts = (b"", whole[:30], whole[: whole.index(b"\r\n\r\n") + 2], whole[:-10])
        held = []
        for number in range(HALF_OPEN):
            _, writer = await asyncio.open_connection(HOST, server.port)
            writer.write(parts[number % len(parts)])
            held.append(writer)
        slow = [asyncio.create_task(_trickle(server, whole)) for _ in range(8)]
        during = await _usual(server)
        assert during < 5 * before + 0.05, "who sends nothing costs nobody anything"
        assert server.ready()[0] == 200
        assert await asyncio.gather(*slow) == [200] * 8, "slow, but whole: the same login eight times"
        if not LONG:
            _drop(held)
        # A stop waits for bodies under way, ten seconds at most, and not for what never became a request.
        assert await asyncio.to_thread(server.stop) == 0
        _drop(held)

    play(scene())


def _drop(held: list[asyncio.StreamWriter]) -> None:
    for writer in held:
        writer.transport.abort()


@pytest.mark.skipif(not LONG, reason="it waits for the ten seconds that a body may take")
def test_a_body_that_never_ends_is_given_up(make: Make) -> None:
    server = make()

    async def scene() -> None:
        await asyncio.to_thread(server.start)
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(request_of(server.key, login())[:-10])
        first = await asyncio.wait_for(reader.readline(), 20)
        assert first.startswith(b"HTTP/1.1 408 ")
        writer.close()

    play(scene())


def test_a_client_that_goes_away_is_stored_once(make: Make) -> None:
    """It sends its login and hangs up without an answer; what it sends again gets the one that was stored."""
    server = make()

    async def scene() -> Kept:
        await asyncio.to_thread(server.start)
        kept = Kept()
        for number in range(60):
            body = login(event_id=f"gone-{number}")
            kept.sent[body["event_id"]] = body
            line = await Line.to(server.port)
            line.transport.write(request_of(server.key, body))
            if number % 2:
                await asyncio.sleep(number / 10_000)  # so that some go before, some in the middle of it
            line.close()
        for event_id, body in kept.sent.items():
            answers = await asyncio.gather(*(ask_once(server.port, server.key, body) for _ in range(3)))
            assert len({answer.content for answer in answers}) == 1
            kept.answers[event_id] = answers[0]
        assert await asyncio.to_thread(server.stop) == 0
        return kept

    kept = play(scene())
    assert json.loads(kept.answers["gone-0"].content)["decision"]
    assert audit(server, kept).keys() == kept.sent.keys()
