"""One decision in words, tables and pictures: what the page of an event shows, from what is stored of it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from riskengine.charts.plot import Axis, Bar, bar_chart
from riskengine.charts.world import Leg, Spot, plausibility, world_map
from riskengine.console.render import moment, picture
from riskengine.policy.policy import SIGNALS
from riskengine.reason import spell_time

_AXIS = Axis("points", 0, 100, ((0, "0"), (25, "25"), (50, "50"), (75, "75"), (100, "100")))
_ALLOWED = "Nothing about this login was out of the ordinary"

Row = tuple[str, Any]


def headline(answer: Mapping[str, Any]) -> str:
    """Return the sentence that an analyst reads first."""
    reasons = answer["reasons"]
    return str(reasons[0]["message"] if reasons else _ALLOWED)


def bars(answer: Mapping[str, Any]) -> Markup | None:
    """Return every signal that gave points as a bar, strongest first; None where none did."""
    found = [
        Bar(reason["code"].replace("_", " "), reason["points"], None, None, f"{reason['points']:g}")
        for reason in answer["reasons"]
        if reason["points"]
    ]
    return picture(bar_chart("Points by signal", found, _AXIS)) if found else None


def signals(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each signal, and each rule that had a part, in the order of their points."""
    points = {reason["code"]: reason for reason in answer["reasons"]}
    names = [*points, *(name for name in SIGNALS if name not in points)]
    return [_signal(name, answer["signals"].get(name), points.get(name)) for name in names]


def _signal(name: str, value: float | None, reason: Mapping[str, Any] | None) -> dict[str, Any]:
    known = "unknown" if value is None else f"{value:g}"
    return {
        "name": name,
        "value": known if name in SIGNALS else "rule",
        "points": f"{reason['points']:g}" if reason else "0",
        "evidence": json.dumps(reason["evidence"], ensure_ascii=False)[1:-1] if reason else "",
    }


def weighed(answer: Mapping[str, Any]) -> list[str]:
    """Return what spoke for the login, or made a signal weigh less."""
    found = [f"The trusted {one['by']} took back {one['points']:g} points." for one in answer.get("vouched", [])]
    travel = answer["travel"]
    if travel and travel["habitual"]:
        found.append("This user is known to go between these two places, so the journey weighs less.")
    if travel and travel["rough"]:
        found.append("One end of the journey is known only roughly, so it weighs less.")
    if answer["would_be"]:
        found.append("The policy observes: whatever the score, the login was allowed.")
    return found


def map_of(answer: Mapping[str, Any]) -> Markup | None:
    """Return the journey on the map, or the place alone; None where neither is known."""
    travel, place = answer["travel"], answer["location"]
    if travel:
        ends = [travel["from"], travel["to"]]
        start, end = ((one["latitude"], one["longitude"]) for one in ends)
        leg = Leg(start, end, plausibility(travel["impossible"]), _journey(travel))
        spots = [Spot((one["latitude"], one["longitude"]), one["radius_km"], named(one)) for one in ends]
        return picture(world_map(f"Map: {_journey(travel)}", [leg], spots))
    if place:
        spot = Spot((place["latitude"], place["longitude"]), place["radius_km"], named(place))
        return picture(world_map(f"Map: {named(place)}", [], [spot]))
    return None


def named(place: Mapping[str, Any]) -> str:
    """Return what to call a place: its name, else its country."""
    return str(place.get("place") or place.get("city") or place.get("country") or "a place without a name")


def _journey(travel: Mapping[str, Any]) -> str:
    return f"{named(travel['from'])} to {named(travel['to'])}, {travel['distance_km']:,.0f} km"


def travel_rows(travel: Mapping[str, Any] | None) -> list[Row]:
    """Return the journey that was measured as facts."""
    if travel is None:
        return []
    speed, impossible = travel["min_speed_kmh"], travel["impossible"]
    return [
        ("Journey", _journey(travel)),
        ("Time for it", spell_time(travel["seconds"])),
        ("Speed, at least", "" if speed is None else f"{speed:,.0f} km/h"),
        ("Impossible", "unknown" if impossible is None else f"{impossible:.0%}"),
    ]


def place_rows(answer: Mapping[str, Any]) -> list[Row]:
    """Return place and network as facts."""
    place, network = answer["location"], answer["network"]
    where: list[Row] = [("Place", "cannot be located")]
    if place:
        where = [
            ("Place", ", ".join(dict.fromkeys(filter(None, (place["city"], place["region"], place["country"]))))),
            ("Uncertain by", f"{place['radius_km']:,.0f} km"),
        ]
    return [
        *where,
        ("Network", network["name"]),
        ("AS", network["asn"]),
        ("Kind", network["kind"].replace("_", " ")),
        ("Known from", network["evidence"]),
    ]


def who_rows(event: Mapping[str, Any], answer: Mapping[str, Any]) -> list[Row]:
    """Return whom an event is about."""
    return [
        ("User", event["user_id"] if event["user_id"] is not None else "no such account"),
        ("Login name", event.get("login")),
        ("User reference", answer["user_ref"]),
        ("Address", event["ip"]),
        ("Device", event.get("device_id")),
        ("Session", event.get("session_id")),
        ("User agent", event.get("user_agent")),
        ("Said of its network", _json(event.get("network"))),
        ("Said of its place", _json(event.get("position"))),
        ("Context", _json(event.get("context"))),
    ]


def how_rows(event: Mapping[str, Any], answer: Mapping[str, Any]) -> list[Row]:
    """Return what was attempted."""
    return [
        ("Event", event.get("event_id")),
        ("Action", event["action"].replace("_", " ")),
        ("Credentials", event["outcome"]),
        ("Second factor", _json(event.get("mfa"))),
        ("Resource", event.get("resource")),
        ("Sensitivity", event.get("sensitivity")),
        ("Groups", ", ".join(event.get("groups") or ())),
        ("Time zone", event.get("timezone")),
        ("Round trip", _json(event.get("rtt"))),
        ("Received", moment(event["received_at"])),
        ("How well known", answer["maturity"]),
    ]


def policy_rows(answer: Mapping[str, Any]) -> list[Row]:
    """Return by which policy and data it was decided."""
    policy, shadow = answer["policy"], answer["shadow"]
    return [
        ("Policy", f"{policy['name']}, version {policy['version']}, {policy['mode']}"),
        ("Asks from", f"{policy['step_up_at']:g} points on" if "step_up_at" in policy else None),
        ("Shadow", f"{shadow['policy']['name']}: {shadow['decision']} at {shadow['score']:g}" if shadow else None),
        ("Answered by", "the engine" if answer["source"] == "engine" else "fallback, without the store"),
        ("Degraded", ", ".join(answer["degraded"])),
        ("Places from", f"{answer['data']['source']}, {answer['data']['date']}"),
    ]


def sentences(answer: Mapping[str, Any]) -> Sequence[str]:
    """Return the reasons, strongest first."""
    return [reason["message"] for reason in answer["reasons"]] or [_ALLOWED]


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)
