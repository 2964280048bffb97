"""Distances between points and what they say about journeys between uncertain places, for columns."""

import numpy as np

EARTH_KM = 6371.0088
# sigma of a Rayleigh-distributed error, as a share of the radius that holds it with 67 % confidence: 1/sqrt(-2 ln 0.33)
SIGMA_PER_R67 = 0.6716
MS_PER_HOUR = 3_600_000
R99_PER_R67 = 2.038  # of the same distribution, the radius of 99 % confidence: sqrt(ln 0.01 / ln 0.33)
_TAIL = 8.0  # standard deviations beyond which a normal density is nothing at the precision kept
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)


def distance_km(
    latitude: np.ndarray, longitude: np.ndarray, to_latitude: np.ndarray, to_longitude: np.ndarray
) -> np.ndarray:
    """Return great-circle distances in km (sphere of mean radius), rounded to 1 m; NaN where a coordinate is.

    >>> distance_km(np.array([40.7128]), np.array([-74.006]), np.array([35.6895]), np.array([139.6917])).round()
    array([10849.])
    """
    a, b = np.radians(latitude), np.radians(to_latitude)
    half = np.radians(to_longitude - longitude) / 2
    chord = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(half) ** 2
    return np.round(2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(chord, 0.0, 1.0))), 3)


def normal_tail(x: np.ndarray) -> np.ndarray:
    """Return P(N(0, 1) > x), within 1.2e-7 relative (the Chebyshev fit of erfc in Numerical Recipes, section 6.2)."""
    z = np.abs(x) / np.sqrt(2.0)
    t = 1.0 / (1.0 + 0.5 * z)
    fit = np.zeros_like(t)
    for coefficient in _ERFC:
        fit = fit * t + coefficient
    half = 0.5 * t * np.exp(-z * z + fit)
    return np.where(x >= 0, half, 1.0 - half)


_ERFC = (
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
)


def marcum_q(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Q1(a, b): the chance that a plane point with unit normal errors, centred `a` from home, lies beyond `b`.

    Element-wise, within 1e-6 absolute for 0 <= a, b; NaN where an argument is. The error across the direction of the
    centre is integrated by Gauss and Legendre, the one along it is the normal distribution function.

    >>> marcum_q(np.array([0.0, 5.0]), np.array([1.0, 0.0])).round(5).tolist()
    [0.60653, 1.0]
    """
    widest = np.minimum(b, _TAIL)
    inside = np.zeros(np.broadcast(a, b).shape)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        angle = np.pi / 4 * (node + 1)  # 0 to pi/2; the substitution takes the edge out of the square root
        across = widest * np.sin(angle)
        along = np.sqrt(np.maximum(b * b - across * across, 0.0))
        chance = normal_tail(-(along - a)) - normal_tail(along + a)
        density = np.exp(-0.5 * across * across) / np.sqrt(2 * np.pi)
        inside = inside + (2 * np.pi / 4 * weight) * density * chance * widest * np.cos(angle)
    return np.clip(1.0 - inside, 0.0, 1.0)


def reach_km(
    hours: np.ndarray, speed_kmh: float, ground_kmh: float, ground_km: float, airport_hours: float, slack_km: float
) -> np.ndarray:
    """Return how far anybody gets in `hours`: on the ground up to `ground_km`, beyond it by air after the airport."""
    ground = np.minimum(ground_kmh * hours, ground_km)
    return np.maximum(ground, speed_kmh * (hours - airport_hours)) + slack_km


def impossibility(
    distance: np.ndarray, radius: np.ndarray, to_radius: np.ndarray, reach: np.ndarray
) -> np.ndarray:
    """Return, 0 to 1 on a grid of 1e-6, how surely a journey of `distance` km exceeds what `reach` km allows.

    It is 1 - P(a distance this great or greater is measured | the true one is just `reach`): a test of the hypothesis
    that the journey was possible. (The
    Rice-distributed P(true > reach | measured) of the literature calls two logins in one second at one and the same
    wide place impossible: with a measured distance of 0 it grows with the uncertainty. This one is 0 there.)
    Radii are km with 67 % confidence. NaN where anything is unknown.
    """
    sigma = SIGMA_PER_R67 * np.sqrt(radius * radius + to_radius * to_radius)
    result = np.where(np.isnan(distance + sigma + reach), np.nan, 0.0)
    far = distance > reach
    if far.any():
        possible = marcum_q(reach[far] / sigma[far], distance[far] / sigma[far])
        result[far] = np.round(1.0 - possible, 6)
    return result
