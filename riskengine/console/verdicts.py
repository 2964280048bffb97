"""One verdict on all events that a search finds: the count first, then step by step; and taking it back."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from riskengine.console.door import Form
from riskengine.console.office import office_of
from riskengine.console.render import rendered
from riskengine.console.rows import asker
from riskengine.console.saved import recalled
from riskengine.console.search import given_of
from riskengine.console.sessions import Visitor
from riskengine.verdicts import Step


async def count(request: Request, visitor: Visitor, form: Form) -> Response:
    """Say how many events a verdict would be given on, and ask whether to give it."""
    office = office_of(request)
    wanted = recalled(form.get("search", ""), visitor.caller.realm, office.live.engine.seal)
    given, result = given_of(wanted), form.get("result", "")
    return _told(request, await asyncio.to_thread(office.verdicts.count, asker(visitor), given, result), begun=False)


async def step(request: Request, visitor: Visitor, form: Form) -> Response:
    """Give, or withdraw, the next verdicts."""
    found = await asyncio.to_thread(office_of(request).verdicts.step, asker(visitor), form.get("confirm", ""))
    return _told(request, found, begun=True)


async def undo(request: Request, visitor: Visitor, form: Form) -> Response:
    """Say how many verdicts were given together, and ask whether to withdraw them."""
    verdicts_id = request.path_params["verdicts_id"]
    found = await asyncio.to_thread(office_of(request).verdicts.undo, asker(visitor), verdicts_id)
    return _told(request, found, begun=False)


def _told(request: Request, found: Step, *, begun: bool) -> Response:
    return rendered(request, "verdicts.html", progress=found.told(), begun=begun)
