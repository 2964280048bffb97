"""Reasons in words: for each signal that adds points, a sentence an analyst can read aloud."""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

from riskengine.network import EXPOSED, KINDS


class Evidence(NamedTuple):
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
    shown: frozenset[str] = frozenset()  # attributes of this login that the user showed before, but is not trusted with
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
    prefix_users: int = 0
    days: int = 28
    line_regulars: int = 0
    line_user_days: int = 0
    line_attempts: int = 0
    line_failures: int = 0
    line_failed_users: int = 0
    public_evidence: str = ""
    journey: Mapping[str, Any] | None = None
    minute_of_week: int = -1  # local, from Monday on
    logins_then: int = 0
    logins_near: int = 0
    logins_of: int = 0
    idle_days: int = -1
    clock_ahead: float | None = None  # minutes
    clock_usual: bool = False
    claimed_km: float | None = None
    claimed_type: str | None = None  # event.network.type
    rtt_ms: float | None = None  # event.rtt.ms
    edge: str | None = None  # event.rtt.edge
    edge_km: float | None = None
    missed: tuple[str, ...] = ()  # names of CLAIMS


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
    if seconds < 1:
        sentence = f"{legs} in the same second, which nobody can be"
    elif speed is None:
        sentence = f"{legs} in {spell_time(seconds)}"
    else:
        sentence = f"{legs} in {spell_time(seconds)}, needs at least {speed:,.0f} km/h"
    if journey.get("habitual"):
        sentence += " (this user is known to jump between the two)"
    elif journey.get("rough"):
        sentence += " (one end is known only roughly)"
    return sentence, dict(journey)


def _name(end: Mapping[str, Any]) -> str:
    """Return what to call one end of a journey: its place, else its country, else its coordinates."""
    if end.get("place"):
        return str(end["place"])
    if end.get("country"):
        return f"somewhere in {end['country']}"
    return f"{end.get('latitude')}, {end.get('longitude')}"


def _new(evidence: Evidence, attribute: str, named: str, value: str | None) -> tuple[str, dict[str, Any]]:
    """Return the sentence on something new, or shown before and not trusted yet."""
    logins = evidence.learned
    seen = attribute in evidence.shown
    facts = {attribute: value, "logins": logins, "seen_before": seen}
    if seen:
        return f"{named[0].upper()}{named[1:]} is not trusted yet for this user", facts
    return f"First login from {named}" + (f" in {logins + 1} logins" if logins > 1 else ""), facts


def _country(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    return _new(evidence, "country", evidence.country or "this country", evidence.country)


def _place(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    if not evidence.located:
        return "The address cannot be located; this user's usually can", {"place": None}
    return _new(evidence, "place", evidence.place or "this place", evidence.place)


def _network(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    named = f"this network ({evidence.network or 'operator unknown'})"
    attribute = "prefix" if "network" in evidence.shown else "network"
    return _new(evidence, attribute, named, evidence.network)


def _device(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    logins = evidence.learned
    if not evidence.device_sent:
        return "No device is given; this user's logins usually give one", {"device": "missing", "logins": logins}
    if "device" in evidence.shown:
        return "The device is not trusted yet for this user", {"device": "seen_before", "logins": logins}
    return f"A device not seen in this user's {logins} logins before", {"device": "new", "logins": logins}


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


_SHARED = frozenset(KINDS[code] for code in range(len(KINDS)) if EXPOSED[code])


def _resource(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    what = evidence.resource or evidence.action
    if evidence.kind in _SHARED or evidence.claimed in _SHARED:
        kind = evidence.kind if evidence.kind in _SHARED else evidence.claimed
        where = {
            "public_wifi": "an open or public Wi-Fi",
            "inflight": "an aircraft's cabin network",
            "hosting": "a data centre's address",
        }.get(kind, f"an anonymising network ({kind})")
        return f"{what} is sensitive and is entered from {where}", {"resource": what, "kind": kind}
    return f"{what} is sensitive and is entered from a device not trusted yet", {"resource": what}


def _window(evidence: Evidence) -> str:
    """Return for how long attempts are counted, as it follows "the last"."""
    spelled = spell_time(evidence.window_minutes * 60)
    return spelled.removeprefix("1 ")


def _failures(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    window = _window(evidence)
    count = evidence.user_failures
    facts = {"failures": count, "minutes": evidence.window_minutes}
    return f"{count} failed attempts on this user in the last {window}", facts


def _address(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    window = _window(evidence)
    failures, attempts = evidence.address_failures, evidence.address_attempts
    found = {"failures": failures, "attempts": attempts, "prefix_failures": evidence.prefix_failures}
    found["minutes"] = evidence.window_minutes
    if evidence.prefix_failures > failures * 2:
        return f"{evidence.prefix_failures} failed attempts from this part of the network in the last {window}", found
    return f"{failures} of {attempts} attempts from this address failed in the last {window}", found


def _spray(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    window = _window(evidence)
    count, wider = evidence.address_users, evidence.prefix_users
    facts = {"users": count, "prefix_users": wider, "minutes": evidence.window_minutes}
    if wider > count * 2:
        return f"{wider} different users were tried in vain from this part of the network in the last {window}", facts
    return f"{count} different users were tried in vain from this address in the last {window}", facts


def _shared(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    users, days = evidence.line_regulars, evidence.line_user_days
    facts = {"evidence": evidence.public_evidence, "users": users, "user_days": days, "days": evidence.days}
    if evidence.public_evidence == "learned":
        told = f"{users} others logged in from this address in {evidence.days} days, each seldom: it is open to many"
        return told, facts
    if evidence.public_evidence == "listed":
        why = f": {evidence.kind_evidence}" if evidence.kind_evidence else ""
        return f"Strangers share this network{why}", {**facts, "listed": evidence.kind_evidence}
    return "The client says that strangers share its network", facts


def _bad(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    users, days = evidence.line_failed_users, evidence.days
    failures, attempts = evidence.line_failures, evidence.line_attempts
    told = f"{users} users were tried in vain from this address in the last {days} days"
    facts = {"users": users, "failures": failures, "attempts": attempts, "days": days}
    return f"{told}: {failures} of {attempts} failed, a user counted once a day", facts


def _ignored(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    count = max(evidence.ignored, 1)
    times = "time" if count == 1 else "times in a row"
    return f"A second factor was asked for {count} {times} lately and not given", {"ignored": count}


def _at_risk(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    return "The account was confirmed compromised and has not been remediated", {}


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_CLAIMS = {
    "client_offset": "time zone",
    "client_latitude": "position",
    "rtt": "round trip",
    "claimed_type": "type of connection",
}
_LINES = {
    "broadband": "a fixed line",
    "mobile": "a mobile carrier",
    "satellite": "a satellite operator",
    "inflight": "an aircraft's cabin network",
    "public_wifi": "a public Wi-Fi",
}


def _hour(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    day, minute = divmod(evidence.minute_of_week, 24 * 60)
    weekday, clock = _WEEKDAYS[day], f"{minute // 60:02}:{minute % 60:02}"
    then, near, of = evidence.logins_then, evidence.logins_near, evidence.logins_of
    facts = {"local_time": clock, "weekday": weekday, "logins_then": then, "logins_near": near, "logins_of": of}
    sentence = f"{weekday} {clock} in the user's local time: of {of} remembered logins {then} came at about that time"
    return f"{sentence} of day, {near} of them around a {weekday}", facts


def _idle(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    return f"First login of this account in {evidence.idle_days} days", {"idle_days": evidence.idle_days}


def _timezone(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    minutes = evidence.clock_ahead or 0.0
    than = "the one this user usually has" if evidence.clock_usual else "that of the place where its address is"
    side = "ahead of" if minutes > 0 else "behind"
    facts = {"clock_ahead_minutes": minutes, "compared_with": "usual_clock" if evidence.clock_usual else "address"}
    return f"The client's clock is {spell_time(abs(minutes) * 60)} {side} {than}", facts


def _position(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    km = evidence.claimed_km or 0.0
    return f"The client says it is {km:,.0f} km from where its address is", {"distance_km": round(km, 1)}


def _rtt(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    km, ms, edge = evidence.edge_km or 0.0, evidence.rtt_ms or 0.0, evidence.edge
    sentence = f"The address is {km:,.0f} km from {edge}, which light does not reach and return from in {ms:g} ms"
    return sentence, {"distance_km": round(km, 1), "rtt_ms": ms, "edge": edge}


def _connection(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    line = _LINES.get(evidence.kind, evidence.kind)
    facts = {"claimed": evidence.claimed_type, "kind": evidence.kind}
    return f"The client says its connection is {evidence.claimed_type}; the address belongs to {line}", facts


def _missing(evidence: Evidence) -> tuple[str, dict[str, Any]]:
    names = [_CLAIMS[name] for name in evidence.missed]
    sentence = f"The client does not tell its {' and '.join(names)}, as this user's logins usually do"
    return sentence, {"missing": list(evidence.missed)}


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
    "shared_address": _shared,
    "bad_address": _bad,
    "unusual_hour": _hour,
    "idle_account": _idle,
    "timezone_mismatch": _timezone,
    "position_mismatch": _position,
    "rtt_mismatch": _rtt,
    "connection_mismatch": _connection,
    "missing_evidence": _missing,
}


def spell(points: Mapping[str, int], evidence: Evidence) -> list[dict[str, Any]]:
    """Return the reasons of one event that are signals, strongest first: `{code, message, points, evidence}`.

    `points` are tenths by signal; those of 0 are left out.
    """
    found = []
    given = [entry for entry in points.items() if entry[1] > 0]
    for code, tenths in sorted(given, key=itemgetter(1), reverse=True):
        message, facts = SENTENCES[code](evidence)
        found.append({"code": code, "message": message, "points": tenths / 10, "evidence": facts})
    return found
