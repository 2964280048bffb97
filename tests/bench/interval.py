"""What a handful of measurements says: a middle, and an interval that holds the true middle."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, comb
from statistics import median


@dataclass(frozen=True)
class Middle:
    """The median of measurements, and the ends of its interval; None where there are too few for one."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """Return the median with its interval, as a table shows it."""
        interval = "" if self.low is None or self.high is None else f" [{self.low:.3g}, {self.high:.3g}]"
        return f"{self.value:.3g}{interval}"


def middle(values: Sequence[float], confidence: float = 0.9) -> Middle:
    """Return the median with an interval by order statistics, which assumes nothing of how the values are spread.

    The interval is the narrowest pair of values, as many from either end, that holds the true median with at least
    `confidence`: each value lies above it or below it like a coin that falls.

    >>> print(middle([3.0, 1.0, 2.0, 5.0, 4.0]))
    3 [1, 5]
    >>> middle([1.0, 2.0, 3.0, 4.0]).low is None
    True
    """
    ordered = sorted(values)
    taken = outside = 0.0
    ends: tuple[float, float] | None = None
    for rank in range((len(ordered) + 1) // 2):
        outside += comb(len(ordered), rank)
        taken = 1 - 2 * outside / 2 ** len(ordered)
        if taken < confidence:
            break
        ends = ordered[rank], ordered[-1 - rank]
    return Middle(median(ordered), *(ends or (None, None)))


def paired(above: Sequence[float], below: Sequence[float]) -> Middle:
    """Return the middle of the ratios within each block: what slows a whole block down leaves its ratio alone."""
    return middle([one / other for one, other in zip(above, below, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that is no less than `share` (0 to 1) of all.

    >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5), percentile(range(1, 101), 0.99)
    (2.0, 99)
    """
    ordered = sorted(values)
    return ordered[max(ceil(len(ordered) * share) - 1, 0)]
