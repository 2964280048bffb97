"""The page of one user: when, where, by what, and each journey on the map."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from riskengine.charts.hours import week
from riskengine.charts.world import Leg, plausibility, spots_of, world_map
from riskengine.console.credits import credits
from riskengine.console.door import Form
from riskengine.console.mask import masked
from riskengine.console.office import office_of
from riskengine.console.render import picture, rendered
from riskengine.console.rows import asker, row_of
from riskengine.console.sessions import Visitor
from riskengine.console.story import named
from riskengine.errors import InvalidInput, NotFound
from riskengine.inquiry.inquiry import Found
from riskengine.reason import spell_time

LAST = 100


async def read(request: Request, visitor: Visitor) -> Response:
    """Show one user; who it is, to a viewer, masked. That it was opened is audited."""
    return await _show(request, visitor, is_masked=not visitor.is_analyst)


async def reveal(request: Request, visitor: Visitor, form: Form) -> Response:
    """Show one user by name; that is audited by its own name."""
    office, caller, reference = office_of(request), visitor.caller, request.path_params["user_ref"]
    await asyncio.to_thread(
        office.audit.record, office.clock(), caller.realm, caller.name, "user.reveal", "user", user_ref=reference
    )
    return await _show(request, visitor, is_masked=False)


async def _show(request: Request, visitor: Visitor, *, is_masked: bool) -> Response:
    events = await asyncio.to_thread(_events, request, visitor)
    user = events[0].event["user_id"]
    return rendered(
        request,
        "user.html",
        user=masked(user) if is_masked else user,
        masked=is_masked,
        rows=[row_of(one, visitor) for one in events],
        map=map_of(events),
        legs=[leg for one in events if (leg := _leg_row(one))],
        hours=hours_of(events),
        knows=_known(events, is_masked),
        page=f"/console/users/{request.path_params['user_ref']}",
        credits=credits(request),
    )


def _events(request: Request, visitor: Visitor) -> Sequence[Found]:
    inquiry = office_of(request).inquiry
    try:
        filters = inquiry.filters({"user_ref": request.path_params["user_ref"]}, visitor.caller.realm)
    except InvalidInput as error:
        raise NotFound("there is no such user") from error
    events = inquiry.search(asker(visitor), filters, limit=LAST).events
    if not events:
        raise NotFound("there is no such user")
    return events


def map_of(events: Sequence[Found]) -> Markup:
    """Return every journey that was measured, and every place."""
    legs, ends = [], []
    for one in reversed(events):
        travel, place = one.answer["travel"], one.answer["location"]
        if travel and travel["distance_km"] >= 1:
            start, end = travel["from"], travel["to"]
            title = f"{named(start)} to {named(end)}, {travel['distance_km']:,.0f} km"
            points = [(at["latitude"], at["longitude"]) for at in (start, end)]
            legs.append(Leg(points[0], points[1], plausibility(travel["impossible"]), title))
        if place:
            ends.append(((place["latitude"], place["longitude"]), place["radius_km"], named(place)))
    return picture(world_map("Places and journeys of this user", legs, spots_of(ends)))


def _leg_row(one: Found) -> dict[str, Any] | None:
    travel = one.answer["travel"]
    if not travel or travel["distance_km"] < 1:
        return None
    speed = travel["min_speed_kmh"]
    return {
        "at": one.event["occurred_at"],
        "from": named(travel["from"]),
        "to": named(travel["to"]),
        "km": f"{travel['distance_km']:,.0f}",
        "time": spell_time(travel["seconds"]),
        "speed": "" if speed is None else f"{speed:,.0f}",
        "plausibility": plausibility(travel["impossible"]),
    }


def hours_of(events: Sequence[Found]) -> Markup:
    """Return the hours of the week, UTC, of these events."""
    counts = [[0] * 24 for _ in range(7)]
    for one in events:
        at = datetime.fromisoformat(one.event["occurred_at"])
        counts[at.weekday()][at.hour] += 1
    return picture(week("Logins by weekday and hour, UTC", counts))


def _known(events: Sequence[Found], is_masked: bool) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return by what and from where this user comes."""
    devices = Counter(one.event["device_id"] for one in events if one.event.get("device_id"))
    shown = [(masked(name) if is_masked else name, count) for name, count in devices.most_common(8)]
    places = Counter(named(one.answer["location"]) for one in events if one.answer["location"])
    networks = Counter(one.answer["network"]["name"] or one.answer["network"]["kind"] for one in events)
    return [("Places", places.most_common(8)), ("Networks", networks.most_common(8)), ("Devices", shown)]
