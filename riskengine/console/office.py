"""What every page works with."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from riskengine.access.guesses import Guesses
from riskengine.access.limits import Limits
from riskengine.activation import Rulebook
from riskengine.audit import Audit
from riskengine.blocklist import Blocklist
from riskengine.console.sessions import Sessions
from riskengine.inquiry.inquiry import Inquiry
from riskengine.live import Live
from riskengine.store.contract import Store
from riskengine.verdicts import Verdicts


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
    verdicts: Verdicts
    guesses: Guesses
    limits: Limits
    clock: Callable[[], int]


def office_of(request: Request) -> Office:
    """Return the parts of the application that serves `request`."""
    office: Office = request.app.state.office
    return office
