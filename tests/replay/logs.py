"""Logs made up for replay: of everything that an event or a report can say, the same every time."""

import json
from random import Random
from typing import Any

from riskengine.check import format_time
from riskengine.event import ACTIONS, VERDICTS
from tests.doors import ADDRESSES, EPOCH

MINUTE = 60_000
_USERS = ("ana", "ben", "eve", "jos\u00e9", "kim", "lee", "mia", "noa")
_OUTCOMES = ("success", "success", "success", "failure", "unknown")
_AGENTS = ("curl/8", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "Mozilla/5.0 (iPhone) Version/26.0 Safari/6")


def made_up(seed: int, events: int, shuffled: int = 0, reports: bool = True) -> list[str]:
    """Return the lines of a log: events in order of time, but that each may stand so many places off.

    Of the ids some are repeated, with the same body or another; `reports` may name no event, or come too early.
    """
    random = Random(seed)
    lines: list[dict[str, Any]] = []
    clock = EPOCH
    for number in range(events):
        clock += random.choice((0, 0, 1000, MINUTE, 7 * MINUTE, 400 * MINUTE, 3000 * MINUTE))
        body = _event(random, number, clock)
        lines.append(body)
        if random.random() < 0.1:
            lines.append(dict(random.choice([line for line in lines[-20:] if "type" not in line])))
        if random.random() < 0.05:
            lines.append(_event(random, max(number - 3, 0), clock))
        if reports and random.random() < 0.4:
            of = max(number - random.choice((-1, 0, 0, 0, 1, 5, 40)), 0)
            late = clock + random.choice((-6, 0, 1, 3, 20, 40)) * MINUTE
            steps = ("step_up_passed", "step_up_passed", "step_up_failed", "step_up_abandoned")
            result = random.choice(steps if random.random() < 0.7 else VERDICTS)
            lines.append({"type": "report", "event_id": f"e{of}", "result": result, "at": format_time(late)})
    order = sorted(range(len(lines)), key=lambda at: at + (random.uniform(-shuffled, shuffled) if shuffled else 0))
    return [json.dumps(lines[at], ensure_ascii=random.random() < 0.2) for at in order]


def _event(random: Random, number: int, at: int) -> dict[str, Any]:
    user = random.choice((*_USERS, None))
    body: dict[str, Any] = {
        "event_id": f"e{number}",
        "user_id": user,
        "ip": random.choice((*ADDRESSES.values(), "2001:db8:1::5", "2001:0db8:0001::0005", "::ffff:192.0.2.10")),
        "occurred_at": format_time(at) if random.random() < 0.9 else format_time(at).replace("Z", "+00:00"),
        "outcome": "failure" if user is None else random.choice(_OUTCOMES),
    }
    rare: dict[str, tuple[Any, ...]] = {
        "login": ("a", "b", "josé"),
        "mfa": ("passed", "failed", {"result": "passed", "amr": ["otp"]}, {"result": "passed", "at": format_time(at)}),
        "action": ACTIONS,
        "user_agent": _AGENTS,
        "device_id": ("d1", "d2", "d3"),
        "session_id": ("s1", "s2"),
        "groups": (["finance"], ["admins", "finance"], []),
        "resource": ("payroll", "wiki", "hr/files"),
        "sensitivity": ("low", "normal", "high"),
        "network": ({"type": "wifi", "secured": False}, {"type": "vpn"}, {"type": "cellular"}),
        "position": ({"latitude": 40.7, "longitude": -74.0}, {"latitude": 1, "longitude": 2, "accuracy_m": 9000}),
        "timezone": ("America/New_York", "Asia/Tokyo"),
        "rtt": ({"ms": 3, "edge": "fra"}, {"ms": 80.5, "edge": "iad"}),
        "context": ({"a": 1}, {"b": [1, 2]}),
    }
    for name, values in rare.items():
        if random.random() < (0.6 if name in ("user_agent", "device_id") else 0.15):
            body[name] = random.choice(values)
    return body
