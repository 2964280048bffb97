"""What is shut out: the list, and putting up a block in two steps; the first says what it would have denied."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from riskengine.blocklist import Order, parse_order
from riskengine.check import format_time
from riskengine.console.door import Form, see
from riskengine.console.mask import masked, masked_address
from riskengine.console.office import office_of
from riskengine.console.render import rendered
from riskengine.console.rows import asker
from riskengine.console.saved import recalled, saved
from riskengine.console.sessions import Visitor
from riskengine.engine.block import Target, parse_target
from riskengine.errors import InvalidInput

PAGE = "/console/blocks"
SPANS = (("1h", "1 hour"), ("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days"))
# Fields of events and searches by which something can be shut out, and how a block writes their values.
_FROM_FIELDS = {"ip": "{}", "cidr": "{}", "asn": "AS{}", "user_id": "user:{}", "device_id": "device:{}"}


async def read(request: Request, visitor: Visitor) -> Response:
    """Show the blocks in force and those that ended; whom they name, to a viewer, masked. That is audited."""
    return await _show(request, visitor)


async def add(request: Request, visitor: Visitor, form: Form) -> Response:
    """Say how many logins of the last day a block would have denied; once that was confirmed, put it up."""
    office, realm = office_of(request), visitor.caller.realm
    chosen = recalled(form["what"], realm, office.live.engine.seal) if "what" in form else form
    value = chosen.get("value", "")
    given = {"value": value.strip(), "for": form.get("for", ""), "why": form.get("why", "").strip()}
    try:
        order = parse_order(given | {"force": form.get("force") == "yes"})
    except InvalidInput as error:
        return await _show(request, visitor, 422, [f"{fault.pointer[1:]} {fault.detail}." for fault in error.faults])
    if form.get("confirmed") != "yes":
        return await _ask(request, visitor, order, form)
    await asyncio.to_thread(office.blocklist.add, order, realm, visitor.caller.name, office.clock())
    return see(PAGE)


async def lift(request: Request, visitor: Visitor, form: Form) -> Response:
    """End a block before its time."""
    office, caller = office_of(request), visitor.caller
    block_id = request.path_params["block_id"]
    await asyncio.to_thread(office.blocklist.lift, block_id, caller.realm, caller.name, office.clock())
    return see(PAGE)


def choices(request: Request, visitor: Visitor, fields: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what an analyst may shut out of what these fields of an event or a search name: sealed, and as written."""
    if not visitor.is_analyst:
        return []
    seal, found = office_of(request).live.engine.seal, []
    for name, form in _FROM_FIELDS.items():
        if fields.get(name):
            try:
                target = parse_target(form.format(fields[name]))
            except ValueError:  # several AS numbers at once, or a user whom no rule of today would admit
                continue
            found.append((saved({"value": str(target)}, visitor.caller.realm, seal), str(target)))
    return found


async def _ask(request: Request, visitor: Visitor, order: Order, form: Form) -> Response:
    office, value = office_of(request), str(order.target)
    lately = await asyncio.to_thread(office.inquiry.lately, asker(visitor), order.target)
    what = saved({"value": value}, visitor.caller.realm, office.live.engine.seal)
    given = {"what": what, "for": form["for"], "why": order.why, "force": form.get("force", "")}
    return rendered(request, "block.html", target=value, order=order, lately=lately, given=given)


async def _show(
    request: Request, visitor: Visitor, status: int = 200, faults: list[str] | None = None
) -> Response:
    office, caller, now = office_of(request), visitor.caller, office_of(request).clock()
    found = await asyncio.to_thread(office.blocklist.listed, caller.realm, caller.name, now, every=True)
    rows = [
        {
            "id": one.id,
            "target": str(one.target) if visitor.is_analyst else _masked(one.target),
            "state": one.state(now),
            "until": format_time(one.expires_at if one.lifted_at is None else one.lifted_at),
            "who": one.who,
            "why": one.why,
        }
        for one in found
    ]
    return rendered(request, "blocks.html", status, rows=rows, faults=faults or [], spans=SPANS)


def _masked(target: Target) -> str:
    if target.kind == "address":
        return masked_address(str(target.network.network_address))
    return target.value if target.kind == "asn" else f"{target.kind}:{masked(target.value)}"
