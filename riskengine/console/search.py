"""Searching the event history with every filter there is; the address of a search tells nobody whom it asks for."""

import asyncio
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from riskengine.console.blocks import choices
from riskengine.console.credits import credits
from riskengine.console.door import Form, see
from riskengine.console.office import office_of
from riskengine.console.render import rendered
from riskengine.console.rows import asker, row_of, tallies
from riskengine.console.saved import recalled, saved
from riskengine.console.sessions import Visitor
from riskengine.decision import DECISIONS, LEVELS
from riskengine.errors import InvalidInput
from riskengine.event import ACTIONS, OUTCOMES, STATES
from riskengine.inquiry.filters import FILTERS, PERSONAL, SEVERAL
from riskengine.inquiry.inquiry import ORDERS, Page, Total
from riskengine.network import KINDS

LIMIT = 50
_CHOICES: dict[str, tuple[str, ...]] = {
    "decision": DECISIONS, "level": LEVELS, "outcome": OUTCOMES, "action": ACTIONS, "state": STATES,
    "network": tuple(KINDS), "order": ORDERS,
}  # fmt: skip
_LABELS = {
    "user_id": "User", "user_ref": "User reference", "login": "Login name", "ip": "Address", "cidr": "Network (CIDR)",
    "device_id": "Device", "session_id": "Session", "asn": "AS number", "network": "Kind of network",
    "state": "Report", "outcome": "Credentials", "reason": "Reason code", "min_score": "Score, at least",
    "max_score": "Score, at most", "since": "From (UTC)", "until": "Before (UTC)",
    "min_speed_kmh": "Speed, at least km/h", "order": "Order",
}  # fmt: skip
FIELDS = (*FILTERS, "order")
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")


async def ask(request: Request, visitor: Visitor) -> Response:
    """Show the form, and the newest events."""
    return await _show(request, visitor, {})


async def save(request: Request, visitor: Visitor, form: Form) -> Response:
    """Send the browser to the page of a search; what makes no sense in it is told beside the form."""
    wanted = {name: form[name].strip() for name in FIELDS if form.get(name, "").strip()}
    office, realm = office_of(request), visitor.caller.realm
    try:
        office.inquiry.filters(given_of(wanted), realm)
    except InvalidInput as error:
        faults = [f"{_label(fault.pointer.split('/')[1])} {fault.detail}." for fault in error.faults]
        return rendered(request, "search.html", 422, **_empty(wanted, visitor), faults=faults, credits=credits(request))
    return see(f"/console/search/{saved(wanted, realm, office.live.engine.seal)}" if wanted else "/console/search")


async def show(request: Request, visitor: Visitor) -> Response:
    """Show what a search finds."""
    wanted = recalled(request.path_params["search"], visitor.caller.realm, office_of(request).live.engine.seal)
    return await _show(request, visitor, wanted)


async def _show(request: Request, visitor: Visitor, wanted: dict[str, str]) -> Response:
    page, total = await asyncio.to_thread(_found, request, visitor, wanted)
    following = None if page.next is None else f"{request.url.path}?after={page.next}"
    told = _empty(wanted, visitor) | {
        "total": total,
        "rows": [row_of(one, visitor) for one in page.events],
        "tallies": tallies(page.events, visitor) if wanted else [],
        "next": following,
        "blocks": choices(request, visitor, wanted),
        "search": request.path_params.get("search") if visitor.is_analyst else None,
        "searched": True,
    }
    return rendered(request, "search.html", **told, faults=[], credits=credits(request))


def _found(request: Request, visitor: Visitor, wanted: dict[str, str]) -> tuple[Page, Total | None]:
    """Return a page of what is found, and of how many events it is one, where that is told without opening them."""
    inquiry = office_of(request).inquiry
    filters = inquiry.filters(given_of(wanted), visitor.caller.realm)
    order, after = wanted.get("order", "time"), request.query_params.get("after")
    page = inquiry.search(asker(visitor), filters, order=order, limit=LIMIT, after=after)
    whole = page.next is None and after is None
    return page, None if whole or filters.sealed else inquiry.total(asker(visitor), filters)


def given_of(wanted: dict[str, str]) -> dict[str, Any]:
    """Return the fields of a form as filters: several values stand between commas, times without a zone are UTC.

    >>> given_of({"country": "US, JP", "since": "2026-03-04T09:00", "order": "score"})
    {'country': ['US', 'JP'], 'since': '2026-03-04T09:00:00Z'}
    """
    found: dict[str, Any] = {}
    for name, text in wanted.items():
        if name in SEVERAL:
            found[name] = [part.strip() for part in text.split(",") if part.strip()]
        elif name in ("since", "until") and (local := _LOCAL.fullmatch(text)):
            found[name] = f"{text}{'' if local[1] else ':00'}Z"
        elif name != "order":
            found[name] = text
    return found


def _empty(wanted: dict[str, str], visitor: Visitor) -> dict[str, Any]:
    """Return the form as it was filled in. A viewer gets nobody's name by opening the address of a search."""
    hidden = () if visitor.is_analyst else PERSONAL
    fields = [
        {
            "name": name,
            "label": _label(name),
            "choices": _CHOICES.get(name),
            "kind": "datetime-local" if name in ("since", "until") else "text",
            "value": "" if name in hidden else wanted.get(name, ""),
        }
        for name in FIELDS
    ]
    about = [_label(name) for name in wanted if name in hidden]
    return {"fields": fields, "rows": [], "total": None, "tallies": [], "next": None, "blocks": [], "search": None,
            "hidden": about, "searched": False}  # fmt: skip


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " ").capitalize())
