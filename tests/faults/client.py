"""Callers of a real server: a small HTTP/1.1 client over asyncio that keeps what it was answered."""

import asyncio
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakSet

T = TypeVar("T")
HOST = "127.0.0.1"
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_RETRY = re.compile(rb"\r\nretry-after: (\d+)\r\n", re.IGNORECASE)


class Gone(ConnectionError):
    """The connection ended before its answer was whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got, and the seconds from its first byte out to its last byte in."""

    status: int
    content: bytes
    seconds: float
    retry_after: int | None

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.content)
        return found


class Line(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._taken = b""
        self._waiting: asyncio.Future[Answer] | None = None
        self._began = 0.0
        self.open = False

    @classmethod
    async def to(cls, port: int) -> "Line":
        """Connect; OSError if nobody listens."""
        _, line = await asyncio.get_running_loop().create_connection(cls, HOST, port)
        _lines.add(line)
        return line

    def connection_made(self, transport: Any) -> None:
        self.transport, self.open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Gone("the connection ended"))

    def data_received(self, data: bytes) -> None:
        self._taken += data
        head = self._taken.find(b"\r\n\r\n")
        if head < 0 or self._waiting is None:
            return
        length = _LENGTH.search(self._taken, 0, head + 2)
        end = head + 4 + (int(length[1]) if length else 0)
        if len(self._taken) < end:
            return
        retry = _RETRY.search(self._taken, 0, head + 2)
        answer = Answer(
            int(self._taken[9:12]),
            self._taken[head + 4 : end],
            time.perf_counter() - self._began,
            int(retry[1]) if retry else None,
        )
        self._taken = self._taken[end:]
        if not self._waiting.done():
            self._waiting.set_result(answer)

    async def ask(self, request: bytes, seconds: float = 20.0) -> Answer:
        """Send a request and return its answer; Gone when the connection ends, TimeoutError when none comes."""
        if not self.open:
            raise Gone("the connection had ended")
        self._waiting = asyncio.get_running_loop().create_future()
        self._began = time.perf_counter()
        self.transport.write(request)
        return await asyncio.wait_for(self._waiting, seconds)

    def close(self) -> None:
        self.transport.abort()


_lines: "WeakSet[Line]" = WeakSet()


def request_of(key: str, body: Any, path: str = "/score") -> bytes:
    """Return the bytes of a POST; of a GET when `body` is None."""
    content = b"" if body is None else json.dumps(body).encode()
    kind = "POST" if body is not None else "GET"
    typed = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n" if body is not None else ""
    return f"{kind} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{typed}\r\n".encode() + content


async def ask_once(port: int, key: str, body: Any, path: str = "/score") -> Answer:
    """Send one request over a connection of its own."""
    line = await Line.to(port)
    try:
        return await line.ask(request_of(key, body, path))
    finally:
        line.close()


@dataclass
class Kept:
    """What callers remember: each body sent by its event id, the answers, and those that never came."""

    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    sources: Counter[str] = field(default_factory=Counter)  # how many were decided by what: engine or fallback

    def take(self, event_id: str, answer: Answer) -> None:
        """Remember an answer, and count what decided it; conditions are looked at often, so nothing is decoded."""
        self.answers[event_id] = answer
        if answer.status == 200:
            self.sources["fallback" if b'"source":"fallback"' in answer.content else "engine"] += 1

    @property
    def decided(self) -> dict[str, dict[str, Any]]:
        """The answers that decide, by event id."""
        return {event_id: answer.body for event_id, answer in self.answers.items() if answer.status == 200}

    def refused(self, status: int) -> list[Answer]:
        return [answer for answer in self.answers.values() if answer.status == status]


_numbers = itertools.count()
ADDRESSES = ("192.0.2.10", "192.0.2.70", "198.51.100.10", "198.51.100.70", "203.0.113.10", "203.0.113.70")


def login(users: int = 60, **more: Any) -> dict[str, Any]:
    """Return the next login of a made-up organisation: mostly from home, now and then from afar, some in vain."""
    number = next(_numbers)
    user = number * 7 % users
    at = ADDRESSES[user % 2 if number % 11 else number % len(ADDRESSES)]
    body = {"user_id": f"user-{user}", "ip": at, "event_id": f"e{number}", "device_id": f"d{user}"}
    if number % 13 == 0:
        body["outcome"] = "failure"
    return body | more


class Callers:
    """`count` callers on connections of their own, each sending its next login when the last one is answered.

    After a connection ends, or a refusal, a caller begins again; it never sends an event twice. `most` bounds what
    they send in all.
    """

    def __init__(
        self,
        port: int,
        key: str,
        count: int,
        *,
        make: Callable[[], dict[str, Any]] = login,
        most: int = 100_000,
        pause: float = 0.0,
    ) -> None:
        self.kept = Kept()
        self._port, self._key, self._make, self._most, self._pause = port, key, make, most, pause
        self._stopping = False
        self._tasks = [asyncio.create_task(self._call()) for _ in range(count)]

    async def until(self, done: Callable[[Kept], bool], seconds: float = 60.0) -> None:
        """Let them call until `done`; AssertionError when it is not within `seconds`."""
        await until(lambda: done(self.kept), seconds)

    async def answered(self, more: int) -> None:
        """Let them call until they have so many answers more than now."""
        enough = len(self.kept.answers) + more
        await self.until(lambda kept: len(kept.answers) >= enough)

    async def stop(self) -> Kept:
        """Let each finish its call, and return what they remember."""
        self._stopping = True
        await asyncio.gather(*self._tasks)
        return self.kept

    async def send_again(self) -> set[str]:
        """Send again, with the same bodies, what was lost; return their ids. To be called after `stop`."""
        again = set(self.kept.lost)
        for event_id in again:
            self.kept.take(event_id, await ask_once(self._port, self._key, self.kept.sent[event_id]))
        self.kept.lost.clear()
        return again

    async def _call(self) -> None:
        line: Line | None = None
        while not self._stopping and len(self.kept.sent) < self._most:
            try:
                if line is None or not line.open:
                    line = await Line.to(self._port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            body = self._make()
            event_id = body["event_id"]
            self.kept.sent[event_id] = body
            try:
                self.kept.take(event_id, await line.ask(request_of(self._key, body)))
            except (Gone, TimeoutError):
                self.kept.lost.add(event_id)
                line.close()
                line = None
            else:
                await asyncio.sleep(0.01 if self.kept.answers[event_id].status != 200 else self._pause)
        if line is not None:
            line.close()


async def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until `done`; AssertionError when it is not within `seconds`."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"it never came to be within {seconds} s"
        await asyncio.sleep(0.01)


def play(scene: Coroutine[Any, Any, T]) -> T:
    """Run a scene in an event loop of its own, and let that close what the scene has let go of."""

    _lines.clear()

    async def whole() -> T:
        try:
            return await scene
        finally:
            for line in list(_lines):  # a scene that failed has left some
                line.close()
            await asyncio.sleep(0.05)

    return asyncio.run(whole())
