"""What decides: the policy in force, the one scored beside it, and what was in force before."""

import asyncio
from dataclasses import asdict, fields
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from riskengine.charts.plot import Bar, bar_chart, counting_axis
from riskengine.check import format_time
from riskengine.console.office import office_of
from riskengine.console.render import picture, rendered
from riskengine.console.sessions import Visitor
from riskengine.policy.policy import Policy

CHANGES = 20
_APART = ("name", "version")


async def policy(request: Request, visitor: Visitor) -> Response:
    """Show the policy in force, and how its shadow differs."""
    rulebook = office_of(request).rulebook
    changes = await asyncio.to_thread(office_of(request).store.policies, CHANGES)
    here, shadow = rulebook.policy, rulebook.shadow
    weights = sorted(asdict(here.weights).items(), key=lambda one: -one[1])
    bars = [Bar(name.replace("_", " "), value, None, None, f"{value:g}") for name, value in weights]
    return rendered(
        request,
        "policy.html",
        policy=here,
        shadow=shadow,
        problems=list(rulebook.problems.values()),
        thresholds=[
            (f"{name.replace('_', ' ')} from", f"{value:g}") for name, value in asdict(here.thresholds).items()
        ],
        weights=picture(bar_chart("Points of each signal at its value 1", bars, counting_axis("points", 100))),
        differences=[] if shadow is None else differences(here, shadow),
        changes=[{**asdict(row), "at": format_time(row.at)} for row in changes],
        text=changes[0].text if changes else "",
    )


def differences(here: Policy, there: Policy) -> list[tuple[str, str, str]]:
    """Return what two policies say differently, one row for each value."""
    ours, theirs = _flat(here), _flat(there)
    names = [name for name in dict.fromkeys((*ours, *theirs)) if name not in _APART]
    return [(name, ours.get(name, "–"), theirs.get(name, "–")) for name in names if ours.get(name) != theirs.get(name)]


def _flat(policy: Policy) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in fields(policy):
        value: Any = getattr(policy, one.name)
        if hasattr(value, "__dataclass_fields__"):
            found |= {f"{one.name}: {part.name}": str(getattr(value, part.name)) for part in fields(value)}
        else:
            found[one.name] = str(value)
    return found
