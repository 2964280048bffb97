"""Signals and policy to points and a score of 0 to 100, higher is riskier; both in tenths, as whole numbers."""

import math

import numpy as np

from riskengine.compiled import compiled, signed

FULL = 1000  # tenths


@compiled
def score(signals: np.ndarray, weights: np.ndarray, left: np.ndarray, points: np.ndarray) -> int:
    """Fill `points` with each signal's, in tenths, and return their sum, the score.

    Points are weight times value times what is `left` of it (0 to 1); 0 where the signal is unknown. What exceeds 100
    in all is taken back in proportion, and the rounding from the strongest, so that the points of an event always add
    up to its score.
    """
    total = 0
    for at in range(len(signals)):
        value = 0.0 if math.isnan(signals[at]) else signals[at]
        points[at] = signed(np.rint(value * left[at] * (weights[at] * 10)))
        total += points[at]
    if total <= FULL:
        return total
    strongest, scaled = 0, 0
    for at in range(len(points)):
        points[at] = points[at] * FULL // total
        scaled += points[at]
        if points[at] > points[strongest]:
            strongest = at
    points[strongest] += FULL - scaled
    return FULL
