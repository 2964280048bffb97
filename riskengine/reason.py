"""Reasons in words: for each signal that adds points, a sentence an analyst can read aloud."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the sentences of one event draw on; None is unknown. Distances are km, times seconds."""

    place: str | None = None
    country: str | None = None
    network: str | None = None  # the operator's name
    kind: str = "unknown"
    claimed: str = "unknown"
    kind_evidence: str | None = None
    resource: str | None = None
    action: str = "login"
    learned: int = 0
    located: bool = True
    device_sent: bool = False
    agent: str | None = None
    user_failures: int = 0
    address_attempts: int = 0
    address_failures: int = 0
    address_users: int = 0
    prefix_failures: int = 0
    window_minutes: int = 60
    ignored: int = 0
    journey: Mapping[str, Any] | None = None


def spell_time(seconds: float) -> str:
    """Return a length of time in the unit a person would use.

    >>> spell_time(600), spell_time(1), spell_time(5400), spell_time(300000)
    ('10 minutes', '1 second', '1.5 hours', '3.5 days')
    """
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 2 * size or (size <= 3_600 and seconds >= size):
            count = round(seconds / size, 1 if size > 60 else 0)
            return f"{count:g} {unit}{'' if count == 1 else 's'}"
    count = round(seconds)
    return f"{count} second{'' if count == 1 else 's'}"


def _travel(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    journey = evidence.journey or {}
    start, end = journey.get("from") or {}, journey.get("to") or {}
    km, seconds = journey.get("distance_km") or 0.0, journey.get("seconds") or 0
    legs = f"{_name(start)} to {_name(end)}, {km:,.0f} km"
    legs = legs[0].upper() + legs[1:]
    speed = journey.get("min_speed_kmh")
    if not seconds:
        sentence = f"{legs} in the same second, which nobody can be"
    elif speed is None:
        sentence = f"{legs} in {spell_time(seconds)}"
    else:
        sentence = f"{legs} in {spell_time(seconds)}, needs at least {speed:,.0f} km/h"
    if journey.get("rough"):
        sentence += " (one end is known only roughly)"
    return sentence, dict(journey)


def _name(end: Mapping[str, Any]) -> str:
    """Return what to call one end of a journey: its place, else its country, else its coordinates."""
    if end.get("place"):
        return str(end["place"])
    if end.get("country"):
        return f"somewhere in {end['country']}"
    return f"{end.get('latitude')}, {end.get('longitude')}"


def _country(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    return f"First login from {evidence.country or 'this country'}", {"country": evidence.country}


def _place(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    if not evidence.located:
        return "The address cannot be located; this user's usually can", {"place": None}
    return f"First login from {evidence.place or 'this place'}", {"place": evidence.place}


def _network(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    return f"First login from this network ({evidence.network or 'operator unknown'})", {"network": evidence.network}


def _device(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    if evidence.device_sent:
        return "A device this user has not been seen with", {"device": "new"}
    if evidence.agent is None:
        return "No device is given; this user's logins usually give one", {"device": "missing"}
    return f"No known device; the software is {evidence.agent}", {"agent": evidence.agent}


def _agent(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    if evidence.agent is None:
        return "No user agent is given; this user's logins usually give one", {"agent": None}
    return f"Software this user has not been seen with ({evidence.agent})", {"agent": evidence.agent}


_KINDS = {
    "tor": "The login comes through the Tor network",
    "vpn": "The login comes through a VPN or anonymising proxy",
    "hosting": "The address belongs to a data centre, not to a person's line",
    "residential_proxy": "The address is a rented-out home line",
    "abuse": "The network is on a list of abused ones",
    "public_wifi": "The login comes from a public Wi-Fi",
    "inflight": "The login comes from an aircraft's cabin network",
    "relay": "The login comes through a relay that hides the address",
    "cdn": "The address belongs to a content network",
    "corporate_proxy": "The login comes through a secure web gateway",
}


def _kind(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    stated = evidence.kind in _KINDS
    kind = evidence.kind if stated else evidence.claimed
    sentence = _KINDS.get(kind, "The kind of network is a risk")
    why = evidence.kind_evidence if stated else "the client says so"
    return (f"{sentence}: {why}" if why else sentence), {"kind": kind, "evidence": why}


def _resource(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    what = evidence.resource or evidence.action
    if evidence.kind in _KINDS or evidence.claimed in _KINDS:
        kind = evidence.kind if evidence.kind in _KINDS else evidence.claimed
        where = {
            "public_wifi": "an open or public Wi-Fi",
            "inflight": "an aircraft's cabin network",
            "hosting": "a data centre's address",
        }.get(kind, f"an anonymising network ({kind})")
        return f"{what} is sensitive and is entered from {where}", {"resource": what, "kind": kind}
    return f"{what} is sensitive and is entered from a device not trusted yet", {"resource": what}


def _failures(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    minutes = spell_time(evidence.window_minutes * 60)
    count = evidence.user_failures
    return f"{count} failed attempts on this user in the last {minutes}", {"failures": count}


def _address(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    minutes = spell_time(evidence.window_minutes * 60)
    failures, attempts = evidence.address_failures, evidence.address_attempts
    found = {"failures": failures, "attempts": attempts, "prefix_failures": evidence.prefix_failures}
    if evidence.prefix_failures > failures * 2:
        return f"{evidence.prefix_failures} failed attempts from this part of the network in {minutes}", found
    return f"{failures} of {attempts} attempts from this address failed in the last {minutes}", found


def _spray(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    minutes = spell_time(evidence.window_minutes * 60)
    count = evidence.address_users
    return f"{count} different users were tried from this address in the last {minutes}", {"users": count}


def _ignored(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    count = max(evidence.ignored, 1)
    times = "time" if count == 1 else "times in a row"
    return f"A second factor was asked for {count} {times} lately and not given", {"ignored": count}


def _at_risk(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    return "The account was confirmed compromised and has not been remediated", {}


SENTENCES: dict[str, Callable[[Evidence], tuple[str, dict[str, Any]]]] = {
    "impossible_travel": _travel,
    "new_country": _country,
    "new_place": _place,
    "new_network": _network,
    "new_device": _device,
    "new_agent": _agent,
    "risky_network": _kind,
    "sensitive_resource": _resource,
    "failed_attempts": _failures,
    "address_attempts": _address,
    "password_spray": _spray,
    "ignored_step_ups": _ignored,
    "user_at_risk": _at_risk,
}
RULE_SENTENCES = {
    "blocked": "The source is on the block list",
    "guessing_campaign": "Passwords are being guessed from this address",
    "second_factor_failed": "The second factor given with this login was wrong",
}


def spell(points: Mapping[str, int], evidence: Evidence, rule: str = "") -> list[dict[str, Any]]:
    """Return the reasons of one event, strongest first: `{code, message, points, evidence}`.

    `points` are tenths by signal; those of 0 are left out. A rule stands first, with 0 points: it does
    not add to the score.
    """
    found = []
    if rule:
        found.append({"code": rule, "message": RULE_SENTENCES[rule], "points": 0.0, "evidence": {}})
    for code, tenths in sorted(points.items(), key=lambda entry: -entry[1]):
        if tenths > 0:
            message, facts = SENTENCES[code](evidence)
            found.append({"code": code, "message": message, "points": tenths / 10, "evidence": facts})
    return found
