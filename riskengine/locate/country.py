"""Countries as points: where a login is when only its country is known."""

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from riskengine.errors import DataError

# Points that databases give when they know the country alone (reference list of default centroids).
CENTROIDS = (
    *((38.0, -97.0), (37.751, -97.822), (60.0, -95.0), (47.0, 8.0), (35.0, 105.0), (34.773, 113.722)),
    *((51.299, 9.491), (51.5, 10.5), (22.258, 114.166), (54.0, -2.0), (-25.0, 135.0), (20.0, 77.0)),
    (59.3247, 18.056),
)
# Databases round to four digits or hold 32-bit floats.
_CLOSE_DEGREES = 0.002


class Country(NamedTuple):
    """A country's name, the middle of its people in degrees and the radius in km that holds 67 % of them."""

    name: str
    latitude: float
    longitude: float
    radius_km: float


@cache
def load(path: Path) -> Mapping[str, Country]:
    """Return the countries by two letters, read once a process; DataError naming the file if it is wrong."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {
                row["country"]: Country(
                    row["name"],
                    float(row["latitude"]),
                    float(row["longitude"]),
                    float(row["radius_km"]),
                )
                for row in csv.DictReader(file)
            }
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise DataError(f"The table of countries {path} cannot be used: {error}.") from error


def is_centroid(latitude: float, longitude: float) -> bool:
    """Return whether a point is one that databases give for a whole country.

    >>> is_centroid(37.751, -97.822), is_centroid(40.7128, -74.0060)
    (True, False)
    """
    return any(
        abs(latitude - north) < _CLOSE_DEGREES and abs(longitude - east) < _CLOSE_DEGREES for north, east in CENTROIDS
    )
