"""Where the places come from: name, date, licence, whom to credit, and how far age has blurred them."""

from dataclasses import dataclass

import numpy as np

DAY_MS = 86_400_000
COMMERCIAL = "MaxMind commercial licence"
OPERATOR = "as licensed to the operator"

DBIP_CREDIT = "IP Geolocation by DB-IP"
IPFIRE_CREDIT = "IPFire Location, CC BY-SA 4.0"
GEONAMES_CREDIT = "Country points from GeoNames, CC BY 4.0"
GEOLITE_CREDIT = "This product includes GeoLite Data created by MaxMind, available from https://www.maxmind.com."
# Where a page that shows a place links each line to; DB-IP's link is a condition of its licence.
LINKS = {
    DBIP_CREDIT: "https://db-ip.com",
    IPFIRE_CREDIT: "https://location.ipfire.org",
    GEONAMES_CREDIT: "https://www.geonames.org",
    GEOLITE_CREDIT: "https://www.maxmind.com",
}

SEED = "geo_seed"  # nothing but the built-in country-level table
OLD = "geo_old"  # the data is more than OLD_DAYS old
DAMAGED = "geo_damaged"  # a file holds records that cannot be decoded
# Twelve monthly editions missed, and a month of grace; a warning is due much earlier (status.py).
OLD_DAYS = 400

# Between DB-IP's editions of 2023-04-01 and 2026-06-05 two thirds of broadband addresses moved by up to 192
# km, where two vendors of the same month differ by up to 170 km (reference measurements, 16,798 addresses).
# Addresses move independently, so the square of the radius grows with age, by (192/170)^2 in 1161 days.
_GROWTH_A_DAY = (192 / 170) ** 2 / 1161
FRESH_DAYS = 35  # a monthly edition is as new as it can be
_LAST_DAYS = 3653  # after ten years nothing more is lost


@dataclass(frozen=True, slots=True)
class DataSource:
    """What the places of one moment come from.

    `date` is ISO; `attribution` holds lines to be shown with any place (`LINKS` says where they point);
    `level` is "city" or "country"; `degraded` holds codes, empty when all is well; `radius_factor` is at
    least 1.0 and says how much wider radii are at this moment than when the data was new (`factors` gives
    it for the times of events). It is meant for points (Located.PLACE): a country does not grow.
    """

    name: str
    date: str
    licence: str
    attribution: tuple[str, ...]
    level: str
    degraded: tuple[str, ...]
    radius_factor: float

    def age_days(self, now_ms: int) -> int:
        """Return how many whole days old the data is at `now_ms` (ms since 1970); negative before its date.

        >>> DataSource("x", "1970-01-03", "", (), "city", (), 1.0).age_days(5 * DAY_MS)
        3
        """
        return now_ms // DAY_MS - _day(self.date)

    def factors(self, times_ms: np.ndarray) -> np.ndarray:
        """Return the radius factor at events' own times (ms since 1970): a replay answers as live did."""
        return widening(np.floor_divide(times_ms, DAY_MS) - _day(self.date))


def widening(age_days: np.ndarray) -> np.ndarray:
    """Return how much wider a radius is when event and data lie `age_days` apart, either way; 1.0 is fresh.

    >>> widening(np.array([0, 35, 1161, -1161, 9000])).round(2).tolist()
    [1.0, 1.0, 1.5, 1.5, 2.23]
    """
    days = np.clip(np.abs(age_days), FRESH_DAYS, _LAST_DAYS) - FRESH_DAYS
    factors: np.ndarray = np.sqrt(1 + _GROWTH_A_DAY * days)
    return factors


def licence_of(database_type: str) -> tuple[str, tuple[str, ...]]:
    """Return the licence of a file by its type, and the lines that it asks to be shown."""
    kind = database_type.lower()
    if "geolite" in kind:
        return "GeoLite2 EULA", (GEOLITE_CREDIT,)
    if "geoip" in kind:
        return COMMERCIAL, ()
    if "dbip" in kind:
        return ("CC BY 4.0" if "lite" in kind else OPERATOR), (DBIP_CREDIT,)
    return OPERATOR, ()


def degradation(level: str, age_days: int, damaged: bool) -> tuple[str, ...]:
    """Return the codes of what is wrong with data of this level and age."""
    found = []
    if level == "country":
        found.append(SEED)
    if age_days > OLD_DAYS:
        found.append(OLD)
    if damaged:
        found.append(DAMAGED)
    return tuple(found)


def _day(date: str) -> int:
    """Return an ISO date as days since 1970."""
    return int(np.datetime64(date, "D").astype(np.int64))
