"""One verdict on all events that a search finds: counted, given step by step, withdrawn."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from riskengine.api.calls import desk_of, document, pay, recognise, reply
from riskengine.check import Check, Wrong, checked, one_of, text
from riskengine.errors import Fault, InvalidInput
from riskengine.event import VERDICTS
from riskengine.inquiry.inquiry import Asker

BODY_BYTES = 64 * 1024


async def give(request: Request) -> Response:
    """Count the events that a verdict would be given on, or do the next step that `confirm` stands for."""
    caller = await recognise(request, "verdict")
    given = _given(await document(request, BODY_BYTES), _FIELDS)
    desk, asker = desk_of(request), Asker(caller.name, caller.realm)
    if "confirm" not in given and (missing := [name for name in ("filters", "result") if name not in given]):
        raise InvalidInput([Fault(f"/{name}", "is required without confirm") for name in missing])
    if "confirm" in given and len(given) > 1:
        raise InvalidInput([Fault("/confirm", "stands alone: what it confirms was counted before")])
    await pay(request, caller)
    if "confirm" in given:
        step = await asyncio.to_thread(desk.verdicts.step, asker, given["confirm"])
    else:
        step = await asyncio.to_thread(desk.verdicts.count, asker, given["filters"], given["result"])
    return reply(step.told())


async def undo(request: Request) -> Response:
    """Count the verdicts that were given together, or withdraw the next of them."""
    caller = await recognise(request, "verdict")
    given = _given(await document(request, BODY_BYTES), {"confirm": _FIELDS["confirm"]})
    desk, asker = desk_of(request), Asker(caller.name, caller.realm)
    await pay(request, caller)
    if "confirm" in given:
        step = await asyncio.to_thread(desk.verdicts.step, asker, given["confirm"])
    else:
        step = await asyncio.to_thread(desk.verdicts.undo, asker, request.path_params["verdicts_id"])
    return reply(step.told())


def _given(body: Any, fields: dict[str, Check]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise InvalidInput([Fault("", "must be a JSON object")])
    given, faults = checked(body, fields, ())
    if faults:
        raise InvalidInput(faults)
    return given


def _filters(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Wrong("must be an object")
    return {name: one for name, one in value.items() if one is not None}


_FIELDS: dict[str, Check] = {"filters": _filters, "result": one_of(*VERDICTS), "confirm": text(16_384)}

ROUTES = (
    Route("/events/verdicts", give, methods=["POST"]),
    Route("/events/verdicts/{verdicts_id}/undo", undo, methods=["POST"]),
)
