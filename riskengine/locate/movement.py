"""How much of the world a new edition of the city files moves: an edition moves some of it, a wrong file most of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskengine.geo import distances_km
from riskengine.locate.database import Database
from riskengine.locate.record import Spot

# Addresses compared; the share found is then within 1.5 % (one standard error at MOST_MOVED: 0.8 %).
SAMPLED = 4_000
# Between DB-IP's editions of April 2023 and June 2026 a quarter of random IPv4 addresses moved by 182 km or more, a
# tenth by 1,647 km or more, and 6.7 % changed country; two vendors of the same month lie 275 km apart in the median
# (reference measurements, 30,000 addresses). So beyond 500 km, three years of one vendor's editions move less than a
# fifth, another vendor's file about two fifths. Above this share it is no edition; somebody has to say it is meant.
FAR_KM = 500.0
MOST_MOVED = 0.25


@dataclass(frozen=True, slots=True)
class Movement:
    """What became of `sampled` addresses with a known place: how many are far away now, elsewhere, or nowhere."""

    sampled: int
    moved: int

    def share(self) -> float:
        return self.moved / self.sampled if self.sampled else 0.0

    def plausible(self) -> bool:
        """Return whether an edition may move so much.

        >>> Movement(4000, 1000).plausible(), Movement(4000, 1001).plausible(), Movement(0, 0).plausible()
        (True, False, True)
        """
        return self.share() <= MOST_MOVED


def movement(old: Sequence[Database[Spot]], new: Sequence[Database[Spot]]) -> Movement:
    """Return how much moves when `new` files take the place of `old` ones; always the same for the same files."""
    if not old:
        return Movement(0, 0)
    samples = [file.sample(SAMPLED // len(old)) for file in old]
    high, low = (np.concatenate(halves) for halves in zip(*samples, strict=True))
    before, after = _spots(old, high, low), _spots(new, high, low)
    known = [(a, b) for a, b in zip(before, after, strict=True) if a.country is not None or a.latitude == a.latitude]
    if not known:
        return Movement(0, 0)
    points = np.array([(a.latitude, a.longitude, b.latitude, b.longitude) for a, b in known]).T
    far = distances_km(*points) > FAR_KM  # an unknown point is no distance
    lost = np.array([b == Spot() for _, b in known])
    elsewhere = np.array([None not in (a.country, b.country) and a.country != b.country for a, b in known])
    return Movement(len(known), int((far | lost | elsewhere).sum()))


def _spots(files: Sequence[Database[Spot]], high: np.ndarray, low: np.ndarray) -> list[Spot]:
    """Return what the first file that knows each address says."""
    found: list[Spot | None] = [None] * len(high)
    for file in files:
        found = [had or said for had, said in zip(found, file.ask(high, low).found, strict=True)]
    return [spot or Spot() for spot in found]
