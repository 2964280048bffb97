"""POST /score, /score/batch and /score/preview: events in, decisions out."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from riskengine.access.caller import Caller
from riskengine.api.calls import (
    Desk,
    at_login,
    decoded,
    desk_in,
    desk_of,
    document,
    followed,
    pay,
    reply,
    send_reply,
    spent,
)
from riskengine.api.problems import problem_of
from riskengine.engine.arrival import Ticket
from riskengine.errors import AccessDenied, Fault, InvalidInput, RiskEngineError
from riskengine.event import Event, parse_event

SCORE_BYTES = 64 * 1024
BATCH_BYTES = 2 * 1024 * 1024
BATCH_EVENTS = 1_000
# What a key with `score` alone gets: enough to act on, nothing that says where a person is.
BARE_FIELDS = (
    "event_id", "decision", "score", "level", "reasons", "maturity", "step_up", "would_be", "source", "degraded",
)  # fmt: skip


class Score:
    """POST /score: decide on one login and remember it; 200 whatever the decision is.

    An ASGI application of its own inside the routes: at the rate of this path, what wraps an ordinary handler costs as
    much as a decision.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; errors are the application's to translate."""
        desk = desk_in(scope)
        caller = await at_login(scope, "score")
        event = parse_event(await decoded(scope, receive, SCORE_BYTES))
        ticket = None if caller.ticket is None else ticket_for(event, caller.ticket)
        [answer] = await desk.live.score([event], caller.realm, "report" in caller.scopes, ticket)
        if ticket is not None:
            if isinstance(answer, AccessDenied):
                raise spent(answer, caller)
            if ticket.spent_at is not None and isinstance(answer, dict):
                followed(scope, caller, ticket.spent_at)
        await send_reply(visible(challenged(_raised(answer), caller, desk), caller), send)


async def preview(request: Request) -> Response:
    """Decide on one login without remembering it."""
    caller = await at_login(request.scope, "score")
    event = parse_event(await document(request, SCORE_BYTES))
    await pay(request, caller)
    answers = await desk_of(request).live.preview([event], caller.realm, "report" in caller.scopes)
    return reply(visible(_raised(answers[0]), caller))


async def batch(request: Request) -> Response:
    """Decide on up to 1,000 logins in order; one that is wrong gets its problem and does not fail the others."""
    caller = await at_login(request.scope, "score")
    entries = _entries(await document(request, BATCH_BYTES))
    await pay(request, caller)
    parsed = [_parsed(entry) for entry in entries]
    events = [event for event in parsed if isinstance(event, Event)]
    desk = desk_of(request)
    answers = iter(await desk.live.score(events, caller.realm, "report" in caller.scopes))
    return reply({"answers": [_member(next(answers) if isinstance(p, Event) else p, caller, desk) for p in parsed]})


ROUTES = (
    Route("/score", Score(), methods=["POST"]),
    Route("/score/batch", batch, methods=["POST"]),
    Route("/score/preview", preview, methods=["POST"]),
)


def ticket_for(event: Event, token: bytes) -> Ticket:
    """Return the ticket of an event that was sent with this one-time token; InvalidInput if it has no id.

    Without one a lost answer would cost the token: nothing could be sent again.
    """
    if event.event_id is None:
        raise InvalidInput([Fault("/event_id", "is required with a one-time token")])
    return Ticket(token)


def _entries(body: Any) -> list[Any]:
    if not isinstance(body, dict):
        raise InvalidInput([Fault("", "must be a JSON object")])
    unknown = [Fault("", "holds a field other than events")] if body.keys() - {"events"} else []
    entries = body.get("events")
    if not isinstance(entries, list):
        raise InvalidInput([Fault("/events", "must be a list"), *unknown])
    if len(entries) > BATCH_EVENTS:
        raise InvalidInput([Fault("/events", f"must have at most {BATCH_EVENTS} entries"), *unknown])
    if unknown:
        raise InvalidInput(unknown)
    return entries


def _parsed(entry: Any) -> Event | InvalidInput:
    try:
        return parse_event(entry)
    except InvalidInput as error:
        return error


def _raised(answer: dict[str, Any] | RiskEngineError) -> dict[str, Any]:
    if isinstance(answer, RiskEngineError):
        raise answer
    return answer


def _member(answer: dict[str, Any] | RiskEngineError, caller: Caller, desk: Desk) -> dict[str, Any]:
    """Return what stands for one event in a batch's answer."""
    if isinstance(answer, RiskEngineError):
        return {"problem": problem_of(answer).body()}
    return visible(challenged(answer, caller, desk), caller)


def challenged(answer: dict[str, Any], caller: Caller, desk: Desk) -> dict[str, Any]:
    """Return a full answer with what its step-up is to be reported with, where it asks for one.

    Only who asks for the decision is told: neither the store nor any later look at the event has it.
    """
    return answer if answer["step_up"] is None else desk.challenges.put(answer, caller.realm)


def visible(answer: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """Return as much of a full answer as the caller's scopes let it see."""
    if "events:read" in caller.scopes:
        return answer
    bare = {name: answer[name] for name in BARE_FIELDS if name in answer}
    bare["reasons"] = [{"code": r["code"], "points": r["points"]} for r in answer["reasons"]]
    return bare
