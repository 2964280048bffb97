"""What replays are held against: scripts that only tell how fast a user would have travelled between two logins.

`plain` is a loop over lines with geoip2's models and haversine; `columns` reads the log with Polars, locates each
distinct address once and works on columns. Both write one JSON line a login. They know no uncertainty of a place, no
networks, no devices, keep no history and give no reasons.
"""

import json
import sys
from datetime import datetime
from math import asin, cos, radians, sin, sqrt
from pathlib import Path

import geoip2.database
import polars as pl
from geoip2.errors import AddressNotFoundError

EARTH_KM = 12_742.0  # its diameter


def plain(log: Path, city: Path, out: Path) -> None:
    """Read, locate, compare with the user's login before, write; one login at a time."""
    last: dict[str, tuple[float, float, float]] = {}
    with geoip2.database.Reader(city) as reader, log.open() as lines, out.open("w") as written:
        for line in lines:
            login = json.loads(line)
            try:
                place = reader.city(login["ip"]).location
            except AddressNotFoundError:
                continue
            at = datetime.fromisoformat(login["occurred_at"]).timestamp()
            here = (at, radians(place.latitude or 0.0), radians(place.longitude or 0.0))
            before = last.get(login["user_id"])
            speed = _speed(before, here) if before else None
            last[login["user_id"]] = here
            written.write(json.dumps({"event_id": login["event_id"], "kmh": speed}) + "\n")


def _speed(before: tuple[float, float, float], here: tuple[float, float, float]) -> float:
    (earlier, a, b), (later, c, d) = before, here
    km = EARTH_KM * asin(sqrt(sin((c - a) / 2) ** 2 + cos(a) * cos(c) * sin((d - b) / 2) ** 2))
    return km / max((later - earlier) / 3600, 1e-9)


def columns(log: Path, city: Path, out: Path) -> None:
    """The same by columns."""
    logins = pl.read_ndjson(log).with_columns(at=pl.col("occurred_at").str.to_datetime(time_zone="UTC"))
    located = logins.join(_places(logins["ip"].unique().to_list(), city), on="ip", how="left").sort("user_id", "at")
    km = EARTH_KM * _half_chord("latitude", "longitude").sqrt().arcsin()
    hours = pl.col("at").diff().over("user_id").dt.total_milliseconds() / 3_600_000
    located.select("event_id", kmh=km / pl.max_horizontal(hours, 1e-9)).write_ndjson(out)


def _places(addresses: list[str], city: Path) -> pl.DataFrame:
    with geoip2.database.Reader(city) as reader:
        found = [reader.city(one).location for one in addresses]
    return pl.DataFrame(
        {
            "ip": addresses,
            "latitude": [radians(one.latitude or 0.0) for one in found],
            "longitude": [radians(one.longitude or 0.0) for one in found],
        }
    )


def _half_chord(latitude: str, longitude: str) -> pl.Expr:
    here, before = pl.col(latitude), pl.col(latitude).shift().over("user_id")
    east = pl.col(longitude).diff().over("user_id")
    return ((here - before) / 2).sin() ** 2 + before.cos() * here.cos() * (east / 2).sin() ** 2


if __name__ == "__main__":
    {"plain": plain, "columns": columns}[sys.argv[1]](*map(Path, sys.argv[2:5]))
