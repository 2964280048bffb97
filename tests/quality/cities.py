"""Real cities, how far they are apart, and how many users live where."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import asin, atan2, cos, degrees, pi, radians, sin, sqrt
from pathlib import Path
from random import Random

from riskengine.geo import EARTH_KM


@dataclass(frozen=True)
class City:
    """A real city; `people` weighs how many users live there."""

    name: str
    country: str
    latitude: float
    longitude: float
    zone: str
    people: float


@cache
def cities() -> tuple[City, ...]:
    """Return all cities."""
    with (Path(__file__).parent / "cities.csv").open(encoding="utf-8") as file:
        return tuple(
            City(
                row["city"],
                row["country"],
                float(row["latitude"]),
                float(row["longitude"]),
                row["zone"],
                float(row["people"]),
            )
            for row in csv.DictReader(file)
        )


@cache
def city(name: str) -> City:
    """Return the city of this name."""
    return next(one for one in cities() if one.name == name)


@cache
def cities_of(country: str) -> tuple[City, ...]:
    """Return the cities of a country."""
    return tuple(one for one in cities() if one.country == country)


@cache
def countries() -> dict[str, float]:
    """Return how many users weigh in each country, in the order of the table."""
    return {one.country: sum(there.people for there in cities_of(one.country)) for one in cities()}


def pick_city(random: Random, among: Sequence[City] | None = None) -> City:
    """Return a city by how many people live there."""
    found = among or cities()
    return random.choices(found, [one.people for one in found])[0]


def domestic(random: Random, home: City) -> City:
    """Return another city of the same country, or the same one where there is no other."""
    return pick_city(random, [one for one in cities_of(home.country) if one != home] or [home])


def elsewhere(random: Random, home: City, abroad: float) -> City:
    """Return another city: with chance `abroad`, or where there is no other, in another country."""
    if len(cities_of(home.country)) > 1 and random.random() >= abroad:
        return domestic(random, home)
    return pick_city(random, [one for one in cities() if one.country != home.country])


def apart_km(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Return a great-circle distance in km."""
    a, b, half = radians(latitude), radians(to_latitude), radians(to_longitude - longitude) / 2
    return 2 * EARTH_KM * asin(sqrt(min(sin((b - a) / 2) ** 2 + cos(a) * cos(b) * sin(half) ** 2, 1.0)))


def between_km(one: City, other: City) -> float:
    """Return the distance between two cities in km."""
    return apart_km(one.latitude, one.longitude, other.latitude, other.longitude)


def moved(place: City, km: float, random: Random) -> tuple[float, float]:
    """Return the point `km` from a city in any direction, in degrees."""
    bearing, arc, north = random.uniform(0.0, 2 * pi), km / EARTH_KM, radians(place.latitude)
    latitude = asin(sin(north) * cos(arc) + cos(north) * sin(arc) * cos(bearing))
    east = atan2(sin(bearing) * sin(arc) * cos(north), cos(arc) - sin(north) * sin(latitude))
    longitude = (place.longitude + degrees(east) + 540.0) % 360.0 - 180.0
    return degrees(latitude), longitude
