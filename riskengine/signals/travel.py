"""Could the user be there? The journey from and to the nearest logins in time, on both sides."""

import math

import numpy as np

from riskengine.batch import Located
from riskengine.compiled import Row, compiled, signed
from riskengine.geo import MS_PER_HOUR, R99_PER_R67, distance_km, impossibility, reach_km, rounded
from riskengine.history.record import FIRST, HOPS, NETWORK, TRUSTED, day_at
from riskengine.history.seen import roaming
from riskengine.history.stays import NO_TIME, coordinates, measurable, neighbours
from riskengine.network import WIDE, Kind

COARSE_KM = 500.0  # a place known no better than this is a country or a region, not a city
SURE_BEYOND = 0.99  # what is outside both discs of 99 % confidence
_AT_A_COUNTRY, _HOSTING = int(Located.COUNTRY), int(Kind.HOSTING)

# The less likely of an event's two journeys; NaN (0 for codes) where there is none to measure.
#
# `value` is the signal: 0 where the journey may have been possible, else how surely it was not, of which the policy
# leaves a part where an end is only roughly known (`wide`), the login comes as its user's do (`own`), or the user is
# known to jump between these two ends (`habitual`). `impossible` is 0 to 1, before that. `gap` is ms, always >= 0;
# `before` says that the other login came first in event time. Distances and radii are km; `row` is the other login's
# event; `hop` a key of the two ends.
JOURNEY = np.dtype(
    [
        ("value", "f8"),
        ("impossible", "f8"),
        ("distance", "f8"),
        ("gap", "i8"),
        ("before", "?"),
        ("row", "i8"),
        ("latitude", "f8"),
        ("longitude", "f8"),
        ("radius", "f8"),
        ("country", "i8"),
        ("wide", "?"),
        ("own", "?"),
        ("habitual", "?"),
        ("hop", "i8"),
    ]
)


@compiled
def contradiction(journey: Row, seen: Row, policy: Row) -> float:
    """Return how surely two people are using the account, 0 to 1: 0 where the user is known to jump so, less where
    the login comes as its user's do, or an end is rough and the operator is theirs."""
    if math.isnan(journey.impossible) or journey.habitual:
        return 0.0
    theirs = journey.own or (journey.wide and seen.status[NETWORK] == TRUSTED)
    return journey.impossible * (policy.travel_wide_share if theirs else 1.0)


@compiled
def travel(item: Row, record: Row, seen: Row, own_km: float, policy: Row, journeys: np.ndarray) -> int:
    """Fill `journeys` with the two journeys that an item's place implies, and return which of them tells more.

    Up to `own_km` the database is as likely wrong about the place as anybody else is there: no verdict from such a
    journey alone. Of two that are equally (im)possible, the nearer in time tells more.
    """
    earlier, before, later, after = neighbours(record.stays, item.event_time)
    _leg(item, record, earlier, before, seen, own_km, policy, journeys[0])
    _leg(item, record, later, after, seen, own_km, policy, journeys[1])
    journeys[0].before, journeys[1].before = True, False
    first = -1.0 if math.isnan(journeys[0].value) else journeys[0].value
    second = -1.0 if math.isnan(journeys[1].value) else journeys[1].value
    return 1 if second > first or (second == first and after < before) else 0


@compiled
def _leg(item: Row, record: Row, slot: int, gap: int, seen: Row, own_km: float, policy: Row, journey: Row) -> None:
    """Write the journey between an item and one of its user's stays."""
    other = record.stays[slot]
    if gap == NO_TIME or not measurable(item):
        _write_none(journey)
        return
    journey.gap, journey.row, journey.country = gap, other.row, other.country
    there, journey.radius = coordinates(other), float(other.radius)
    journey.latitude, journey.longitude = there
    journey.distance = distance_km(there[0], there[1], item.latitude, item.longitude)
    # One line is one place, whatever a database made of its address meanwhile.
    same_line = other.line == item.line and item.line > 0
    journey.impossible = 0.0 if same_line else _impossible(journey.distance, journey.radius, item.radius, gap, policy)
    rough = _rough(item, other)
    journey.hop = _hop(item, other) if journey.impossible > 0 else 0
    journey.habitual = _remembered(record, journey.hop, rough, day_at(item.event_time))
    journey.wide = rough or _carrier(record, other) or seen.roams
    journey.own = journey.distance <= own_km
    share = policy.travel_wide_share if journey.wide or journey.own else 1.0
    if journey.habitual:
        share = policy.travel_habitual_share
    gross = min(policy.network_gross_error[item.kind] + policy.network_gross_error[other.kind], 1.0)
    journey.value = rounded(journey.impossible * (1.0 - gross) * share, 1e6)


@compiled
def _write_none(journey: Row) -> None:
    journey.value = journey.impossible = journey.distance = math.nan
    journey.latitude = journey.longitude = journey.radius = math.nan
    journey.gap = journey.row = journey.country = journey.hop = 0
    journey.wide = journey.own = journey.habitual = False


@compiled
def _carrier(record: Row, other: Row) -> bool:
    """Return whether a stay was with an operator that keeps changing this user's prefix."""
    for at in range(FIRST[NETWORK + 1] - FIRST[NETWORK]):
        if other.operator > 0 and record.values[FIRST[NETWORK] + at].key == other.operator and roaming(record, at):
            return True
    return False


@compiled
def _impossible(distance: float, radius: float, own: float, gap: int, policy: Row) -> float:
    """Return how surely a journey was impossible where that is sure enough to say so, else 0.

    What even the nearest points of both discs of 99 % confidence rule out is sure, whatever the slack says.
    """
    hours = gap / MS_PER_HOUR
    reach = reach_km(
        hours,
        policy.travel_speed_kmh,
        policy.travel_ground_kmh,
        policy.travel_ground_km,
        policy.travel_airport_hours,
        policy.travel_slack_km,
    )
    found = impossibility(distance, radius, own, reach)
    if distance - R99_PER_R67 * (radius + own) > policy.travel_fastest_kmh * hours:
        return max(found, SURE_BEYOND)
    return 0.0 if found < policy.travel_sure else found


@compiled
def _rough(item: Row, other: Row) -> bool:
    """Return whether an end is known only roughly, or stands for many people: no verdict from the journey alone.

    So it is where one operator gives a home its IPv4 and its IPv6 address, which databases place apart.
    """
    coarse = item.located == _AT_A_COUNTRY or other.radius >= COARSE_KM or item.radius >= COARSE_KM
    twins = other.operator == item.asn and item.asn > 0 and other.six != (item.address_high > 0)
    return coarse or WIDE[item.kind] or WIDE[other.kind] or twins or item.kind == _HOSTING


@compiled
def _hop(item: Row, other: Row) -> int:
    """Return a key of a pair of ends, the same from either side: operator and place on a grid of a degree."""
    latitude, longitude = coordinates(other)
    one = _end_key(signed(item.asn), item.latitude, item.longitude)
    return max((one + _end_key(signed(other.operator), latitude, longitude)) & 0xFFFFFFFF, 1)


@compiled
def _end_key(operator: int, latitude: float, longitude: float) -> int:
    """Return a 32-bit key of one end; the odd factors spread neighbours apart (Knuth's multiplicative hashing)."""
    north, east = signed(np.rint(latitude)), signed(np.rint(longitude)) % 360
    mixed = (operator * 2_654_435_761 + north * 40_503 + east * 2_246_822_519) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 15)) * 2_654_435_761) & 0xFFFFFFFF


@compiled
def _remembered(record: Row, hop: int, rough: bool, day: int) -> bool:
    """Return whether a hop is trusted as the user's own; between two places known well not within a day of the first,
    which is no habit."""
    for at in range(HOPS):
        one = record.hops[at]
        if hop > 0 and one.key == hop and one.status == TRUSTED and (signed(one.since) + 1 < day or rough):
            return True
    return False
