"""A map of the world with journeys along great circles; needs no tiles, no network and no script.

Longitude and latitude are the axes, four units a degree, from 84 N to 60 S. Like all pictures it holds no colours:
`STYLE` gives them. A journey is drawn by how plausible it is (`fine`, `odd`, `impossible`), in colour and in dashes.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from riskengine.charts.element import element, number
from riskengine.settings import package_files

WIDTH, HEIGHT, UNITS, NORTH = 1440, 576, 4, 84.0
MOST_LEGS = 500
PLAUSIBILITY = ("fine", "odd", "impossible")
STEP = math.radians(2)
EARTH_KM = 6371.0088

STYLE = """
.map { display: block; width: 100%; height: auto; background: var(--sea, #eaf1f6); border-radius: .4rem; }
.map .land { fill: var(--land, #cdd6cf); }
.map .leg { fill: none; stroke-width: 3.5; stroke-linecap: round; }
.map .fine { stroke: #00835f; }
.map .odd { stroke: #b36b00; stroke-dasharray: 12 6; }
.map .impossible { stroke: #c2185b; stroke-dasharray: 3 6; }
.map .radius { fill: #0b6bb0; fill-opacity: .15; stroke: #0b6bb0; stroke-opacity: .5; }
.map .spot { fill: #0b6bb0; stroke: #fff; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
.map { background: var(--sea, #17212b); } .map .land { fill: var(--land, #3a4650); }
.map .fine { stroke: #4fd1a5; } .map .odd { stroke: #f0b04c; } .map .impossible { stroke: #ff85ad; }
.map .spot { fill: #6db6f2; stroke: #101820; }
}
"""

Point = tuple[float, float]  # latitude, longitude in degrees


@dataclass(frozen=True, slots=True)
class Leg:
    """A journey between two points, how plausible it is, and what is said of it."""

    start: Point
    end: Point
    plausibility: str
    title: str


@dataclass(frozen=True, slots=True)
class Spot:
    """A place, how uncertain it is in km, and its name."""

    at: Point
    radius_km: float
    title: str


def world_map(title: str, legs: Sequence[Leg], spots: Sequence[Spot]) -> str:
    """Return the map; the last 500 legs are drawn, what is impossible above the rest."""
    shown = sorted(legs[-MOST_LEGS:], key=lambda leg: PLAUSIBILITY.index(leg.plausibility))
    parts = [element("path", {"class": "land", "d": _land()})]
    parts += [_circle(spot) for spot in spots if spot.radius_km >= 50]
    parts += [_leg(leg) for leg in shown]
    parts += [_dot(spot) for spot in spots]
    head = f'<svg class="map" role="img" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
    return "\n".join([head, element("title", {}, title), *parts, "</svg>"])


def great_circle(start: Point, end: Point) -> list[list[Point]]:
    """Return the shortest way as lines of points, 2 degrees apart; a line ends where the map does.

    >>> [len(line) > 1 for line in great_circle((40.7, -74.0), (35.7, 139.7))]
    [True, True]
    >>> len(great_circle((51.5, -0.1), (40.7, -74.0)))
    1
    """
    a, b = _vector(start), _vector(end)
    angle = math.acos(min(1.0, max(-1.0, math.fsum(x * y for x, y in zip(a, b, strict=True)))))
    steps = max(1, math.ceil(angle / STEP))
    if angle < 1e-9 or math.pi - angle < 1e-9:  # nothing to draw, or every way is as short
        return [[start, end]]
    points = [_between(a, b, angle, at / steps) for at in range(steps + 1)]
    return _cut([start, *points[1:-1], end])


def _between(a: Sequence[float], b: Sequence[float], angle: float, share: float) -> Point:
    first, second = math.sin((1 - share) * angle) / math.sin(angle), math.sin(share * angle) / math.sin(angle)
    x, y, z = (first * p + second * q for p, q in zip(a, b, strict=True))
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


def _cut(points: Sequence[Point]) -> list[list[Point]]:
    """Return a line in parts, ended at one edge of the map and begun at the other."""
    lines = [[points[0]]]
    for (latitude, longitude), (to_latitude, to_longitude) in pairwise(points):
        turn = 360.0 if to_longitude - longitude < -180 else -360.0 if to_longitude - longitude > 180 else 0.0
        if turn:
            edge = math.copysign(180.0, turn)
            across = (edge - longitude) / (to_longitude + turn - longitude)
            crossing = latitude + across * (to_latitude - latitude)
            lines[-1].append((crossing, edge))
            lines.append([(crossing, -edge)])
        lines[-1].append((to_latitude, to_longitude))
    return lines


def _vector(point: Point) -> tuple[float, float, float]:
    north, east = math.radians(point[0]), math.radians(point[1])
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)


def _leg(leg: Leg) -> str:
    lines = great_circle(leg.start, leg.end)
    path = "".join(f"M{'L'.join(_xy(point) for point in line)}" for line in lines)
    return _titled("path", {"class": f"leg {leg.plausibility}", "d": path}, leg.title)


def _circle(spot: Spot) -> str:
    """Return how uncertain a place is; the width of a degree shrinks towards the poles."""
    high = spot.radius_km / (math.radians(1) * EARTH_KM) * UNITS
    wide = min(high / max(math.cos(math.radians(spot.at[0])), 0.1), WIDTH / 2)
    x, y = _at(spot.at)
    return element("ellipse", {"class": "radius", "cx": x, "cy": y, "rx": wide, "ry": high})


def _dot(spot: Spot) -> str:
    x, y = _at(spot.at)
    return _titled("circle", {"class": "spot", "cx": x, "cy": y, "r": 6.0}, spot.title)


def _titled(name: str, attributes: dict[str, str | float], title: str) -> str:
    return element(name, attributes).removesuffix("/>") + ">" + element("title", {}, title) + f"</{name}>"


def _at(point: Point) -> tuple[float, float]:
    return (point[1] + 180) * UNITS, min(max((NORTH - point[0]) * UNITS, 0.0), float(HEIGHT))


def _xy(point: Point) -> str:
    return ",".join(number(value) for value in _at(point))


@cache
def _land() -> str:
    return (package_files("data") / "land-110m.svgpath").read_text(encoding="utf-8").strip()


def plausibility(impossible: float | None) -> str:
    """Return what to call a journey by how impossible it is, 0 to 1; of an unknown one nothing bad is said.

    >>> [plausibility(value) for value in (None, 0.0, 0.2, 0.9)]
    ['fine', 'fine', 'odd', 'impossible']
    """
    if not impossible:
        return "fine"
    return "impossible" if impossible >= 0.5 else "odd"


def spots_of(ends: Iterable[tuple[Point, float, str]]) -> list[Spot]:
    """Return each place once, at its best."""
    found: dict[Point, Spot] = {}
    for at, radius, name in ends:
        cell = (round(at[0]), round(at[1]))
        if cell not in found or radius < found[cell].radius_km:
            found[cell] = Spot(at, radius, name)
    return list(found.values())
