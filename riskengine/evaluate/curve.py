"""What a score alone could do: its ROC curve, the area below it, and how many attacks a given friction buys.

Everything is counted over the scores there can be, 0 to 1000 tenths: `legitimate[s]` logins and `attacks[s]` have the
score s.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from riskengine.document.share import Share, share

FULL = 1000  # the highest score, in tenths
# Shares of the legitimate logins that a threshold may bother.
FRICTIONS = (Fraction(1, 1000), Fraction(5, 1000), Fraction(1, 100))


@dataclass(frozen=True, slots=True)
class Point:
    """Asking for a second factor from `score` on would stop this share of legitimate logins, and of attacks."""

    score: float
    friction: float
    recall: float


@dataclass(frozen=True, slots=True)
class AtFriction:
    """The most attacks that a threshold catches that stops at most the share `friction` of legitimate logins.

    `from_score` is the lowest such threshold; None if even a score of 100 is shared by more of them.
    """

    friction: float
    recall: Share
    from_score: float | None


def tally(scores: Iterable[int]) -> np.ndarray:
    """Return how many of these scores (tenths) there are of each."""
    return np.bincount(np.fromiter(scores, np.int64), minlength=FULL + 1)


def auc(legitimate: np.ndarray, attacks: np.ndarray) -> float | None:
    """Return the chance that an attack scores above a legitimate login, ties half: the area below the ROC curve.

    None without any of either. It is the Mann-Whitney U over all pairs, exact because it is counted.

    >>> auc(tally([0, 0, 50]), tally([50, 90]))
    0.9166666666666666
    """
    pairs = int(legitimate.sum()) * int(attacks.sum())
    below = np.cumsum(legitimate) - legitimate
    return int((attacks * (2 * below + legitimate)).sum()) / (2 * pairs) if pairs else None


def roc(legitimate: np.ndarray, attacks: np.ndarray) -> list[Point]:
    """Return the curve from the highest threshold that anything reaches to the lowest; empty without any of either."""
    if not legitimate.sum() or not attacks.sum():
        return []
    stopped, caught = _from(legitimate), _from(attacks)
    reached = np.flatnonzero(legitimate + attacks)[::-1]
    return [Point(int(at) / 10, int(stopped[at]) / int(stopped[0]), int(caught[at]) / int(caught[0])) for at in reached]


def at_friction(legitimate: np.ndarray, attacks: np.ndarray, friction: Fraction) -> AtFriction:
    """Return what the best threshold within `friction` catches; without legitimate logins nothing is known."""
    stopped, caught = _from(legitimate), _from(attacks)
    if not stopped[0]:
        return AtFriction(float(friction), share(0, 0), None)
    fits = stopped * friction.denominator <= int(stopped[0]) * friction.numerator
    at = int(np.argmax(fits))
    return AtFriction(float(friction), share(int(caught[at]), int(caught[0])), at / 10 if at <= FULL else None)


def _from(counts: np.ndarray) -> np.ndarray:
    """Return how many have each score or a higher one; one entry more, for a threshold that nothing reaches."""
    return np.append(np.cumsum(counts[::-1])[::-1], 0)
