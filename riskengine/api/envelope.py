"""What goes round every request: its id, the headers of its answer, its count, and the net under the handlers."""

import re
import secrets
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riskengine.api.problems import log_defect, problem_of, respond
from riskengine.metrics import REQUEST_SECONDS, REQUESTS

REQUEST_ID = b"x-request-id"
_USABLE_ID = re.compile(rb"[A-Za-z0-9._~-]{1,128}")
# What every answer carries unless its handler said otherwise. Answers are about persons: no cache may keep them.
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)


class Envelope:
    """ASGI middleware, outermost: takes X-Request-ID in (or makes one) and out, counts, and answers 500 for defects."""

    def __init__(self, app: ASGIApp, routes: Sequence[Route]) -> None:
        self._app = app
        # A raw path as a label would make one series for each event id.
        self._templates = {route.endpoint: route.path for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything that is not HTTP passes untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        begun = perf_counter()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = dressed(message.get("headers", ()), request_id)
                self._count(scope, status, perf_counter() - begun)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            self._count(scope, 499, perf_counter() - begun)  # nginx's number for a client that went away
        except Exception as error:
            log_defect(error, request_id)
            if status:
                raise  # half an answer is out: only closing the connection says that it is not whole
            await respond(problem_of(error), request_id)(scope, receive, answer)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        endpoint: Any = scope.get("endpoint")
        template = self._templates.get(endpoint, "none")
        REQUESTS.labels(template, str(status)).inc()
        REQUEST_SECONDS.labels(template).observe(seconds)


def request_id_of(scope: Scope) -> str:
    """Return the caller's id for a request if it can be used, else a new one."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _USABLE_ID.fullmatch(value):
            given: str = value.decode()
            return given
    return secrets.token_hex(12)


def dressed(given: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers with those that every answer carries."""
    names = {name for name, _ in given}
    added = [header for header in _HEADERS if header[0] not in names]
    return [*given, *added, (REQUEST_ID, request_id.encode())]
