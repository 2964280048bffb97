"""Answers for the writers to write, beside their events as sent: the engine's own, over the tests' little world."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from riskengine.engine.saved import spelled
from riskengine.event import DAY_MS, Event, Mfa
from tests.doors import ADDRESSES, EPOCH, arrivals_of, memory_engine
from tests.fixtures_geo import World

Row = tuple[Mapping[str, Any], Mapping[str, Any]]
HOSTILE = "=cmd|' /C calc'!A0"


def decided(world: World) -> dict[str, Row]:
    """Return answers by what is special about them, each with its event."""
    plain = Event("ana", ADDRESSES["new_york"], "home", EPOCH, device_id="laptop", user_agent="Mozilla/5.0 Firefox/1.0")
    events = [
        plain,
        replace(
            plain,
            event_id="away",
            ip=ADDRESSES["tokyo"],
            occurred_at=EPOCH + 600_000,
            login="ana@example.org",
            session_id="s1",
            groups=("staff", "admins"),
            resource="mail",
            mfa=Mfa("failed"),
        ),
        Event(None, ADDRESSES["private"], "nobody", EPOCH + DAY_MS, outcome="failure"),
        Event(HOSTILE, ADDRESSES["nowhere"], "hostile", EPOCH + 2 * DAY_MS, outcome="unknown", action="access"),
    ]
    found = memory_engine(world).run(arrivals_of(events))
    rows: dict[str, Row] = {}
    for event, answer in zip(events, found, strict=True):
        assert isinstance(answer, dict)
        sent = {**spelled(event), "received_at": "2026-03-05T00:00:00.000Z"}
        rows[event.event_id or ""] = ({**answer, "log": "a.log", "line": len(rows) + 1}, sent)
    asked, sent_away = rows["away"]
    return {**rows, "denied": ({**asked, "decision": "deny", "step_up": None}, sent_away)}
