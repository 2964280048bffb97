"""Whether the process lives, whether it can serve, and what it counts."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from riskengine.api.calls import desk_of, reply
from riskengine.api.problems import NOT_READY, Refused
from riskengine.metrics import READY, exposition


async def healthz(request: Request) -> Response:
    """Say that the process answers; nothing else is looked at."""
    return reply({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Say whether logins can be decided and stored; 503 with the reasons when not, and while stopping."""
    reasons = desk_of(request).live.ready()
    if request.app.state.draining:
        reasons = ["stopping", *reasons]
    READY.set(not reasons)
    if reasons:
        raise Refused(NOT_READY, "; ".join(reasons), reasons=reasons)
    return reply({"status": "ready"})


async def metrics(request: Request) -> Response:
    """Return what is counted, in Prometheus' text format."""
    body, content_type = exposition()
    return Response(body, headers={"Content-Type": content_type})


ROUTES = (
    Route("/healthz", healthz, methods=["GET"]),
    Route("/readyz", readyz, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
)
