"""Signals and policy to points and a score of 0 to 100, higher is riskier; both in tenths, as whole numbers."""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from riskengine.policy import Policy

FULL = 1000  # tenths


def points_of(signals: Mapping[str, np.ndarray], policy: Policy) -> dict[str, np.ndarray]:
    """Return each signal's points in tenths (int64): weight times value; 0 where the signal is unknown.

    What exceeds 100 in all is taken back in proportion, and the rounding from the strongest, so that the points of
    an event always add up to its score.
    """
    weights = asdict(policy.weights)
    points = {
        name: np.round(np.where(np.isnan(value), 0.0, value) * weights[name] * 10).astype(np.int64)
        for name, value in signals.items()
    }
    total = total_of(points)
    over = total > FULL
    if not over.any():
        return points
    divisor = np.maximum(total, 1)
    scaled = {name: np.where(over, value * FULL // divisor, value) for name, value in points.items()}
    rest = np.where(over, FULL - total_of(scaled), 0)
    strongest = np.zeros(len(total), np.int64)
    best = np.full(len(total), -1)
    for index, value in enumerate(scaled.values()):
        better = value > best
        strongest, best = np.where(better, index, strongest), np.where(better, value, best)
    return {name: value + np.where(strongest == index, rest, 0) for index, (name, value) in enumerate(scaled.items())}


def total_of(points: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the score in tenths: the sum over the signals."""
    total = np.zeros(len(next(iter(points.values()))), np.int64)
    for value in points.values():
        total = total + value
    return total
