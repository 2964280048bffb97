"""Login events and reports as callers send them, validated; unknown fields and values are refused by name."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from operator import attrgetter
from typing import Any

from riskengine.check import (
    Check,
    boolean,
    checked,
    context,
    event_id,
    ip,
    list_of,
    number,
    one_of,
    parse_time,
    record,
    text,
    timezone,
)
from riskengine.errors import Fault, InvalidInput

OUTCOMES = ("success", "failure", "unknown")
MFA_RESULTS = ("passed", "failed")
ACTIONS = ("login", "access", "token_refresh", "password_reset", "enrol_factor")
SENSITIVITIES = ("low", "normal", "high")
NETWORK_TYPES = ("wifi", "cellular", "wired", "vpn", "satellite")
STEP_UP_RESULTS = ("step_up_passed", "step_up_failed", "step_up_abandoned")
VERDICTS = ("confirmed_safe", "confirmed_compromised", "dismissed")
# `remediated` ends "at risk"; it is an item of its user's sequence that speaks of no event. `withdrawn` takes back the
# last verdict on an event that still stands. Neither comes from a caller as a report.
WITHDRAWN = "withdrawn"
REPORT_RESULTS = (*STEP_UP_RESULTS, *VERDICTS, "remediated", WITHDRAWN)
# What an event may be in: the last report on it that counts.
STATES = ("open", *STEP_UP_RESULTS, *VERDICTS, "remediated")
# Of these a user's whole history is folded again.
REFOLDING = ("confirmed_compromised", WITHDRAWN)

DAY_MS = 86_400_000
LATEST_AHEAD_MS = DAY_MS
OLDEST_MS = 400 * DAY_MS


@dataclass(frozen=True, slots=True)
class Mfa:
    """A second factor already used: `result`, the methods (RFC 8176) and when, in ms since 1970 or None."""

    result: str
    amr: tuple[str, ...] = ()
    at: int | None = None


@dataclass(frozen=True, slots=True)
class NetworkClaim:
    """What the client says of its network; believed only where it adds risk."""

    type: str | None = None
    ssid: str | None = None
    bssid: str | None = None
    secured: bool | None = None
    public: bool | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """What the client says of its place, degrees and metres."""

    latitude: float
    longitude: float
    accuracy_m: float | None = None


@dataclass(frozen=True, slots=True)
class Rtt:
    """A round trip of `ms` milliseconds seen at a named edge."""

    ms: float
    edge: str


@dataclass(frozen=True, slots=True)
class Event:
    """One login attempt as it happened. Times are ms since 1970; None is unknown, never "" or 0."""

    user_id: str | None
    ip: str
    event_id: str | None = None
    occurred_at: int | None = None
    login: str | None = None
    outcome: str = "success"
    mfa: Mfa | None = None
    action: str = "login"
    user_agent: str | None = None
    device_id: str | None = None
    session_id: str | None = None
    groups: tuple[str, ...] = ()
    resource: str | None = None
    sensitivity: str | None = None
    network: NetworkClaim | None = None
    position: Position | None = None
    timezone: str | None = None
    rtt: Rtt | None = None
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an event, or an analyst's verdict on it; `at` is ms since 1970, None for now.

    `challenge` is the one that the event's answer asked for the step-up with, where the reporter gives it."""

    event_id: str
    result: str
    amr: tuple[str, ...] = ()
    at: int | None = None
    challenge: str | None = field(default=None, repr=False)


_name = text(256)
_MFA_FIELDS: dict[str, Check] = {
    "result": one_of(*MFA_RESULTS),
    "amr": list_of(text(32), 16),
    "at": parse_time,
}
_mfa_record = record(Mfa, _MFA_FIELDS, ("result",))


def _mfa(value: Any) -> Mfa:
    if isinstance(value, str):
        return Mfa(one_of(*MFA_RESULTS)(value))
    record: Mfa = _mfa_record(value)
    return record


EVENT_FIELDS: dict[str, Check] = {
    "user_id": _name,
    "login": _name,
    "ip": ip,
    "event_id": event_id,
    "occurred_at": parse_time,
    "outcome": one_of(*OUTCOMES),
    "mfa": _mfa,
    "action": one_of(*ACTIONS),
    "user_agent": text(2048),
    "device_id": _name,
    "session_id": _name,
    "groups": list_of(text(128), 16),
    "resource": _name,
    "sensitivity": one_of(*SENSITIVITIES),
    "network": record(
        NetworkClaim,
        {
            "type": one_of(*NETWORK_TYPES),
            "ssid": text(64),
            "bssid": text(64),
            "secured": boolean,
            "public": boolean,
        },
    ),
    "position": record(
        Position,
        {"latitude": number(-90, 90), "longitude": number(-180, 180), "accuracy_m": number(0, 2e7)},
        ("latitude", "longitude"),
    ),
    "timezone": timezone,
    "rtt": record(Rtt, {"ms": number(0, 6e5), "edge": text(64)}, ("ms", "edge")),
    "context": context,
}
_REPORT_FIELDS: dict[str, Check] = {
    "event_id": event_id,
    "result": one_of(*STEP_UP_RESULTS, *VERDICTS),
    "amr": list_of(text(32), 16),
    "at": parse_time,
    "challenge": text(1024),
}


# A frozen dataclass sets each field through object.__setattr__, which costs as much as all checks of an event; its twin
# of the same fields sets them straight.
_Twin = make_dataclass(
    "_Twin",
    [
        (
            one.name,
            Any,
            field(default_factory=one.default_factory)
            if one.default_factory is not MISSING
            else field(default=one.default),
        )
        for one in fields(Event)
    ],
    slots=True,
)
_values = attrgetter(*(one.name for one in fields(Event)))


def _made(found: dict[str, Any]) -> Event:
    """Return the event of these fields, each already checked."""
    made: Any = _Twin(**found)
    made.__class__ = Event
    event: Event = made
    return event


def at_time(event: Event, occurred_at: int) -> Event:
    """Return an event as it is, but at this time (ms since 1970): `replace` at a sixth of its cost."""
    made: Any = _Twin(*_values(event))
    made.occurred_at, made.__class__ = occurred_at, Event
    moved: Event = made
    return moved


def parse_event(body: Any) -> Event:
    """Return the event that a decoded JSON object states; raise InvalidInput naming each field that is wrong."""
    if not isinstance(body, dict):
        raise InvalidInput([Fault("", "must be a JSON object")])
    found, faults = checked(body, EVENT_FIELDS, ("ip",))
    if "user_id" not in body:
        faults.append(Fault("/user_id", "is required (null for an account that does not exist)"))
    elif body["user_id"] is None and found.get("outcome") != "failure" and not faults:
        faults.append(Fault("/user_id", "may be null only with outcome failure"))
    if faults:
        raise InvalidInput(faults)
    return _made(found)


def parse_report(body: Any) -> Report:
    """Return the report that a decoded JSON object states; raise InvalidInput naming each field that is wrong."""
    if not isinstance(body, dict):
        raise InvalidInput([Fault("", "must be a JSON object")])
    found, faults = checked(body, _REPORT_FIELDS, ("event_id", "result"))
    if faults:
        raise InvalidInput(faults)
    return Report(**found)


def arrive(occurred_at: int | None, now: int, field: str = "/occurred_at") -> tuple[int, bool]:
    """Return when an event that arrives at `now` happened, and whether its clock had to be set back.

    Up to 24 h ahead is taken for a wrong clock and becomes now; further ahead, or more than 400 days old, is refused.
    """
    if occurred_at is None:
        return now, False
    if occurred_at > now + LATEST_AHEAD_MS:
        raise InvalidInput([Fault(field, "lies more than 24 hours ahead")])
    if occurred_at < now - OLDEST_MS:
        raise InvalidInput([Fault(field, "lies more than 400 days back")])
    return min(occurred_at, now), occurred_at > now
