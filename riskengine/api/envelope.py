"""What goes round every request: its id, the headers of its answer, its count, and the net under the handlers."""

import re
import secrets
from collections.abc import Awaitable, Iterable, Sequence
from random import Random
from time import perf_counter
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riskengine.access.limits import LEAVE
from riskengine.api.problems import log_defect, problem_of, respond
from riskengine.metrics import Bins, answered

REQUEST_ID = b"x-request-id"
_USABLE_ID = re.compile(rb"[A-Za-z0-9._~-]{1,128}")
# What every answer carries unless its handler said otherwise. Answers are about persons: no cache may keep them.
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]
_NAMES = frozenset(name for name, _ in _HEADERS)
# An id proves nothing, so it need not be a secret: this asks the kernel once, not for each request.
_bits = Random(secrets.randbits(256)).getrandbits  # noqa: S311
# In the state of a scope: the one-time token that comes after the one it was sent with.
NEXT_TOKEN = "next_token"  # noqa: S105 - a name
GONE = 499  # nginx's number for a client that went away


class Envelope:
    """ASGI middleware, outermost: takes X-Request-ID in (or makes one) and out, counts, and answers 500 for defects.

    A request that a client's limits let begin ends here.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[Route]) -> None:
        self._app = app
        # A raw path as a label would make one series for each event id.
        self._templates = {route.endpoint: route.path for route in routes}
        self._bins: dict[tuple[Any, int], Bins] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything that is not HTTP passes untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = perf_counter()
        request_id = request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        def answer(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = dressed(message.get("headers", ()), request_id)
                if NEXT_TOKEN in scope["state"]:
                    message["headers"].append((b"next-token", scope["state"][NEXT_TOKEN]))
                self._count(scope, status, perf_counter() - begun)
            return send(message)

        try:
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            if not status:
                self._count(scope, GONE, perf_counter() - begun)
        except Exception as error:
            log_defect(error, request_id)
            if status:
                raise  # half an answer is out: only closing the connection says that it is not whole
            await respond(problem_of(error), request_id)(scope, receive, answer)
        finally:
            if LEAVE in scope["state"]:
                scope["state"].pop(LEAVE)()

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        endpoint: Any = scope.get("endpoint")
        bins = self._bins.get((endpoint, status))
        if bins is None:
            bins = self._bins[endpoint, status] = answered(self._templates.get(endpoint, "none"), status)
        bins.observe(seconds)


def request_id_of(scope: Scope) -> str:
    """Return the caller's id for a request if it can be used, else a new one."""
    return given_id(scope["headers"]) or new_id()


def new_id() -> str:
    """Return an id for a request that came without one, of 24 hexadecimal digits."""
    return f"{_bits(96):024x}"


def given_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the id among these headers (names in small letters) if it can be used."""
    for name, value in headers:
        if name == REQUEST_ID and _USABLE_ID.fullmatch(value):
            return value.decode()
    return None


def dressed(given: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers with those that every answer carries."""
    added = _HEADERS
    for name, _ in given:
        if name in _NAMES:
            names = {name for name, _ in given}
            added = [header for header in _HEADERS if header[0] not in names]
            break
    return [*given, *added, (REQUEST_ID, request_id.encode())]
