"""Could the user be there? The journey from and to the nearest logins in time, on both sides."""

from dataclasses import dataclass

import numpy as np

from riskengine.batch import Batch, Located
from riskengine.geo import MS_PER_HOUR, R99_PER_R67, distance_km, impossibility, reach_km
from riskengine.history.record import Records, Seen, Status, day_of, roaming
from riskengine.history.stays import NO_TIME, coordinates, measurable, neighbours
from riskengine.network import WIDE, Kind
from riskengine.policy.policy import Policy

COARSE_KM = 500.0  # a place known no better than this is a country or a region, not a city
SURE_BEYOND = 0.99  # what is outside both discs of 99 % confidence


@dataclass(frozen=True, slots=True)
class Journey:
    """The less likely of an event's two journeys, as columns; NaN (0 for codes) where there is none to measure.

    `value` is the signal: 0 where the journey may have been possible, else how surely it was not, of which the policy
    leaves a part where an end is only roughly known (`wide`), the login comes as its user's do (`own`), or the user is
    known to jump between these two ends (`habitual`). `impossible` is 0 to 1, before that. `gap` is ms, always >= 0;
    `before` says that the other login came first in event time. Distances and radii are km; `row` is the other login's
    event; `hop` a key of the two ends.
    """

    value: np.ndarray
    impossible: np.ndarray
    distance: np.ndarray
    gap: np.ndarray
    before: np.ndarray
    row: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray
    radius: np.ndarray
    country: np.ndarray
    wide: np.ndarray
    own: np.ndarray
    habitual: np.ndarray
    hop: np.ndarray

    def contradiction(self, seen: Seen, policy: Policy) -> np.ndarray:
        """Return how surely two people are using the account, 0 to 1: 0 where the user is known to jump so, less where
        the login comes as its user's do, or an end is rough and the operator is theirs."""
        theirs = self.own | (self.wide & (seen.status["network"] == Status.TRUSTED))
        share = np.where(self.habitual, 0.0, np.where(theirs, policy.travel.wide_share, 1.0))
        return np.where(np.isnan(self.impossible), 0.0, self.impossible * share)


def travel(items: Batch, records: Records, seen: Seen, own_km: np.ndarray, policy: Policy) -> Journey:
    """Return the journey that each item's place implies; `value` is the signal impossible_travel.

    Up to `own_km` the database is as likely wrong about the place as anybody else is there: no verdict from such a
    journey alone.
    """
    stays, time = records["stays"], items["event_time"]
    slots, gaps = neighbours(stays, time)
    both = _legs(items, records, np.take_along_axis(stays, slots, axis=1), gaps, policy)
    rough = both.pop("rough") | _carriers(records, stays, slots) | seen.roams[:, None]
    wide = (both["distance"] >= 0) & rough
    own = both["distance"] <= own_km[:, None]
    share = np.where(wide | own, policy.travel.wide_share, 1.0)
    share = np.where(both["habitual"], policy.travel.habitual_share, share)
    both["value"] = np.round(both["impossible"] * both.pop("sound") * share, 6)
    both["wide"], both["own"] = wide, own
    rank = np.where(np.isnan(both["value"]), -1.0, both["value"])
    # Of two that are equally (im)possible, the nearer in time tells more.
    later = (rank[:, 1] > rank[:, 0]) | ((rank[:, 1] == rank[:, 0]) & (gaps[:, 1] < gaps[:, 0]))
    return Journey(before=~later, **{name: np.where(later, value[:, 1], value[:, 0]) for name, value in both.items()})


def _carriers(records: Records, stays: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Return which of the stays in `slots` were with an operator that keeps changing this user's prefix."""
    carriers = np.where(roaming(records), records["network"]["key"], 0)
    operator = np.take_along_axis(stays["operator"], slots, axis=1)
    return ((operator[:, :, None] == carriers[:, None, :]) & (operator > 0)[:, :, None]).any(axis=2)


def _legs(
    items: Batch, records: Records, others: np.ndarray, gaps: np.ndarray, policy: Policy
) -> dict[str, np.ndarray]:
    """Return the journeys between each item and two of its user's stays, as (n, 2) columns."""
    known = measurable(items)[:, None] & (gaps < NO_TIME)
    latitude, longitude = (np.where(known, value, np.nan) for value in coordinates(others))
    distance = distance_km(latitude, longitude, items["latitude"][:, None], items["longitude"][:, None])
    radius = np.where(known, others["radius"].astype(np.float64), np.nan)
    own = np.where(known, items["radius"][:, None], np.nan)
    impossible = _impossible(distance, radius, own, np.where(known, gaps, 0) / MS_PER_HOUR, policy)
    # One line is one place, whatever a database made of its address meanwhile.
    line = items["line"][:, None]
    impossible = np.where(known & (others["line"] == line) & (line > 0), 0.0, impossible)
    rough = known & _rough(items, others, radius, own)
    hop = np.where(impossible > 0, _hops(items, others), np.uint32(0))
    habitual = known & _remembered(records, hop, rough, day_of(items["event_time"]))
    kind = items["kind"][:, None]
    gross = np.minimum(policy.networks.gross_error[kind] + policy.networks.gross_error[others["kind"]], 1.0)
    return {
        "impossible": impossible,
        "sound": 1.0 - gross,
        "distance": distance,
        "gap": np.where(known, gaps, 0),
        "row": np.where(known, others["row"], 0),
        "latitude": latitude,
        "longitude": longitude,
        "radius": radius,
        "country": np.where(known, others["country"], 0),
        "rough": rough,
        "habitual": habitual,
        "hop": hop,
    }


def _impossible(
    distance: np.ndarray, radius: np.ndarray, own: np.ndarray, hours: np.ndarray, policy: Policy
) -> np.ndarray:
    """Return how surely each journey was impossible where that is sure enough to say so, else 0.

    What even the nearest points of both discs of 99 % confidence rule out is sure, whatever the slack says.
    """
    rules = policy.travel
    reach = reach_km(hours, rules.speed_kmh, rules.ground_kmh, rules.ground_km, rules.airport_hours, rules.slack_km)
    found = impossibility(distance, radius, own, reach)
    beyond = distance - R99_PER_R67 * (radius + own) > rules.fastest_kmh * hours
    return np.where(beyond, np.maximum(found, SURE_BEYOND), np.where(found < rules.sure, found * 0.0, found))


def _rough(items: Batch, others: np.ndarray, radius: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return where an end is known only roughly, or stands for many people: no verdict from the journey alone.

    So it is where one operator gives a home its IPv4 and its IPv6 address, which databases place apart.
    """
    kind = items["kind"][:, None]
    coarse = (items["located"][:, None] == Located.COUNTRY) | (radius >= COARSE_KM) | (own >= COARSE_KM)
    operator = items["asn"][:, None]
    six = (items["address_high"] > 0)[:, None]
    twins = (others["operator"] == operator) & (operator > 0) & (others["six"] != six)
    return coarse | WIDE[kind] | WIDE[others["kind"]] | twins | (kind == Kind.HOSTING)


def _hops(items: Batch, others: np.ndarray) -> np.ndarray:
    """Return a key of each pair of ends, the same from either side: operator and place on a grid of a degree."""
    latitude, longitude = coordinates(others)
    one = _end_key(items["asn"], items["latitude"], items["longitude"])[:, None]
    other = _end_key(others["operator"], latitude, longitude)
    return np.maximum(one + other, np.uint32(1))


def _end_key(operator: np.ndarray, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return a 32-bit key of one end; the odd factors spread neighbours apart (Knuth's multiplicative hashing)."""
    north = np.where(np.isnan(latitude), 0.0, np.round(latitude)).astype(np.int64)
    east = np.where(np.isnan(longitude), 0.0, np.round(longitude)).astype(np.int64) % 360
    mixed = (operator.astype(np.int64) * 2_654_435_761 + north * 40_503 + east * 2_246_822_519) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 15)) * 2_654_435_761 & 0xFFFFFFFF).astype(np.uint32)


def _remembered(records: Records, hop: np.ndarray, wide: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Return which hops are trusted as the user's own; between two places known well not within a day of the first,
    which is no habit."""
    hops = records["hops"]
    before = (hops["since"] + 1 < day[:, None].astype(np.int64))[:, None, :] | wide[:, :, None]
    held = (hops["status"] == Status.TRUSTED)[:, None, :] & before
    return ((hops["key"][:, None, :] == hop[:, :, None]) & held).any(axis=2) & (hop > 0)
