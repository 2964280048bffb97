"""A share of a count, with the interval that so few or so many observations leave it in."""

import math
from dataclasses import dataclass

# The normal distribution's 97.5 % point: what bounds 95 % from both sides.
Z = 1.959963984540054
NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, as `value` 0 to 1, and its 95 % interval by Wilson (1927). Of nothing, the three are None."""

    count: int
    of: int
    value: float | None
    low: float | None
    high: float | None


def share(count: int, of: int) -> Share:
    """Return how large a part of `of` `count` is.

    >>> found = share(3, 100)
    >>> [round(value, 4) for value in (found.value, found.low, found.high)]
    [0.03, 0.0103, 0.0845]
    """
    if not of:
        return Share(count, of, None, None, None)
    value = count / of
    middle = (value + Z * Z / (2 * of)) / (1 + Z * Z / of)
    half = Z / (1 + Z * Z / of) * math.sqrt(value * (1 - value) / of + Z * Z / (4 * of * of))
    # At the ends the formula is exact, and only rounding would miss them.
    return Share(count, of, value, middle - half if count else 0.0, middle + half if count < of else 1.0)


def percent(value: float | None) -> str:
    """Return a share as text, smaller ones more finely; what is not quite nothing or everything does not read as such.

    >>> percent(0.0), percent(0.0351), percent(0.000351), percent(0.000001), percent(0.99999), percent(None)
    ('0 %', '3.51 %', '0.035 %', '<0.001 %', '>99.99 %', 'no data')
    """
    if value is None:
        return NO_DATA
    if 0 < value < 0.00001:
        return "<0.001 %"
    if 0.9999 < value < 1:
        return ">99.99 %"
    if value in (0, 1):
        return f"{value:.0%}".replace("%", " %")
    return f"{value * 100:.{3 if value < 0.001 else 2}f} %"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval of shares as text, empty where there is none.

    >>> interval(0.0103, 0.0845), interval(None, None)
    ('1.03 – 8.45 %', '')
    """
    return "" if low is None or high is None else f"{percent(low).removesuffix(' %')} – {percent(high)}"
