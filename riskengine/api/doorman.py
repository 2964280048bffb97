"""Who turns requests away before they become work: when nothing more can wait, and when a head does not come.

Turning away must cost next to nothing and hold up nothing. Through routes, look-up of the caller and decoding it cost
half a decision; and a thousand refusals in one turn of the event loop kept those who had been taken in waiting a tenth
of a second at each of their steps. At ten times what can be decided hardly anything was decided any more.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from riskengine.api.envelope import dressed, request_id_of
from riskengine.api.problems import problem_of, respond
from riskengine.errors import Overloaded
from riskengine.metrics import REQUESTS

# What waits in the queue of live.
QUEUED = frozenset((b"/score", b"/score/batch"))
# From the connection to the first byte, and from there to the end of the head.
HEAD_SECONDS = 10.0
# Requests looked at in one turn of the event loop while nothing more can wait: some milliseconds.
AT_ONCE = 32
_MARK = "0" * 24


class Line:
    """What came in while nothing more could wait, to be looked at a few at a time, in order."""

    def __init__(self) -> None:
        self._came: deque[tuple[Any, bytes]] = deque()
        self._left = AT_ONCE
        self._called = False

    def comes_first(self) -> bool:
        """Return whether something may be looked at in this turn already."""
        self._call()
        self._left -= 1
        return self._left >= 0 and not self._came

    def stand(self, protocol: Any, data: bytes) -> None:
        """Let data wait for its turn; meanwhile nothing more is read from its connection."""
        protocol.transport.pause_reading()
        self._came.append((protocol, data))
        self._call()

    def _call(self) -> None:
        if not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._called, self._left = False, AT_ONCE
        while self._came and self._left > 0:
            self._left -= 1
            protocol, data = self._came.popleft()
            protocol.look(data)
        if self._came:
            self._call()


def doorman(full: Callable[[], bool]) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with a doorman, who asks `full` whether nothing more can wait."""
    line = Line()

    class Doorman(HttpToolsProtocol):
        """uvicorn's HTTP/1.1, but some requests never reach the application."""

        _head: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._head = self.loop.call_later(HEAD_SECONDS, transport.close)

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_came()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if full() and not line.comes_first():
                line.stand(self, data)
            else:
                super().data_received(data)

        def look(self, data: bytes) -> None:
            """Take in what has stood in line."""
            if self.transport.is_closing():
                return
            super().data_received(data)
            if not self.flow.read_paused:
                self.transport.resume_reading()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._head is None:
                self._head = self.loop.call_later(HEAD_SECONDS, self.transport.close)

        def on_headers_complete(self) -> None:
            self._head_came()
            if full() and self.url.partition(b"?")[0] in QUEUED and self._is_plain():
                self._turn_away()
            else:
                super().on_headers_complete()

        def _head_came(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

        def _is_plain(self) -> bool:
            """Return whether this request can be answered from here: alone on a connection that stays open."""
            idle = self.cycle is None or self.cycle.response_complete
            return idle and self.parser.should_keep_alive() and not self.expect_100_continue

        def _turn_away(self) -> None:
            if self.cycle is None:
                self.cycle = _ANSWERED  # what is left of the request is passed over
            REQUESTS.labels(self.url.partition(b"?")[0].decode(), "503").inc()
            self.transport.write(refusal(request_id_of(dict(self.scope))))
            self.on_response_complete()

    return Doorman


_ANSWERED: Any = SimpleNamespace(response_complete=True, message_event=asyncio.Event())


def refusal(request_id: str) -> bytes:
    """Return the whole answer to a request that was turned away."""
    length = _BODY_BYTES + _BODY_MARKS * (len(request_id) - len(_MARK))
    return _WHOLE.replace(_LENGTH, b"content-length: %d" % length).replace(_MARK.encode(), request_id.encode())


def _whole() -> tuple[bytes, bytes]:
    """Return such an answer, and its body, for the id _MARK."""
    response = respond(problem_of(Overloaded()), _MARK)
    lines = b"".join(b"%b: %b\r\n" % header for header in dressed(response.raw_headers, _MARK))
    body = bytes(response.body)
    return b"HTTP/1.1 503 Service Unavailable\r\n" + lines + b"\r\n" + body, body


_WHOLE, _BODY = _whole()
_BODY_BYTES, _BODY_MARKS = len(_BODY), _BODY.count(_MARK.encode())
_LENGTH = b"content-length: %d" % _BODY_BYTES
