"""Pairs as nobody decided them, for figures that can be counted by hand."""

from collections.abc import Mapping
from typing import Any

from riskengine.compare.pair import Pair
from riskengine.event import DAY_MS, Event

FIRST_DAY = 20_000  # 2024-10-04
HOSTILE = "<script>alert('x')</script> & =cmd"


def answer(decision: str = "allow", score: float = 0.0, *codes: str, **given: Any) -> Mapping[str, Any]:
    """Return an answer with these reasons."""
    return {
        "user_ref": "00ff",
        "decision": decision,
        "would_be": None,
        "score": score,
        "reasons": [{"code": code, "message": f"{code}, {HOSTILE}", "points": 1.0} for code in codes],
        "location": {"place": "Lisbon"},
        "network": {"kind": "broadband"},
        "policy": {"name": "default", "version": "0123abcd", "mode": "enforce", "step_up_at": 40.0},
        "data": {"source": "free data", "date": "2026-03-01"},
        "source": "engine",
    } | given


def pair(
    before: Mapping[str, Any], after: Mapping[str, Any], user: str | None = "ana", day: int = 0, **given: Any
) -> Pair:
    """Return a pair of answers to one event of a user, at noon of a day."""
    event = Event(user, "192.0.2.1", f"e{day}", (FIRST_DAY + day) * DAY_MS + DAY_MS // 2, **given)
    return Pair(event, before, after)


ALLOW, STEP_UP, DENY = answer(), answer("step_up", 50.0, "new_device", "new_place"), answer("deny", 90.0, "blocked")
