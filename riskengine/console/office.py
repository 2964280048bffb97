"""What every page works with."""

from collections.abc import Callable
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request

from riskengine.access.limits import Limits
from riskengine.activation import Rulebook
from riskengine.audit import Audit
from riskengine.blocklist import Blocklist
from riskengine.console.sessions import Sessions
from riskengine.inquiry.inquiry import Inquiry
from riskengine.live import Live
from riskengine.store.contract import Store

# Failed sign-ins from one address, to one worker.
ATTEMPTS = RateLimitItemPerMinute(10, 10)


class Patience:
    """How often an address may fail to sign in: 10 times in 10 minutes."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def lasts(self, address: str) -> bool:
        """Return whether this address may try."""
        return self._limiter.test(ATTEMPTS, address)

    def failed(self, address: str) -> None:
        """Count a failure."""
        self._limiter.hit(ATTEMPTS, address)


@dataclass(frozen=True, slots=True)
class Office:
    """The parts that pages work with; `clock` gives ms since 1970 and is the only clock they read."""

    live: Live
    store: Store
    sessions: Sessions
    audit: Audit
    rulebook: Rulebook
    inquiry: Inquiry
    blocklist: Blocklist
    patience: Patience
    limits: Limits
    clock: Callable[[], int]


def office_of(request: Request) -> Office:
    """Return the parts of the application that serves `request`."""
    office: Office = request.app.state.office
    return office
