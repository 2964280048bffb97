"""Whether all is well: places, store, journal, keys."""

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from riskengine.check import format_time
from riskengine.console.credits import credits
from riskengine.console.office import Office, office_of
from riskengine.console.render import rendered
from riskengine.console.rows import asker, hidden
from riskengine.console.sessions import Visitor
from riskengine.errors import StoreUnavailable
from riskengine.inquiry.found import Found
from riskengine.locate.source import DAMAGED, OLD, SEED

OLD_DAYS = 35
LAST = 200  # events looked at for a proxy that hides users
_DEGRADED = {
    SEED: "Location is known by country only: the city data could not be had. `riskengine geo fetch` gets it.",
    OLD: "The geolocation data is more than a year old: replace it.",
    DAMAGED: "A geolocation file holds records that cannot be decoded: replace it.",
}


async def status(request: Request, visitor: Visitor) -> Response:
    """Show the state of what decisions rest on."""
    office, now = office_of(request), office_of(request).clock()
    source, locator, journal = office.live.engine.locator.source(now), office.live.engine.locator, office.live.journal
    store = await asyncio.to_thread(_store, office)
    held = (locator.problem(), locator.held())
    alerts = [*office.live.ready(), *office.rulebook.problems.values(), *filter(None, held)]
    alerts += [_DEGRADED[code] for code in source.degraded if code in _DEGRADED]
    if OLD not in source.degraded and source.age_days(now) > OLD_DAYS:
        alerts.append(f"The geolocation data is {source.age_days(now)} days old: a new edition comes out every month.")
    if journal.pending():
        alerts.append(f"{journal.pending():,} answered logins wait in the journal until the store takes them.")
    if store != "answers":
        alerts.append("The store does not answer.")
    elif told := hidden(await asyncio.to_thread(_last, office, visitor)):
        alerts.append(told)
    geo = [
        ("Data", source.name),
        ("Date", source.date),
        ("Age", f"{max(source.age_days(now), 0)} days"),
        ("Known to", source.level),
        ("Licence", source.licence),
        ("Credits", "; ".join(source.attribution)),
        ("Radii wider by", f"{source.radius_factor:.2f}" if source.radius_factor > 1 else "not at all"),
    ]
    kept = [
        ("Store", store),
        ("Journal", f"{journal.pending():,} waiting"),
        ("Requests waiting", f"{office.live.waiting():,}"),
        ("Policy", f"{office.rulebook.policy.name}, version {office.rulebook.policy.version}"),
    ]
    keys = await asyncio.to_thread(_keys, office, visitor.caller.realm, now)
    return rendered(request, "status.html", alerts=alerts, geo=geo, store=kept, keys=keys, credits=credits(request))


def _last(office: Office, visitor: Visitor) -> Sequence[Found]:
    filters = office.inquiry.filters({}, visitor.caller.realm)
    return office.inquiry.search(asker(visitor), filters, limit=LAST).events


def _store(office: Office) -> str:
    try:
        office.store.ping()
    except StoreUnavailable:
        return "does not answer"
    return "answers"


def _keys(office: Office, realm: str, now: int) -> list[dict[str, Any]]:
    return [
        {"name": row.name, "id": row.id, "scopes": row.scopes, "ends": format_time(row.expires_at)}
        for row in office.store.access_keys()
        if row.realm == realm and row.revoked_at is None and now < row.expires_at
    ]
