"""The page of one event, its verdict buttons, and the click that shows whom it is about."""

import asyncio
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from riskengine.check import format_time, parse_time
from riskengine.console import story
from riskengine.console.blocks import choices
from riskengine.console.credits import credits
from riskengine.console.door import Form, see
from riskengine.console.mask import masked_event
from riskengine.console.office import office_of
from riskengine.console.render import rendered
from riskengine.console.rows import asker, row_of
from riskengine.console.saved import saved
from riskengine.console.sessions import Visitor
from riskengine.errors import Fault, InvalidInput, NotFound
from riskengine.event import DAY_MS, EVENT_FIELDS, VERDICTS, parse_report
from riskengine.explain import decided
from riskengine.inquiry.found import Found

AROUND_MS, MOST_AROUND = 7 * DAY_MS, 200


async def open_event(request: Request, visitor: Visitor, form: Form) -> Response:
    """Send the browser to the page of the event that was asked for."""
    return see(page_of(_event_id(form.get("event_id", ""))))


async def read(request: Request, visitor: Visitor) -> Response:
    """Show one event; whose it is, to a viewer, masked. Opening it is audited first."""
    return await _show(request, visitor, "event.read", is_masked=not visitor.is_analyst)


async def reveal(request: Request, visitor: Visitor, form: Form) -> Response:
    """Show one event with whom it is about; that is audited by its own name."""
    return await _show(request, visitor, "event.reveal", is_masked=False)


async def report(request: Request, visitor: Visitor, form: Form) -> Response:
    """Take in a verdict; the engine learns from it as from POST /events/{id}/report."""
    event_id = _event_id(request.path_params["event_id"])
    result = form.get("result", "")
    if result not in VERDICTS:
        raise InvalidInput([Fault("/result", f"must be one of {', '.join(VERDICTS)}")])
    office, caller = office_of(request), visitor.caller
    parsed = parse_report({"event_id": event_id, "result": result})
    await _audit(request, visitor, "event.verdict", event_id, result=result)
    await office.live.report(parsed, caller.realm, caller.name)
    return see(page_of(event_id))


def page_of(event_id: str) -> str:
    """Return the address of an event's page."""
    return f"/console/events/{quote(event_id, safe=':~')}"


async def _show(request: Request, visitor: Visitor, what: str, *, is_masked: bool) -> Response:
    event_id = _event_id(request.path_params["event_id"])
    await _audit(request, visitor, what, event_id)
    found = await office_of(request).live.event(event_id, visitor.caller.realm)
    around = await asyncio.to_thread(_around, request, visitor, found)
    told = _told(found, is_masked) | {
        "neighbours": [row_of(one, visitor) for one in around],
        "links": _links(request, visitor, found),
        "blocks": choices(request, visitor, found["event"] | {"asn": found["answer"]["network"]["asn"]}),
        "page": page_of(event_id),
    }
    return rendered(request, "event.html", **told, credits=credits(request))


def _around(request: Request, visitor: Visitor, found: dict[str, Any]) -> list[Found]:
    """Return the same user's events next in time, on both sides, with this one among them, newest first."""
    inquiry, answer = office_of(request).inquiry, found["answer"]
    if answer["user_ref"] is None:
        return []
    at = parse_time(found["event"]["occurred_at"])
    span = {"since": format_time(at - AROUND_MS), "until": format_time(at + AROUND_MS)}
    filters = inquiry.filters({"user_ref": answer["user_ref"], **span}, visitor.caller.realm)
    events = inquiry.search(asker(visitor), filters, limit=MOST_AROUND).events
    here = next((n for n, one in enumerate(events) if one.event.get("event_id") == answer["event_id"]), 0)
    return events[max(0, here - 5) : here + 6]


def _links(request: Request, visitor: Visitor, found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return searches that this event suggests."""
    event, answer = found["event"], found["answer"]
    wanted = [
        ("From this address", {"ip": event["ip"]}),
        ("From this network", {"asn": str(answer["network"]["asn"] or "")}),
        ("By this device", {"device_id": event.get("device_id") or ""}),
    ]
    seal, realm = office_of(request).live.engine.seal, visitor.caller.realm
    return [(name, f"/console/search/{saved(one, realm, seal)}") for name, one in wanted if all(one.values())]


def _told(found: dict[str, Any], is_masked: bool) -> dict[str, Any]:
    """Return what the page says of an event."""
    answer, event = found["answer"], found["event"]
    return {
        "answer": answer,
        "decided": decided(answer),
        "state": found["state"],
        "headline": story.headline(answer),
        "sentences": story.sentences(answer),
        "explanation": found["explanation"],
        "weighed": story.weighed(answer),
        "bars": story.bars(answer),
        "signals": story.signals(answer),
        "map": story.map_of(answer),
        "place": story.place_rows(answer),
        "travel": story.travel_rows(answer["travel"]),
        "who": story.who_rows(masked_event(event) if is_masked else event, answer),
        "how": story.how_rows(event, answer),
        "policy": story.policy_rows(answer),
        "reports": found["reports"],
        "masked": is_masked,
    }


async def _audit(request: Request, visitor: Visitor, what: str, event_id: str, **more: str) -> None:
    office, caller = office_of(request), visitor.caller
    await asyncio.to_thread(
        office.audit.record, office.clock(), caller.realm, caller.name, what, "event", event_id=event_id, **more
    )


def _event_id(given: str) -> str:
    """Return an event id; one that no event can have is one that does not exist."""
    try:
        found: str = EVENT_FIELDS["event_id"](given.strip())
    except ValueError as error:
        raise NotFound("there is no such event") from error
    return found
