"""The first page."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from riskengine.console.office import office_of
from riskengine.console.render import rendered
from riskengine.console.sessions import Visitor
from riskengine.store.contract import Store


async def overview(request: Request, visitor: Visitor) -> Response:
    """Show where to begin."""
    is_empty = not await asyncio.to_thread(_has_events, office_of(request).store)
    return rendered(request, "home.html", is_empty=is_empty)


def _has_events(store: Store) -> bool:
    return next(iter(store.events()), None) is not None
