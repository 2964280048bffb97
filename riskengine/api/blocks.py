"""What is shut out: put up, listed, lifted."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from riskengine.api.calls import admit, desk_of, document, no_parameters, pay, recognise, reply
from riskengine.api.search import asked, refused
from riskengine.blocklist import parse_order
from riskengine.errors import Fault, InvalidInput
from riskengine.inquiry.inquiry import Asker

BLOCK_BYTES = 4 * 1024


async def add(request: Request) -> Response:
    """Put up a block (scope `verdict`); the answer says how many logins of the last day it would have denied."""
    caller = await recognise(request, "verdict")
    body = await document(request, BLOCK_BYTES)
    if not isinstance(body, dict):
        raise InvalidInput([Fault("", "must be a JSON object")])
    order = parse_order(body)
    await pay(request, caller)
    desk = desk_of(request)
    total = await asyncio.to_thread(desk.inquiry.lately, Asker(caller.name, caller.realm), order.target)
    block = await asyncio.to_thread(desk.blocklist.add, order, caller.realm, caller.name, desk.clock())
    return reply(block.told() | {"last_day": None if total is None else total.told()})


async def listed(request: Request) -> Response:
    """Return the blocks in force; with `all=true` also the newest of those that ended."""
    caller = await admit(request, "events:read", "verdict")
    try:
        given = asked(request.query_params, ("all",)).get("all", "false")
        if given not in ("true", "false"):
            raise InvalidInput([Fault("/all", "must be true or false")])
    except InvalidInput as error:
        raise refused(error) from error
    desk = desk_of(request)
    blocks = await asyncio.to_thread(
        desk.blocklist.listed, caller.realm, caller.name, desk.clock(), every=given == "true"
    )
    return reply({"blocks": [block.told() for block in blocks]})


async def lift(request: Request) -> Response:
    """Lift a block (scope `verdict`); one that ended already stays as it is."""
    caller = await admit(request, "verdict")
    no_parameters(request)
    desk, block_id = desk_of(request), request.path_params["block_id"]
    lifted = await asyncio.to_thread(desk.blocklist.lift, block_id, caller.realm, caller.name, desk.clock())
    return reply(lifted.told())


ROUTES = (
    Route("/blocks", add, methods=["POST"]),
    Route("/blocks", listed, methods=["GET"]),
    Route("/blocks/{block_id}", lift, methods=["DELETE"]),
)
