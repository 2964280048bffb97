"""Make data/land-110m.svgpath, the outline of all land, from Natural Earth as npm's `world-atlas` 2.0.2 carries it.

    npm pack world-atlas@2.0.2
    python data/build/land.py world-atlas-2.0.2.tgz

Longitudes are unwrapped along each ring and the ring is cut at the antimeridian: without that, streaks cross Russia,
Fiji and the Arctic. Four units a degree, on whole numbers; y grows to the south, and 84 N to 60 S is kept.
"""

import json
import sys
import tarfile
from itertools import accumulate, pairwise
from pathlib import Path

OUT = Path(__file__).parents[1] / "land-110m.svgpath"
UNITS = 4
NORTH, SOUTH = 84.0, -60.0

Point = tuple[float, float]


def arcs_of(topology: dict) -> list[list[Point]]:
    """Return the arcs in degrees: TopoJSON keeps steps, on a grid."""
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    found = []
    for arc in topology["arcs"]:
        xs, ys = accumulate(step[0] for step in arc), accumulate(step[1] for step in arc)
        found.append([(x * sx + tx, y * sy + ty) for x, y in zip(xs, ys, strict=True)])
    return found


def ring_of(indexes: list[int], arcs: list[list[Point]]) -> list[Point]:
    """Return a ring; a negative index (~i) is arc i backwards."""
    points: list[Point] = []
    for index in indexes:
        arc = arcs[index] if index >= 0 else arcs[~index][::-1]
        points += arc[1:] if points else arc
    return points


def unwrapped(ring: list[Point]) -> list[Point]:
    """Return a ring whose longitudes never jump; one round a pole is closed along it."""
    found = [ring[0]]
    for (before, _), (x, y) in pairwise(ring):
        step = (x - before + 540) % 360 - 180
        found.append((found[-1][0] + step, y))
    if abs(found[-1][0] - found[0][0]) > 180:
        found += [(found[-1][0], -90.0), (found[0][0], -90.0)]
    return found


def kept(ring: list[Point], axis: int, limit: float, sign: int) -> list[Point]:
    """Return the part of a ring on one side of a line (Sutherland-Hodgman)."""
    found: list[Point] = []
    for a, b in zip(ring, ring[1:] + ring[:1], strict=True):
        inside, next_inside = sign * (a[axis] - limit) <= 0, sign * (b[axis] - limit) <= 0
        if inside:
            found.append(a)
        if inside != next_inside:
            share = (limit - a[axis]) / (b[axis] - a[axis])
            found.append((a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])))
    return found


def pieces(ring: list[Point]) -> list[list[Point]]:
    """Return what of a ring lies on the map, whichever turn of the earth its longitudes are counted in."""
    found = []
    for turn in (-360, 0, 360):
        part = [(x + turn, y) for x, y in unwrapped(ring)]
        for axis, limit, sign in ((0, -180.0, -1), (0, 180.0, 1), (1, SOUTH, -1), (1, NORTH, 1)):
            part = kept(part, axis, limit, sign) if part else part
        if part:
            found.append(part)
    return found


def path(ring: list[Point]) -> str:
    """Return a ring as an SVG path of steps, "" for one that is no area on the grid."""
    grid = [(round((x + 180) * UNITS), round((NORTH - y) * UNITS)) for x, y in ring]
    grid = [point for before, point in pairwise([None, *grid]) if point != before]
    if len(set(grid)) < 4:
        return ""
    steps = "".join(f"{b[0] - a[0]},{b[1] - a[1]} " for a, b in pairwise(grid))
    return f"M{grid[0][0]},{grid[0][1]}l{steps.rstrip()}z"


def main(package: str) -> None:
    """Write the outline."""
    with tarfile.open(package) as archive:
        opened = archive.extractfile("package/land-110m.json")
        assert opened is not None
        topology = json.load(opened)
    arcs = arcs_of(topology)
    polygons = [polygon for shape in topology["objects"]["land"]["geometries"] for polygon in shape["arcs"]]
    rings = [ring_of(indexes, arcs) for polygon in polygons for indexes in polygon]
    OUT.write_text("\n".join(text for ring in rings for piece in pieces(ring) if (text := path(piece))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
