"""What goes round a request, over applications small enough to see through."""

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riskengine.api.envelope import GONE, Envelope
from riskengine.metrics import REGISTRY, flush


async def endpoint(request: Any) -> None:
    """Stands for a handler; what is served is what the application under the envelope sends."""


def answering(*headers: tuple[bytes, bytes], status: int = 200) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint"] = endpoint
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b"whole"})

    return app


def serve(app: ASGIApp, path: str, *headers: tuple[bytes, bytes], kind: str = "http") -> list[Message]:
    """Return what is sent for one request to an envelope around `app`, whose one route is `path`."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    envelope = Envelope(app, [Route(path, endpoint)])
    asyncio.run(envelope({"type": kind, "headers": list(headers)}, receive, send))
    return sent


def counted(path: str, status: int) -> float | None:
    flush()
    return REGISTRY.get_sample_value("riskengine_requests_total", {"route": path, "status": str(status)})


def test_no_two_requests_are_given_the_same_id() -> None:
    async def whole() -> list[bytes]:
        ids: list[bytes] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                ids.append(dict(message["headers"])[b"x-request-id"])

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        for envelope in (Envelope(answering(), []), Envelope(answering(), [])):
            for _ in range(1_000):
                await envelope({"type": "http", "headers": []}, receive, send)
        return ids

    ids = asyncio.run(whole())
    assert len(set(ids)) == 2_000
    assert {len(given) for given in ids} == {24}


def test_what_a_handler_says_is_not_said_again() -> None:
    start, body = serve(answering((b"content-length", b"5"), (b"cache-control", b"max-age=60")), "/cached")

    names = [name for name, _ in start["headers"]]
    assert sorted(names) == [
        *(b"cache-control", b"content-length", b"content-security-policy", b"referrer-policy"),
        *(b"x-content-type-options", b"x-request-id"),
    ]
    assert dict(start["headers"])[b"cache-control"] == b"max-age=60"
    assert body == {"type": "http.response.body", "body": b"whole"}


def test_each_status_of_a_route_is_counted_by_itself() -> None:
    serve(answering(), "/counted")
    serve(answering(status=404), "/counted")
    serve(answering(), "/counted")

    assert (counted("/counted", 200), counted("/counted", 404)) == (2, 1)


def test_a_client_that_went_away_is_counted_once_and_is_no_defect() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint"] = endpoint
        raise ClientDisconnect

    assert serve(app, "/gone") == []
    assert counted("/gone", GONE) == 1


def test_half_an_answer_is_cut_off_and_counted_as_what_it_began_as() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answering()(scope, receive, send)
        raise LookupError("late")

    with pytest.raises(LookupError):
        serve(app, "/half")
    assert (counted("/half", 200), counted("/half", 500)) == (1, None)


def test_what_is_not_http_passes_untouched() -> None:
    start, _ = serve(answering((b"a", b"b")), "/socket", kind="websocket")

    assert start["headers"] == [(b"a", b"b")]
