"""What the engine knows of one user, as an analyst reads it."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np

from riskengine.batch import country_letters
from riskengine.check import format_time
from riskengine.event import DAY_MS
from riskengine.geo import distance_km
from riskengine.history.record import ABSENT, BINS, NO_OFFSET, SAME_PLACE_KM, Status, place_of
from riskengine.inquiry.found import Found
from riskengine.seal import Seal

_TRUST = {int(Status.PROVISIONAL): "provisional", int(Status.FOUNDING): "provisional", int(Status.TRUSTED): "trusted"}


def person(record: np.void, last: Sequence[Found], realm: str, seal: Seal) -> dict[str, Any]:
    """Return what a history record knows, in words where the user's `last` events (newest first) have them.

    Devices and networks are kept as keyed numbers: one that none of the last events shows has no name, which is null.
    """
    maturity = last[0].answer["maturity"] if last else None
    return {
        "at_risk": bool(record["at_risk"]),
        "maturity": maturity,
        "logins_learned": int(record["learned"]),
        "days": int(record["days"]),
        "first_day": _day(record["first_day"]),
        "last_day": _day(record["last_day"]),
        "utc_offset_minutes": None if record["zone"] == NO_OFFSET else int(record["zone"]),
        "hours": _hours(record),
        "places": [_place(value, last) for value in _values(record, "place")],
        "countries": [{"country": country_letters(int(v["key"])), **_shown(v)} for v in _values(record, "country")],
        "networks": [
            {"asn": int(v["key"]), "name": _network_name(int(v["key"]), last), **_shown(v)}
            for v in _values(record, "network")
        ],
        "prefixes": len(_values(record, "prefix")),
        "devices": _devices(record, last, realm, seal),
        "last_events": [found.told() for found in last],
    }


def _values(record: np.void, attribute: str) -> list[np.void]:
    """Return what is known of an attribute, what was shown most often first."""
    held = [value for value in record[attribute] if value["key"] > 0]
    return sorted(held, key=lambda value: (-int(value["status"]), -int(value["count"])))


def _shown(value: np.void) -> dict[str, Any]:
    return {
        "trust": _TRUST.get(int(value["status"])),
        "logins": int(value["count"]),
        "days": int(value["days"]),
        "last_day": _day(value["last_day"]),
    }


def _place(value: np.void, last: Sequence[Found]) -> dict[str, Any]:
    latitude, longitude = place_of(int(value["key"]))
    return {"place": _place_name(latitude, longitude, last), "latitude": round(latitude, 2),
            "longitude": round(longitude, 2), **_shown(value)}  # fmt: skip


def _place_name(latitude: float, longitude: float, last: Sequence[Found]) -> str | None:
    """Return what the last events call a place: the nearest of theirs, if that counts as the same."""
    near, name = SAME_PLACE_KM, None
    for found in last:
        there: Mapping[str, Any] = found.answer["location"] or {}
        km = float(distance_km(latitude, longitude, there.get("latitude", nan), there.get("longitude", nan)))
        if km < near:
            near, name = km, there["place"]
    return name


def _network_name(asn: int, last: Sequence[Found]) -> str | None:
    names = (found.answer["network"]["name"] for found in last if found.answer["network"]["asn"] == asn)
    return next(names, None)


def _devices(record: np.void, last: Sequence[Found], realm: str, seal: Seal) -> list[dict[str, Any]]:
    sent = {found.event["device_id"]: found for found in reversed(last) if found.event.get("device_id")}
    named = {seal.key32(realm, "device", device): (device, found) for device, found in sent.items()}
    return [_device(value, *named.get(int(value["key"]), (None, None))) for value in _values(record, "device")]


def _device(value: np.void, device: str | None, found: Found | None) -> dict[str, Any]:
    agent = None if found is None else found.event.get("user_agent")
    return {"device_id": device, "sent": bool(value["key"] != ABSENT), "user_agent": agent, **_shown(value)}


def _hours(record: np.void) -> list[dict[str, int]]:
    """Return how many logins fell into each three hours of the user's own week, Monday 00:00 first."""
    each = 24 * 7 // BINS
    return [
        {"weekday": at * each // 24, "hour": at * each % 24, "logins": int(count)}
        for at, count in enumerate(record["hours"])
        if count
    ]


def _day(day: Any) -> str | None:
    return format_time(int(day) * DAY_MS)[:10] if day else None
