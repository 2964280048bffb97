"""The first page: what was decided lately, why, and what comes in now."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from riskengine.charts.plot import Axis, Bar, Bin, bar_chart, counting_axis, histogram
from riskengine.check import format_time, parse_time
from riskengine.console.credits import credits
from riskengine.console.office import Office, office_of
from riskengine.console.render import picture, rendered
from riskengine.console.rows import asker, row_of
from riskengine.console.sessions import Visitor
from riskengine.decision import DECISIONS
from riskengine.explain import decided
from riskengine.inquiry.found import Found

HOUR_MS = 3_600_000
HOURS = 24
MOST, TAIL = 500, 15


async def overview(request: Request, visitor: Visitor) -> Response:
    """Show the last day."""
    office = office_of(request)
    now = office.clock()
    events = await asyncio.to_thread(_last, office, visitor, MOST)
    day = [one for one in events if parse_time(one.event["occurred_at"]) > now - HOURS * HOUR_MS]
    return rendered(
        request,
        "home.html",
        is_empty=not events,
        over_time=_over_time(day, now),
        reasons=_reasons(day),
        rows=[row_of(one, visitor) for one in events[:TAIL]],
        most=MOST if len(day) == MOST else None,
        credits=credits(request),
    )


async def tail(request: Request, visitor: Visitor) -> Response:
    """Show the newest events alone, for a page that asks again and again."""
    events = await asyncio.to_thread(_last, office_of(request), visitor, TAIL)
    return rendered(request, "tail.html", rows=[row_of(one, visitor) for one in events])


def _last(office: Office, visitor: Visitor, limit: int) -> Sequence[Found]:
    return office.inquiry.search(asker(visitor), office.inquiry.filters({}, visitor.caller.realm), limit=limit).events


def _over_time(events: Sequence[Found], now: int) -> Markup:
    """Return how many logins of each decision each hour of the last day had."""
    first = now // HOUR_MS - HOURS + 1
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for one in events:
        counts[parse_time(one.event["occurred_at"]) // HOUR_MS][decided(one.answer)] += 1
    bins = [Bin(hour, hour + 1, [counts[hour][name] for name in DECISIONS]) for hour in range(first, first + HOURS)]
    ticks = tuple((first + at, format_time((first + at) * HOUR_MS)[11:16]) for at in (0, 6, 12, 18))
    highest = max((count for hour in counts.values() for count in hour.values()), default=0)
    names = [name.replace("_", " ") for name in DECISIONS]
    axis = Axis("hour (UTC)", first, first + HOURS, ticks)
    return picture(histogram("Decisions of the last 24 hours", names, bins, axis, counting_axis("logins", highest)))


def _reasons(events: Sequence[Found]) -> Markup:
    """Return the most frequent reasons."""
    counts = Counter(reason["code"] for one in events for reason in one.answer["reasons"]).most_common(6)
    bars = [Bar(code.replace("_", " "), count, None, None, f"{count:,}") for code, count in counts]
    return picture(bar_chart("Top reasons", bars, counting_axis("logins", max([n for _, n in counts], default=1))))
