"""The doorman: what is turned away before it becomes work, and what passes."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import uvicorn

from riskengine.api import doorman as module
from riskengine.api.doorman import HEAD_BYTES, PASSED_ON_BYTES, doorman
from riskengine.api.proxies import Proxies

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


def served(
    full: Callable[[], bool],
    scene: Callable[[int], Awaitable[None]],
    application: Any = _application,
    proxies: Proxies | None = None,
) -> None:
    """Run a scene against uvicorn with a doorman, on a port of its own."""

    async def whole() -> None:
        config = uvicorn.Config(application, port=0, http=doorman(full, None, proxies), lifespan="off", log_config=None)
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


# --- sizes ------------------------------------------------------------------------------------------------------------


def headed(size: int) -> bytes:
    """Return a request whose head has so many bytes, as they are counted: the URL, and each header with its line."""
    left = size - len("/score") - len(b"host" + b"x") - len(b"content-length" + b"%d" % len(BODY)) - 8 - len(b"x-y") - 4
    return post(b"X-Y: " + b"y" * left + b"\r\n")


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait for the end of a connection."""
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 10) == b""


@pytest.mark.parametrize("pieces", [1, 7], ids=["in_one_piece", "in_seven"])
@pytest.mark.parametrize(
    ("size", "proxies", "passes"),
    [
        pytest.param(HEAD_BYTES, None, True, id="as_large_as_may_be"),
        pytest.param(HEAD_BYTES + 1, None, False, id="too_large"),
        pytest.param(HEAD_BYTES + PASSED_ON_BYTES, None, False, id="as_a_proxys"),
        pytest.param(HEAD_BYTES + PASSED_ON_BYTES, Proxies("127.0.0.1"), True, id="of_a_proxy"),
        pytest.param(HEAD_BYTES + PASSED_ON_BYTES + 1, Proxies("127.0.0.1"), False, id="of_a_proxy_too_large"),
    ],
)
def test_a_head_has_a_largest_size(size: int, proxies: Proxies | None, passes: bool, pieces: int) -> None:
    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, dict[str, str], bytes]:
        request = headed(size)
        step = len(request) // pieces + 1
        for start in range(0, len(request), step):
            writer.write(request[start : start + step])
            await asyncio.sleep(0.01)
        return await answer(reader)

    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if passes:
            assert [(await ask(reader, writer))[::2] for _ in range(2)] == [(200, BODY)] * 2
        else:
            # Who goes on sending may be cut off before it has read why.
            with suppress(*(() if pieces == 1 else (ConnectionError, asyncio.IncompleteReadError))):
                status, headers, body = await ask(reader, writer)
                assert (status, headers["connection"], json.loads(body)["code"]) == (431, "close", "head-too-large")
            await ended(reader)
        writer.close()

    served(lambda: False, scene, proxies=proxies)


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"GET /" + b"x" * 1000, id="url"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * 1000, id="header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200, id="headers"),
    ],
)
def test_a_head_that_does_not_end_is_cut_off(endless: bytes) -> None:
    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(endless)
        sent = 0
        with suppress(ConnectionError):
            while not reader.at_eof() and not writer.is_closing() and sent < 2**24:
                writer.write((b"A: b\r\n" if endless.endswith(b"\r\n") else b"xxxxxx") * 500)
                sent += 3_000
                await writer.drain()
                await asyncio.sleep(0)
        assert sent < 2**22
        writer.close()

    served(lambda: False, scene)


def test_blank_lines_without_end_are_cut_off_too() -> None:
    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\r\n" * HEAD_BYTES)
        await ended(reader)
        writer.close()

    served(lambda: False, scene)


def test_a_large_body_is_no_large_head() -> None:
    body = b"x" * 5 * HEAD_BYTES

    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            request = POST % (len(body), b"", body)
            writer.write(request + request)
            assert [(await answer(reader))[::2] for _ in range(2)] == [(200, body)] * 2
        writer.close()

    served(lambda: False, scene)


def test_what_comes_behind_a_head_that_is_too_large_is_not_done() -> None:
    asked: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await _application(scope, receive, send)

    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(headed(HEAD_BYTES + 1) + post())
        assert (await answer(reader))[0] == 431
        await ended(reader)
        writer.close()

    served(lambda: False, scene, application)

    assert asked == []


def test_what_goes_on_coming_after_a_refusal_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body without end, of which nobody wants to know, and lines behind it."""
    monkeypatch.setattr(module, "MESSAGE_BYTES", 100_000)

    async def refusing(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await answer(reader))[0] == 401
        sent = 0
        with suppress(ConnectionError):
            while not reader.at_eof() and sent < 2**24:
                writer.write(b"1\r\nx\r\n" * 500)
                sent += 3_000
                await writer.drain()
                await asyncio.sleep(0)
        assert 100_000 < sent < 2**22
        writer.close()

    served(lambda: False, scene, refusing)


def test_a_client_that_takes_nothing_is_cut_off_and_one_that_takes_slowly_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TAKE_SECONDS", 0.3)
    ends: list[str] = []

    async def streaming(scope: Any, receive: Any, send: Any) -> None:
        del receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(400):
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        ends.append(scope["path"])

    async def scene(port: int) -> None:
        async def ask(path: str, pause: float) -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65_536)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            taken = 0
            await asyncio.sleep(pause)
            with suppress(ConnectionError):
                while part := await reader.read(2**21):
                    taken += len(part)
                    await asyncio.sleep(0.0005)
            writer.close()
            return taken

        gone, slow = await asyncio.gather(ask("/nothing", 2.0), ask("/slowly", 0.0))
        assert gone < 400 * 65_536 < slow

    served(lambda: False, scene, streaming)

    assert "/slowly" in ends
