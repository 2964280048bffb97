"""One stored event, the reports on it, and the end of a user's being at risk."""

import asyncio
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from riskengine.access.caller import require
from riskengine.api.calls import admit, at_login, desk_of, document, no_parameters, pay, recognise, reply
from riskengine.errors import Fault, InvalidInput, NotFound
from riskengine.event import EVENT_FIELDS, STEP_UP_RESULTS, parse_report

REPORT_BYTES = 16 * 1024


async def read(request: Request) -> Response:
    """Return one event as stored, its answer and the reports on it. Reading it is audited first."""
    caller = await admit(request, "events:read")
    no_parameters(request)
    event_id = _event_id(request)
    desk = desk_of(request)
    await asyncio.to_thread(
        desk.audit.record, desk.clock(), caller.realm, caller.name, "event.read", "event", event_id=event_id
    )
    return reply(await desk.live.event(event_id, caller.realm))


async def report(request: Request) -> Response:
    """Take in how a step-up ended (scope `report`) or an analyst's verdict (scope `verdict`)."""
    caller = await at_login(request.scope, "report", "verdict")
    event_id = _event_id(request)
    body = await document(request, REPORT_BYTES)
    if isinstance(body, dict):
        if "event_id" in body:
            raise InvalidInput([Fault("/event_id", "is not a field of this object")])
        body = {**body, "event_id": event_id}
    parsed = parse_report(body)
    require(caller, "report" if parsed.result in STEP_UP_RESULTS else "verdict")
    desk = desk_of(request)
    desk.challenges.check(parsed, caller.realm, desk.clock())
    await pay(request, caller)
    if parsed.result not in STEP_UP_RESULTS:
        record = partial(desk.audit.record, desk.clock(), caller.realm, caller.name, "event.verdict", "event")
        await asyncio.to_thread(record, event_id=event_id, result=parsed.result)
    return reply(await desk.live.report(parsed, caller.realm, caller.name))


async def remediate(request: Request) -> Response:
    """End a user's being at risk (scope `verdict`): the account is back with its owner."""
    caller = await recognise(request, "verdict")
    user_id = _user_id(await document(request, REPORT_BYTES))
    await pay(request, caller)
    desk = desk_of(request)
    await asyncio.to_thread(
        desk.audit.record, desk.clock(), caller.realm, caller.name, "user.remediate", "user", user_id=user_id
    )
    return reply(await desk.live.remediate(user_id, caller.realm, caller.name))


ROUTES = (
    Route("/events/{event_id}", read, methods=["GET"]),
    Route("/events/{event_id}/report", report, methods=["POST"]),
    Route("/users/remediate", remediate, methods=["POST"]),
)


def _event_id(request: Request) -> str:
    """Return the event id of the path; one that no event can have is one that does not exist."""
    try:
        found: str = EVENT_FIELDS["event_id"](request.path_params["event_id"])
    except ValueError as error:
        raise NotFound("there is no such event") from error
    return found


def _user_id(body: Any) -> str:
    if not isinstance(body, dict) or body.keys() - {"user_id"}:
        raise InvalidInput([Fault("", "must be an object with the field user_id and no other")])
    try:
        found: str = EVENT_FIELDS["user_id"](body.get("user_id"))
    except ValueError as error:
        raise InvalidInput([Fault("/user_id", str(error))]) from error
    return found
