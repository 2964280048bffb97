"""Whether the process lives, whether it can serve, and what it counts."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from riskengine.api.calls import desk_of, reply
from riskengine.api.problems import NOT_READY, Refused
from riskengine.live import Live
from riskengine.metrics import GEO_AGE, JOURNALED, QUEUED, READY, WORKERS, exposition


async def healthz(request: Request) -> Response:
    """Say that the process answers; nothing else is looked at."""
    return reply({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Say whether logins can be decided and stored; 503 with the reasons when not, and while stopping."""
    if reasons := _unready(desk_of(request).live, request.app.state.draining):
        raise Refused(NOT_READY, "; ".join(reasons), reasons=reasons)
    return reply({"status": "ready"})


async def metrics(request: Request) -> Response:
    """Return what is counted, in Prometheus' text format."""
    desk = desk_of(request)
    gauge(desk.live, request.app.state.draining, desk.clock())
    body, content_type = exposition()
    return Response(body, headers={"Content-Type": content_type})


def gauge(live: Live, draining: bool, now_ms: int) -> None:
    """Set the metrics that say how things are at this moment."""
    WORKERS.set(1)
    READY.set(not _unready(live, draining))
    QUEUED.set(live.waiting())
    JOURNALED.set(live.journal.pending())
    GEO_AGE.set(live.engine.locator.source(now_ms).age_days(now_ms))


def _unready(live: Live, draining: bool) -> list[str]:
    reasons = live.ready()
    return ["stopping", *reasons] if draining else reasons


ROUTES = (
    Route("/healthz", healthz, methods=["GET"]),
    Route("/readyz", readyz, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
)
