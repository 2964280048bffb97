"""Who turns requests away before they become work: when nothing more can wait, and when a head does not come.

Turning away must cost next to nothing. Through routes, look-up of the caller and decoding it cost half a decision, and
at ten times what can be decided the turning away left no time to decide anything.
"""

import asyncio
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
# From the first byte to the end of the head, and from the connection to the first byte.
HEAD_SECONDS = 10.0
_OVERLOADED = problem_of(Overloaded())


def doorman(full: Callable[[], bool]) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with a doorman, who asks `full` whether nothing more can wait."""

    class Doorman(HttpToolsProtocol):
        """uvicorn's HTTP/1.1, but some requests never reach the application."""

        _head: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._head = self.loop.call_later(HEAD_SECONDS, transport.close)

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_came()
            super().connection_lost(exc)

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
            path = self.url.partition(b"?")[0].decode()
            REQUESTS.labels(path, "503").inc()
            self.transport.write(_refusal(request_id_of(dict(self.scope))))
            self.on_response_complete()

    return Doorman


_ANSWERED: Any = SimpleNamespace(response_complete=True, message_event=asyncio.Event())


def _refusal(request_id: str) -> bytes:
    """Return the whole answer to a request that was turned away."""
    response = respond(_OVERLOADED, request_id)
    headers = dressed(response.raw_headers, request_id)
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return b"HTTP/1.1 503 Service Unavailable\r\n" + lines + b"\r\n" + bytes(response.body)
