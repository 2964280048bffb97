"""Could the user be there? The journey from and to the nearest logins in time, on both sides."""

from dataclasses import dataclass

import numpy as np

from riskengine.batch import Batch, Located
from riskengine.geo import MS_PER_HOUR, distance_km, impossibility, reach_km
from riskengine.history.record import Records
from riskengine.history.stays import NO_TIME, coordinates, journeys, neighbours
from riskengine.network import WIDE
from riskengine.policy import Policy

COARSE_KM = 500.0  # a place known no better than this is a country or a region, not a city


@dataclass(frozen=True, slots=True)
class Journey:
    """The less likely of an event's two journeys, as columns; NaN (0 for codes) where there is none to measure.

    `impossible` is 0 to 1; `value` is what the signal makes of it. `gap` is ms, always >= 0; `before` says that the
    other login came first in event time. Distances and radii are km; `row` is the other login's event.
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


def travel(items: Batch, records: Records, policy: Policy) -> Journey:
    """Return the journey that each item's place implies; `value` is the signal impossible_travel."""
    slots, gaps = neighbours(records["stays"], items["event_time"])
    sides = [_side(items, records["stays"], slots[:, side], gaps[:, side], policy) for side in (0, 1)]
    impossible = [np.where(np.isnan(side["impossible"]), -1.0, side["impossible"]) for side in sides]
    # Of two that are equally (im)possible, the nearer in time tells more.
    later = (impossible[1] > impossible[0]) | ((impossible[1] == impossible[0]) & (gaps[:, 1] < gaps[:, 0]))
    chosen = {name: np.where(later, sides[1][name], sides[0][name]) for name in sides[0]}
    share = np.where(chosen["wide"], policy.travel.wide_share, 1.0)
    value = np.round(chosen["impossible"] * share, 6)
    return Journey(value=value, before=~later, **chosen)


def _side(items: Batch, stays: np.ndarray, slot: np.ndarray, gap: np.ndarray, policy: Policy) -> dict[str, np.ndarray]:
    """Return the journey between each item and one of its user's stays."""
    other = stays[np.arange(len(items)), slot]
    known = journeys(items) & (gap < NO_TIME)
    latitude, longitude = (np.where(known, value, np.nan) for value in coordinates(other))
    distance = distance_km(latitude, longitude, items["latitude"], items["longitude"])
    radius = np.where(known, other["radius"].astype(np.float64), np.nan)
    own = np.where(known, items["radius"], np.nan)
    tables = policy.networks
    gross = tables.gross_error[items["kind"]] + tables.gross_error[other["kind"]]
    rules = policy.travel
    hours = np.where(known, gap, 0) / MS_PER_HOUR
    reach = reach_km(hours, rules.speed_kmh, rules.ground_kmh, rules.ground_km, rules.airport_hours, rules.slack_km)
    impossible = impossibility(distance, radius, own, reach, np.minimum(gross, 1.0))
    # One line is one place, whatever a database made of its address meanwhile.
    same_line = known & (other["line"] == items["line"]) & (items["line"] > 0)
    coarse = (items["located"] == Located.COUNTRY) | (other["radius"] >= COARSE_KM) | (items["radius"] >= COARSE_KM)
    rough = coarse | WIDE[items["kind"]] | WIDE[other["kind"]]
    return {
        "impossible": np.where(same_line, 0.0, impossible),
        "distance": distance,
        "gap": np.where(known, gap, 0),
        "row": np.where(known, other["row"], 0),
        "latitude": latitude,
        "longitude": longitude,
        "radius": radius,
        "country": np.where(known, other["country"], 0),
        "wide": known & rough,
    }
