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
    both = _legs(items, np.take_along_axis(records["stays"], slots, axis=1), gaps, policy)
    impossible = np.where(np.isnan(both["impossible"]), -1.0, both["impossible"])
    # Of two that are equally (im)possible, the nearer in time tells more.
    later = (impossible[:, 1] > impossible[:, 0]) | ((impossible[:, 1] == impossible[:, 0]) & (gaps[:, 1] < gaps[:, 0]))
    chosen = {name: np.where(later, value[:, 1], value[:, 0]) for name, value in both.items()}
    share = np.where(chosen["wide"], policy.travel.wide_share, 1.0)
    value = np.round(chosen["impossible"] * share, 6)
    return Journey(value=value, before=~later, **chosen)


def _legs(items: Batch, others: np.ndarray, gaps: np.ndarray, policy: Policy) -> dict[str, np.ndarray]:
    """Return the journeys between each item and two of its user's stays, as (n, 2) columns."""
    known = journeys(items)[:, None] & (gaps < NO_TIME)
    latitude, longitude = (np.where(known, value, np.nan) for value in coordinates(others))
    distance = distance_km(latitude, longitude, items["latitude"][:, None], items["longitude"][:, None])
    radius = np.where(known, others["radius"].astype(np.float64), np.nan)
    own = np.where(known, items["radius"][:, None], np.nan)
    kind = items["kind"][:, None]
    gross = policy.networks.gross_error[kind] + policy.networks.gross_error[others["kind"]]
    rules = policy.travel
    hours = np.where(known, gaps, 0) / MS_PER_HOUR
    reach = reach_km(hours, rules.speed_kmh, rules.ground_kmh, rules.ground_km, rules.airport_hours, rules.slack_km)
    impossible = impossibility(distance, radius, own, reach, np.minimum(gross, 1.0))
    # One line is one place, whatever a database made of its address meanwhile.
    line = items["line"][:, None]
    same_line = known & (others["line"] == line) & (line > 0)
    coarse = (items["located"][:, None] == Located.COUNTRY) | (radius >= COARSE_KM) | (own >= COARSE_KM)
    rough = coarse | WIDE[kind] | WIDE[others["kind"]]
    return {
        "impossible": np.where(same_line, 0.0, impossible),
        "distance": distance,
        "gap": np.where(known, gaps, 0),
        "row": np.where(known, others["row"], 0),
        "latitude": latitude,
        "longitude": longitude,
        "radius": radius,
        "country": np.where(known, others["country"], 0),
        "wide": known & rough,
    }
