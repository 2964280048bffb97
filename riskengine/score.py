"""Signals and policy to points and a score of 0 to 100, higher is riskier; both in tenths, as whole numbers."""

from collections.abc import Mapping

import numpy as np

FULL = 1000  # tenths


def points_of(
    signals: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray | float], left: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return each signal's points in tenths (int64): weight times value times what is `left` of it (1 where nothing
    is said); 0 where the signal is unknown.

    What exceeds 100 in all is taken back in proportion, and the rounding from the strongest, so that the points of
    an event always add up to its score.
    """
    values = np.array([value * left[name] if name in left else value for name, value in signals.items()])
    count = values.shape[1]
    tenths = np.array([np.broadcast_to(np.asarray(weights[name]) * 10, count) for name in signals])
    points = np.round(np.where(np.isnan(values), 0.0, values) * tenths).astype(np.int64)
    total = points.sum(axis=0)  # whole numbers: their sum does not depend on any order
    over = total > FULL
    if over.any():
        scaled = np.where(over, points * FULL // np.maximum(total, 1), points)
        strongest = np.arange(len(scaled))[:, None] == np.argmax(scaled, axis=0)
        points = scaled + np.where(strongest, np.where(over, FULL - scaled.sum(axis=0), 0), 0)
    return dict(zip(signals, points, strict=True))


def total_of(points: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the score in tenths: the sum over the signals."""
    total = np.zeros(len(next(iter(points.values()))), np.int64)
    for value in points.values():
        total = total + value
    return total
