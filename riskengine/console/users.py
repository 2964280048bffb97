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
from riskengine.console.blocks import choices
from riskengine.console.credits import credits
from riskengine.console.door import Form, see
from riskengine.console.mask import masked
from riskengine.console.office import office_of
from riskengine.console.render import picture, rendered
from riskengine.console.rows import asker, row_of
from riskengine.console.sessions import Visitor
from riskengine.console.story import named
from riskengine.errors import InvalidInput, NotFound
from riskengine.inquiry.found import Found
from riskengine.reason import spell_time

LAST = 100
LEAST_KM = 50  # nearer is what databases say of one city


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


async def remediate(request: Request, visitor: Visitor, form: Form) -> Response:
    """End a user's being at risk: the account is back with its owner. That is audited."""
    office, caller = office_of(request), visitor.caller
    events = await asyncio.to_thread(_events, request, visitor)
    user = events[0].event["user_id"]
    await asyncio.to_thread(
        office.audit.record, office.clock(), caller.realm, caller.name, "user.remediate", "user", user_id=user
    )
    await office.live.remediate(user, caller.realm, caller.name)
    return see(f"/console/users/{request.path_params['user_ref']}")


async def _show(request: Request, visitor: Visitor, *, is_masked: bool) -> Response:
    events = await asyncio.to_thread(_events, request, visitor)
    reference = request.path_params["user_ref"]
    known = await asyncio.to_thread(office_of(request).inquiry.user, asker(visitor), reference)
    user = events[0].event["user_id"]
    return rendered(
        request,
        "user.html",
        user=masked(user) if is_masked else user,
        masked=is_masked,
        rows=[row_of(one, visitor) for one in events],
        map=map_of(events),
        least_km=LEAST_KM,
        legs=[leg for one in events if (leg := _leg_row(one))],
        hours=hours_of(events),
        networks=_networks(events),
        blocks=choices(request, visitor, {"user_id": user}),
        known=known,
        trusted=trusted(known, is_masked),
        page=f"/console/users/{reference}",
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
        if travel and travel["distance_km"] >= LEAST_KM:
            start, end = travel["from"], travel["to"]
            title = f"{named(start)} to {named(end)}, {travel['distance_km']:,.0f} km"
            points = [(at["latitude"], at["longitude"]) for at in (start, end)]
            legs.append(Leg(points[0], points[1], plausibility(travel["impossible"]), title))
        if place:
            ends.append(((place["latitude"], place["longitude"]), place["radius_km"], named(place)))
    return picture(world_map("Places and journeys of this user", legs, spots_of(ends)))


_SPELLED = {"fine": "plausible"}


def _leg_row(one: Found) -> dict[str, Any] | None:
    travel = one.answer["travel"]
    if not travel or travel["distance_km"] < LEAST_KM:
        return None
    speed = travel["min_speed_kmh"]
    return {
        "at": one.event["occurred_at"],
        "from": named(travel["from"]),
        "to": named(travel["to"]),
        "km": f"{travel['distance_km']:,.0f}",
        "time": spell_time(travel["seconds"]),
        "speed": "" if speed is None else f"{speed:,.0f}",
        "plausibility": _SPELLED.get(found := plausibility(travel["impossible"]), found),
    }


def hours_of(events: Sequence[Found]) -> Markup:
    """Return the hours of the week, UTC, of these events."""
    counts = [[0] * 24 for _ in range(7)]
    for one in events:
        at = datetime.fromisoformat(one.event["occurred_at"])
        counts[at.weekday()][at.hour] += 1
    return picture(week("Logins by weekday and hour, UTC", counts))


def trusted(known: dict[str, Any], is_masked: bool) -> list[dict[str, Any]]:
    """Return the places, countries, networks and devices that the engine knows of this user, and how far it trusts
    them."""
    told = [
        *(("place", one["place"] or f"{one['latitude']}, {one['longitude']}", one) for one in known["places"]),
        *(("country", one["country"], one) for one in known["countries"]),
        *(("network", one["name"] or f"AS{one['asn']}", one) for one in known["networks"]),
        *(("device", _device(one, is_masked), one) for one in known["devices"]),
    ]
    return [{"kind": kind, "name": name, **one} for kind, name, one in told]


def _device(one: dict[str, Any], is_masked: bool) -> str:
    if not one["sent"]:
        return "none sent"
    device = one["device_id"]
    return "not seen lately" if device is None else masked(device) if is_masked else device


def _networks(events: Sequence[Found]) -> list[tuple[str, int]]:
    """Return the networks of the last events, the most frequent first."""
    return Counter(one.answer["network"]["name"] or one.answer["network"]["kind"] for one in events).most_common(8)
