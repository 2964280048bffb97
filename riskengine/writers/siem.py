"""What the documents for a SIEM share: unknown members are left out, and reasons stand without their evidence."""

from collections.abc import Mapping
from typing import Any


def known(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that say something.

    >>> known({"city": "Lisbon", "region": None, "as": {}, "latitude": 0.0, "is_mfa": False})
    {'city': 'Lisbon', 'latitude': 0.0, 'is_mfa': False}
    """
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [], {})}


def ours(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the standards have no member for, by our own names.

    Evidence stays out: it holds a number under a name today and a text tomorrow, which no index takes.
    """
    told = ("decision", "would_be", "level", "score", "maturity", "travel", "source", "degraded", "log", "line")
    reasons = [{name: reason[name] for name in ("code", "message", "points")} for reason in answer["reasons"]]
    return known(
        {
            **{name: answer.get(name) for name in told},
            "reasons": reasons,
            "network_kind": answer["network"]["kind"],
            "radius_km": (answer["location"] or {}).get("radius_km"),
            "policy": {name: answer["policy"][name] for name in ("name", "version")},
            "data": known({name: answer["data"][name] for name in ("source", "date")}),
        }
    )
