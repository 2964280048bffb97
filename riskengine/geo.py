"""Distances between points and what they say about journeys between uncertain places."""

import math

import numpy as np

from riskengine.compiled import compiled

EARTH_KM = 6371.0088
# sigma of a Rayleigh-distributed error, as a share of the radius that holds it with 67 % confidence: 1/sqrt(-2 ln 0.33)
SIGMA_PER_R67 = 0.6716
MS_PER_HOUR = 3_600_000
R99_PER_R67 = 2.038  # of the same distribution, the radius of 99 % confidence: sqrt(ln 0.01 / ln 0.33)
_TAIL = 8.0  # standard deviations beyond which a normal density is nothing at the precision kept
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)


@compiled
def rounded(value: float, steps: float) -> float:
    """Return a value on the grid of 1 / `steps`, halves to even; NaN stays NaN.

    >>> rounded(0.12345678, 1e6), rounded(2.5, 1.0)
    (0.123457, 2.0)
    """
    found: float = np.rint(value * steps) / steps
    return found


@compiled
def distance_km(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Return the great-circle distance in km (sphere of mean radius), rounded to 1 m; NaN where a coordinate is.

    >>> distance_km(40.7128, -74.006, 35.6895, 139.6917)
    10848.823
    """
    a, b = math.radians(latitude), math.radians(to_latitude)
    half = math.radians(to_longitude - longitude) / 2
    chord = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(half) ** 2
    if math.isnan(chord):
        return math.nan
    return rounded(2 * EARTH_KM * math.asin(math.sqrt(min(max(chord, 0.0), 1.0))), 1000.0)


@compiled
def distances_km(
    latitude: np.ndarray, longitude: np.ndarray, to_latitude: np.ndarray, to_longitude: np.ndarray
) -> np.ndarray:
    """Return `distance_km` of each row of four columns."""
    found = np.empty(len(latitude))
    for at in range(len(latitude)):
        found[at] = distance_km(latitude[at], longitude[at], to_latitude[at], to_longitude[at])
    return found


@compiled
def normal_tail(x: float) -> float:
    """Return P(N(0, 1) > x), within 1.2e-7 relative (the Chebyshev fit of erfc in Numerical Recipes, section 6.2)."""
    z = abs(x) / math.sqrt(2.0)
    t = 1.0 / (1.0 + 0.5 * z)
    fit = 0.0
    for coefficient in _ERFC:
        fit = fit * t + coefficient
    half = 0.5 * t * math.exp(-z * z + fit)
    return half if x >= 0 else 1.0 - half


_ERFC = np.array(
    [
        0.17087277,
        -0.82215223,
        1.48851587,
        -1.13520398,
        0.27886807,
        -0.18628806,
        0.09678418,
        0.37409196,
        1.00002368,
        -1.26551223,
    ]
)


@compiled
def marcum_q(a: float, b: float) -> float:
    """Return Q1(a, b): the chance that a plane point with unit normal errors, centred `a` from home, lies beyond `b`.

    Within 1e-6 absolute for 0 <= a, b; NaN where an argument is. The error across the direction of the centre is
    integrated by Gauss and Legendre, the one along it is the normal distribution function.

    >>> round(marcum_q(0.0, 1.0), 5), marcum_q(5.0, 0.0)
    (0.60653, 1.0)
    """
    if math.isnan(a) or math.isnan(b):
        return math.nan
    widest, inside = min(b, _TAIL), 0.0
    for at in range(len(_NODES)):
        angle = math.pi / 4 * (_NODES[at] + 1)  # 0 to pi/2; the substitution takes the edge out of the square root
        across = widest * math.sin(angle)
        along = math.sqrt(max(b * b - across * across, 0.0))
        chance = normal_tail(-(along - a)) - normal_tail(along + a)
        density = math.exp(-0.5 * across * across) / math.sqrt(2 * math.pi)
        inside += (2 * math.pi / 4 * _WEIGHTS[at]) * density * chance * widest * math.cos(angle)
    return min(max(1.0 - inside, 0.0), 1.0)


@compiled
def reach_km(
    hours: float, speed_kmh: float, ground_kmh: float, ground_km: float, airport_hours: float, slack_km: float
) -> float:
    """Return how far anybody gets in `hours`: on the ground up to `ground_km`, beyond it by air after the airport."""
    return max(min(ground_kmh * hours, ground_km), speed_kmh * (hours - airport_hours)) + slack_km


@compiled
def impossibility(distance: float, radius: float, to_radius: float, reach: float) -> float:
    """Return, 0 to 1 on a grid of 1e-6, how surely a journey of `distance` km exceeds what `reach` km allows.

    It is 1 - P(a distance this great or greater is measured | the true one is just `reach`): a test of the hypothesis
    that the journey was possible. (The Rice-distributed P(true > reach | measured) of the literature calls two logins
    in one second at one and the same wide place impossible: with a measured distance of 0 it grows with the
    uncertainty. This one is 0 there.) Radii are km with 67 % confidence. NaN where anything is unknown.
    """
    sigma = SIGMA_PER_R67 * math.sqrt(radius * radius + to_radius * to_radius)
    if math.isnan(distance + sigma + reach):
        return math.nan
    if distance <= reach:
        return 0.0
    return rounded(1.0 - marcum_q(reach / sigma, distance / sigma), 1e6)
