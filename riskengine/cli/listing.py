"""Stored events as lines of a table: what callers sent is text that no terminal obeys."""

from typing import Any

from riskengine.inquiry.found import Found
from riskengine.visible import visible

HEADS = ("time", "decision", "score", "user", "ip", "place", "network", "why")
_LONGEST_CELL = 44


def cells(one: Found) -> tuple[str, ...]:
    """Return what a table shows of an event."""
    event, answer = one.event, one.answer
    why = answer["reasons"][0]["message"] if answer["reasons"] else None
    place, network = answer["location"] or {}, answer["network"]
    shown = (answer["occurred_at"], answer["decision"], f"{answer['score']:g}", event.get("user_id"), event["ip"],
             place.get("place") or place.get("country"), network["name"] or network["kind"], why)  # fmt: skip
    return tuple(_cut(plain(cell)) for cell in shown)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"


def plain(text: Any) -> str:
    """Return what a caller sent as text that no terminal obeys.

    >>> plain("a\\x1b[31mb"), plain(None)
    ('a<U+001B>[31mb', '-')
    """
    return "-" if text is None else visible(str(text))
