"""Searching the stored events."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from riskengine.access import Caller
from riskengine.api.calls import admit, desk_of, document, reply
from riskengine.api.problems import INVALID_PARAMETER, UNKNOWN_PARAMETER, Refused
from riskengine.check import Check, Wrong, boolean, checked, number, one_of
from riskengine.errors import Fault, InvalidInput
from riskengine.inquiry.filters import FILTERS, SEVERAL
from riskengine.inquiry.inquiry import LIMIT, MOST_LIMIT, ORDERS, Asker

SEARCH_BYTES = 64 * 1024
_CURSOR_LENGTH = 512


class Options(NamedTuple):
    """How the answer to a search is wanted."""

    order: str = ORDERS[0]
    limit: int = LIMIT
    after: str | None = None
    total: bool = False


async def listed(request: Request) -> Response:
    """Return a page of the events that match the query parameters."""
    caller = await admit(request, "events:read")
    try:
        return reply(await _page(request, caller, asked(request.query_params, (*FILTERS, *_OPTIONS))))
    except InvalidInput as error:
        raise refused(error) from error


async def found(request: Request) -> Response:
    """Return a page of the events that match the body."""
    caller = await admit(request, "events:read")
    body = await document(request, SEARCH_BYTES)
    if not isinstance(body, dict):
        raise InvalidInput([Fault("", "must be a JSON object")])
    return reply(await _page(request, caller, {name: value for name, value in body.items() if value is not None}))


async def _page(request: Request, caller: Caller, given: Mapping[str, Any]) -> dict[str, Any]:
    inquiry, asker = desk_of(request).inquiry, Asker(caller.name, caller.realm)
    options = _options(given)
    filters = inquiry.filters({name: value for name, value in given.items() if name not in _OPTIONS}, caller.realm)
    page = await asyncio.to_thread(
        inquiry.search, asker, filters, order=options.order, limit=options.limit, after=options.after
    )
    told = page.told()
    if options.total:
        total = await asyncio.to_thread(inquiry.total, asker, filters)
        told["total"] = {"count": total.count, "exact": total.exact, "text": str(total)}
    return told


def asked(given: QueryParams, known: tuple[str, ...]) -> dict[str, Any]:
    """Return query parameters as the members of a body: one that may have several values may be given several times.

    One that does not exist, or is given twice and can be only once, is refused by name.
    """
    members: dict[str, Any] = {}
    for name in given:
        shown = "".join(c if c.isprintable() else "?" for c in name[:64])
        if name not in known:
            raise Refused(UNKNOWN_PARAMETER, f"{shown} is not a parameter of this path.", parameter=shown)
        values = given.getlist(name)
        if len(values) > 1 and name not in SEVERAL:
            raise InvalidInput([Fault(f"/{name}", "is given more than once")])
        members[name] = values if name in SEVERAL else values[0]
    return members


def refused(error: InvalidInput) -> Refused:
    """Return what is wrong with query parameters, which the problem names."""
    faults = [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]
    name = error.faults[0].pointer.split("/")[1]
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return Refused(INVALID_PARAMETER, f"{name} {error.faults[0].detail}{more}.", parameter=name, errors=faults)


def _options(given: Mapping[str, Any]) -> Options:
    options, faults = checked({name: given[name] for name in _OPTIONS if name in given}, _OPTIONS, ())
    if faults:
        raise InvalidInput(faults)
    return Options(**options)


def _limit(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong("must be a whole number")
    return int(number(1, MOST_LIMIT)(value))


def _total(value: Any) -> bool:
    return boolean({"true": True, "false": False}.get(value, value) if isinstance(value, str) else value)


def _after(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _CURSOR_LENGTH:
        raise Wrong("must be the `next` of an earlier page")
    return value


_OPTIONS: dict[str, Check] = {"order": one_of(*ORDERS), "limit": _limit, "after": _after, "total": _total}

ROUTES = (
    Route("/events", listed, methods=["GET"]),
    Route("/events/search", found, methods=["POST"]),
)
