"""Searching the stored events."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from riskengine.access.caller import Caller
from riskengine.api.calls import admit, desk_of, document, no_parameters, reply
from riskengine.api.problems import INVALID_PARAMETER, UNKNOWN_PARAMETER, Refused
from riskengine.check import Check, Wrong, boolean, checked, number, one_of
from riskengine.errors import Fault, InvalidInput, NotFound
from riskengine.inquiry import export
from riskengine.inquiry.export import FORMATS, MEDIA_TYPES
from riskengine.inquiry.filters import FILTERS, SEVERAL, USER_REF
from riskengine.inquiry.inquiry import ARRIVAL, LIMIT, MOST_LIMIT, ORDERS, Asker

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


async def exported(request: Request) -> Response:
    """Stream every event that matches the query parameters, newest first, in the format asked for."""
    caller = await admit(request, "events:export")
    inquiry, asker = desk_of(request).inquiry, Asker(caller.name, caller.realm)
    try:
        given = asked(request.query_params, (*FILTERS, "format"))
        format_ = _format(given.pop("format", FORMATS[0]))
        filters = inquiry.filters(given, caller.realm)
    except InvalidInput as error:
        raise refused(error) from error
    parts = export.exported(await asyncio.to_thread(inquiry.all, asker, filters), format_)
    name = f'attachment; filename="events.{"csv" if format_ == "csv" else "ndjson"}"'
    return StreamingResponse(parts, media_type=MEDIA_TYPES[format_], headers={"Content-Disposition": name})


async def person(request: Request) -> Response:
    """Return what the engine knows of a user."""
    caller = await admit(request, "events:read")
    no_parameters(request)
    user_ref = request.path_params["user_ref"]
    if not USER_REF.fullmatch(user_ref):
        raise NotFound("there is no such user")
    asker = Asker(caller.name, caller.realm)
    return reply(await asyncio.to_thread(desk_of(request).inquiry.user, asker, user_ref))


async def counts(request: Request) -> Response:
    """Return counts over time."""
    caller = await admit(request, "events:read")
    try:
        given = asked(request.query_params, ("since", "until", "step"))
        inquiry = desk_of(request).inquiry
        return reply(await asyncio.to_thread(inquiry.statistics, Asker(caller.name, caller.realm), given))
    except InvalidInput as error:
        raise refused(error) from error


def _format(given: str) -> str:
    if given not in FORMATS:
        raise InvalidInput([Fault("/format", f"must be one of {', '.join(FORMATS)}")])
    return given


async def _page(request: Request, caller: Caller, given: Mapping[str, Any]) -> dict[str, Any]:
    inquiry, asker = desk_of(request).inquiry, Asker(caller.name, caller.realm)
    options = _options(given)
    filters = inquiry.filters({name: value for name, value in given.items() if name not in _OPTIONS}, caller.realm)
    ask = inquiry.follow if options.order == ARRIVAL else partial(inquiry.search, order=options.order)
    page = await asyncio.to_thread(ask, asker, filters, limit=options.limit, after=options.after)
    told = page.told()
    if options.total:
        told["total"] = (await asyncio.to_thread(inquiry.total, asker, filters)).told()
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


_OPTIONS: dict[str, Check] = {"order": one_of(*ORDERS, ARRIVAL), "limit": _limit, "after": _after, "total": _total}

ROUTES = (
    Route("/events", listed, methods=["GET"]),
    Route("/events/search", found, methods=["POST"]),
    Route("/events/export", exported, methods=["GET"]),
    Route("/stats", counts, methods=["GET"]),
    Route("/users/{user_ref}", person, methods=["GET"]),
)
