"""The doorman: what is turned away before it becomes work, and what passes."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from riskengine.api import doorman as module
from riskengine.api.doorman import doorman

BODY = b'{"user_id": "ana", "ip": "192.0.2.10"}'
POST = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s"
Read = Callable[[], Awaitable[tuple[int, dict[str, str], bytes]]]


async def _application(scope: Any, receive: Any, send: Any) -> None:
    """Answer 200 with the body that came."""
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def served(full: Callable[[], bool], scene: Callable[[int], Awaitable[None]]) -> None:
    """Run a scene against uvicorn with a doorman, on a port of its own."""

    async def whole() -> None:
        config = uvicorn.Config(_application, port=0, http=doorman(full), lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        try:
            await scene(server.servers[0].sockets[0].getsockname()[1])
        finally:
            server.should_exit = True
            await task

    asyncio.run(whole())


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Read one answer: status, headers, body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


def post(more: bytes = b"") -> bytes:
    return POST % (len(BODY), more, BODY)


def test_when_full_a_login_is_turned_away_and_the_connection_stays() -> None:
    full = [True]

    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"X-Request-ID: mine\r\n"))
        status, headers, body = await answer(reader)
        assert (status, headers["retry-after"], headers["x-request-id"]) == (503, "1", "mine")
        assert headers["content-type"] == "application/problem+json"
        problem = json.loads(body)
        assert (problem["code"], problem["request_id"]) == ("overloaded", "mine")
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await answer(reader))[0] == 200, "what does not wait in the queue passes"
        full[0] = False
        writer.write(post())
        assert (await answer(reader))[::2] == (200, BODY)
        full[0] = True
        writer.write(post() + post())
        assert [(await answer(reader))[0] for _ in range(2)] == [503, 503]
        writer.close()

    served(lambda: full[0], scene)


def test_a_body_that_comes_after_the_refusal_is_passed_over() -> None:
    full = [True]

    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        whole = post()
        writer.write(whole[:-20])
        assert (await answer(reader))[0] == 503
        full[0] = False
        writer.write(whole[-20:] + post())
        assert (await answer(reader))[::2] == (200, BODY)
        writer.close()

    served(lambda: full[0], scene)


def test_a_crowd_is_turned_away_a_few_at_a_time_and_all_of_it() -> None:
    """More than are looked at in one turn of the event loop; each connection twice, in order."""

    async def scene(port: int) -> None:
        async def caller(number: int) -> list[tuple[int, str]]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            found = []
            for again in range(2):
                writer.write(post(b"X-Request-ID: %d-%d\r\n" % (number, again)))
                status, headers, _ = await answer(reader)
                found.append((status, headers["x-request-id"]))
            writer.close()
            return found

        told = await asyncio.gather(*(caller(number) for number in range(3 * module.AT_ONCE)))
        assert told == [[(503, f"{number}-0"), (503, f"{number}-1")] for number in range(3 * module.AT_ONCE)]

    served(lambda: True, scene)


def test_who_stood_in_line_is_taken_in_when_there_is_room_again() -> None:
    looks = iter([True] * 40)

    async def scene(port: int) -> None:
        async def caller() -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post())
            status, _, body = await answer(reader)
            writer.close()
            assert (body == BODY) is (status == 200)
            return status

        told = await asyncio.gather(*(caller() for _ in range(2 * module.AT_ONCE)))
        assert {200, 503} == set(told)

    served(lambda: next(looks, False), scene)


@pytest.mark.parametrize("begun", [b"", b"POST /score HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half_a_head"])
def test_a_head_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.2)

    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()

    served(lambda: False, scene)


def test_a_body_may_take_longer_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.1)

    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        whole = post()
        writer.write(whole[:-20])
        await asyncio.sleep(0.3)
        writer.write(whole[-20:])
        assert (await answer(reader))[::2] == (200, BODY)
        writer.close()

    served(lambda: False, scene)
