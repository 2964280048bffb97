"""The first page: what was decided lately, why, and what comes in now."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from riskengine.charts.plot import Axis, Bar, Bin, bar_chart, counting_axis, day_histogram, histogram
from riskengine.check import format_time, parse_time
from riskengine.console.credits import credits
from riskengine.console.office import Office, office_of
from riskengine.console.render import picture, rendered
from riskengine.console.rows import asker, row_of
from riskengine.console.sessions import Visitor
from riskengine.decision import DECISIONS
from riskengine.event import DAY_MS
from riskengine.explain import decided
from riskengine.inquiry.found import Found
from riskengine.reason import spell_time

HOUR_MS = 3_600_000
HOURS, DAYS = 24, 30
UNWELCOME = DECISIONS[1:]
MOST, TAIL, REASONS = 500, 15, 6


async def overview(request: Request, visitor: Visitor) -> Response:
    """Show the last day, and what was not allowed in the last month."""
    office = office_of(request)
    now = office.clock()
    events = await asyncio.to_thread(_last, office, visitor, MOST)
    day = [one for one in events if parse_time(one.event["occurred_at"]) > now - HOURS * HOUR_MS]
    return rendered(
        request,
        "home.html",
        is_empty=not events,
        said=told(Counter(decided(one.answer) for one in day)),
        over_time=_over_time(day, now),
        month=await asyncio.to_thread(_month, office, visitor, now) if events else None,
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


def told(counts: Mapping[str, int]) -> str:
    """Return how many logins of each decision there were, as a sentence.

    >>> told({"allow": 1_200, "step_up": 3})
    '1,203 logins: 1,200 allowed, 3 asked for a second factor, 0 denied.'
    """
    allowed, asked, denied = (counts.get(name, 0) for name in DECISIONS)
    total = f"{sum(counts.values()):,} login{'' if sum(counts.values()) == 1 else 's'}"
    return f"{total}: {allowed:,} allowed, {asked:,} asked for a second factor, {denied:,} denied."


def _month(office: Office, visitor: Visitor, now: int) -> dict[str, Any] | None:
    """Return the last days: how many logins of each decision, what was not allowed by the day, and the most frequent
    reasons; None before anything was counted."""
    asked = {"since": format_time(now - (DAYS - 1) * DAY_MS), "until": format_time(now), "step": "day"}
    found = office.inquiry.statistics(asker(visitor), asked)
    if found["lag_seconds"] is None:
        return None
    series = {one["value"]: one for one in found["decision"]}
    nothing = [0] * len(found["times"])
    shown = [series[name]["over_time"] if name in series else nothing for name in UNWELCOME]
    days = [(at[:10], counts) for at, *counts in zip(found["times"], *shown, strict=True)]
    names = [name.replace("_", " ") for name in UNWELCOME]
    return {
        "said": told({name: one["events"] for name, one in series.items()}),
        "days": picture(day_histogram("Logins that were not allowed, by day", names, days, "logins")),
        "reasons": _bars({one["value"]: one["events"] for one in found["reason"][:REASONS]}),
        "behind": spell_time(found["lag_seconds"]) if found["lag_seconds"] >= 1 else "",
    }


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
    return _bars(
        dict(Counter(reason["code"] for one in events for reason in one.answer["reasons"]).most_common(REASONS))
    )


def _bars(counts: Mapping[str, int]) -> Markup:
    bars = [Bar(code.replace("_", " "), count, None, None, f"{count:,}") for code, count in counts.items()]
    return picture(bar_chart("Top reasons", bars, counting_axis("logins", max(counts.values(), default=1))))
