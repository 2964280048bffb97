"""Who turns requests away before they become work: when nothing more can wait, when a head or a body does not come or
does not end, and where too many wrong credentials came from.

Turning away must cost next to nothing and hold up nothing. Through routes, look-up of the caller and decoding it cost
half a decision; and a thousand refusals in one turn of the event loop kept those who had been taken in waiting a tenth
of a second at each of their steps. At ten times what can be decided hardly anything was decided any more.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from riskengine.access import guesses
from riskengine.api.calls import Door, header
from riskengine.api.envelope import request_id_of
from riskengine.api.lane import PATH, Head, Lane
from riskengine.api.proxies import MOST_HEADER_BYTES, Proxies
from riskengine.api.refusal import FULL, LARGE, Refusal, slowed
from riskengine.metrics import REQUESTS

# What waits in the queue of live.
QUEUED = frozenset((b"/score", b"/score/batch"))
# Where an Authorization header is asked for.
KEYED = (b"/score", b"/events", b"/stats", b"/users", b"/blocks")
# From the connection to the first byte, and from there to the end of the head.
HEAD_SECONDS = 10.0
# All of a head, and what one may have more that a believed proxy passed on: a certificate.
HEAD_BYTES, PASSED_ON_BYTES = 16 * 1024, MOST_HEADER_BYTES
# What comes after a head, as it is sent: several times what any body may have, for those in small chunks.
MESSAGE_BYTES = 16 * 1024 * 1024
# How long a client may take nothing of what is sent.
TAKE_SECONDS = 30.0
# Requests looked at in one turn of the event loop while nothing more can wait: some milliseconds.
AT_ONCE = 32
_TLS_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


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


class Doorman(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, but some requests never reach the application: those turned away, and those of the lane."""

    full: Callable[[], bool]
    line: Line
    lane: Lane | None
    proxies: Proxies
    door: Door | None
    _passed_on = False  # whether what comes on this connection was passed on by a proxy that is believed
    _tls: dict[Any, Any] | None = None
    _timer: asyncio.TimerHandle | None = None  # runs while a head is under way
    _stalled: asyncio.TimerHandle | None = None  # runs while the client does not take what is sent
    _piece = _head_bytes = _message_bytes = 0  # of what came: the last piece; of the head under way; of the message
    _head: Head | None = None  # of a request that may go down the lane, while its body is not whole

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head, not for ever."""
        super().connection_made(transport)
        self._passed_on = self.proxies.trusts(self.client)
        self._tls = _tls_of(transport.get_extra_info("ssl_object"))
        self._timer = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._head_came()
        self._takes()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in data, in its turn while nothing more can wait."""
        if self.full() and not self.line.comes_first():
            self.line.stand(self, data)
        else:
            self._feed(data)

    def look(self, data: bytes) -> None:
        """Take in what has stood in line."""
        if self.transport.is_closing():
            return
        self._feed(data)
        if not self.flow.read_paused:
            self.transport.resume_reading()

    def on_message_begin(self) -> None:
        """Wait for the rest of a head, not for ever."""
        super().on_message_begin()
        self._message_bytes = 0
        if self._tls is not None:
            self.scope["extensions"] = {"tls": self._tls}
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def on_headers_complete(self) -> None:
        """Turn a request away, keep it for the lane, or let it go on."""
        if self.transport.is_closing():
            return
        is_large = self._is_large()
        self._head_came()
        if is_large:
            self._close()
            return
        if self._passed_on:
            self.proxies.believe(cast(Any, self.scope))
        path = self.url.partition(b"?")[0]
        if self._has_to_wait(path):
            return
        if path in QUEUED and self._is_simple():
            if self.full():
                self._turn_away(path, FULL)
                return
            if self.lane is not None and self.url == PATH.encode() and self.parser.get_method() == b"POST":
                self._head, self._body = self.lane.plain(self.headers), b""
        if self._head is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take in a part of a body."""
        if self._head is not None:
            self._body += body
        elif not isinstance(self.cycle, Cycle):  # else it has been dealt with
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Give a whole request to the lane, or let it go on."""
        head, self._head = self._head, None
        if head is None or self.lane is None:
            if not isinstance(self.cycle, Cycle):
                super().on_message_complete()
            return
        cycle = Cycle()
        if self.lane.take(head, self._body, partial(self._send, cycle), cast(Any, self.scope)):
            self.cycle = cast(Any, cycle)
        else:
            self._go_on()
            super().on_message_complete()

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent, not for ever."""
        super().pause_writing()
        self._stalled = self.loop.call_later(TAKE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on sending."""
        self._takes()
        super().resume_writing()

    def _feed(self, data: bytes) -> None:
        self._piece = len(data)
        self._message_bytes += self._piece
        if self._timer is not None:
            self._head_bytes += self._piece
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._timer is not None and self._head_bytes > self._most():
            self._close()
        elif self._message_bytes > MESSAGE_BYTES:
            self.transport.close()
        if self._head is not None:  # the rest of the body may never come
            self._head = None
            self._go_on()

    def _go_on(self) -> None:
        """Let a request that was kept go the ordinary way, with what came of its body."""
        super().on_headers_complete()
        if self._body:
            super().on_body(self._body)

    def _send(self, cycle: "Cycle", status: int, rest: bytes) -> bool:
        """Send an answer of the lane; return whether the client was still there."""
        cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return False
        given = b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers)
        last = b"" if cycle.keep_alive else b"connection: close\r\n"
        self.transport.write(STATUS_LINE[status] + given + last + rest)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()
        return True

    def _head_came(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._head_bytes = 0

    def _takes(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _most(self) -> int:
        return HEAD_BYTES + PASSED_ON_BYTES if self._passed_on else HEAD_BYTES

    def _is_large(self) -> bool:
        """Return whether the head that has come is too large; it is measured where it can be."""
        if max(self._piece, self._head_bytes) <= HEAD_BYTES:
            return False
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self._most()

    def _close(self) -> None:
        """End the connection, whose head is too large; say so if nothing else is being said."""
        if self.scope is not None and (self.cycle is None or self.cycle.response_complete):
            self.cycle = _ANSWERED
            self._turn_away(b"", LARGE)
        self.transport.close()

    def _is_simple(self) -> bool:
        """Return whether this request can be answered from here: alone on a connection that stays open."""
        idle = self.cycle is None or self.cycle.response_complete
        return idle and self.parser.should_keep_alive() and not self.expect_100_continue

    def _has_to_wait(self, path: bytes) -> bool:
        """Turn a request away whose credential has to wait for the end of many wrong ones; return whether it will be.

        Who sent it is told so after a while, and nothing more is read from there until then.
        """
        scope = cast(Any, self.scope)
        if self.door is None or not self.door.wait(scope["client"]) or not path.startswith(KEYED):
            return False
        credential = header(scope, b"authorization")
        seconds = self.door.held_up(scope["client"], credential) if credential else 0
        if not seconds or not self._is_simple():
            return False
        cycle = Cycle()
        self.cycle = cast(Any, cycle)
        self.flow.pause_reading()
        self.loop.call_later(guesses.SLOWED_SECONDS, self._tell_late, cycle, path, slowed(seconds), scope)
        return True

    def _tell_late(self, cycle: "Cycle", path: bytes, refusal: Refusal, scope: Any) -> None:
        cycle.response_complete = True
        if not cycle.disconnected and not self.transport.is_closing():
            self._refuse(path, refusal, scope)
            if not cycle.keep_alive:
                self.transport.close()

    def _turn_away(self, path: bytes, refusal: Refusal) -> None:
        if self.cycle is None:
            self.cycle = _ANSWERED  # what is left of the request is passed over
        self._refuse(path, refusal, dict(self.scope))

    def _refuse(self, path: bytes, refusal: Refusal, scope: dict[str, Any]) -> None:
        REQUESTS.labels(path.decode() if path in QUEUED else "none", str(refusal.status)).inc()
        self.transport.write(refusal.to(request_id_of(scope)))
        self.on_response_complete()


@dataclass(slots=True, eq=False)
class Cycle:
    """A request under way in the lane: what uvicorn's protocol looks at, and changes, of its own cycles."""

    response_complete: bool = False
    disconnected: bool = False
    keep_alive: bool = True
    message_event: Any = field(default_factory=asyncio.Event)


def doorman(
    full: Callable[[], bool], lane: Lane | None = None, proxies: Proxies | None = None, door: Door | None = None
) -> type[Doorman]:
    """Return uvicorn's protocol with a doorman, who asks `full` whether nothing more can wait, and with a lane.

    `proxies` are those whose headers are believed; without any, none are. `door` says which credentials have to wait.
    """
    own = {"full": staticmethod(full), "line": Line(), "lane": lane, "proxies": proxies or Proxies(), "door": door}
    return type("Doorman", (Doorman,), own)


def _tls_of(connection: ssl.SSLObject | None) -> dict[Any, Any] | None:
    """Return what the ASGI TLS extension says of a connection; its certificates are those that were verified."""
    if connection is None:
        return None
    der = connection.getpeercert(binary_form=True)
    return {
        "server_cert": None,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(der)] if der else [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": _TLS_VERSIONS.get(connection.version() or ""),
        "cipher_suite": None,
    }


_ANSWERED: Any = Cycle(response_complete=True)
