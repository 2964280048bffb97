"""Distances and journeys, against textbooks and against the libraries that know better."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ncx2, norm

from riskengine.compiled import compiled
from riskengine.geo import distance_km, impossibility, marcum_q, reach_km

NAN = math.nan


@pytest.mark.parametrize(
    ("start", "end", "km"),
    [
        pytest.param((40.7128, -74.0060), (35.6895, 139.6917), 10_849, id="new_york_to_tokyo"),
        pytest.param((0.0, 0.0), (0.0, 1.0), 111.195, id="a_degree_on_the_equator"),
        pytest.param((10.0, 179.9), (10.0, -179.9), 21.9, id="across_the_antimeridian"),
        pytest.param((90.0, 0.0), (-90.0, 77.0), 20_015.1, id="pole_to_pole"),
        pytest.param((12.0, 34.0), (12.0, 34.0), 0.0, id="nowhere_at_all"),
    ],
)
def test_distance_is_the_great_circle(start: tuple[float, float], end: tuple[float, float], km: float) -> None:
    assert distance_km(*start, *end) == pytest.approx(km, rel=2e-4, abs=0.06)


def test_an_unknown_coordinate_makes_the_distance_unknown() -> None:
    found = [distance_km(NAN, 0.0, 0.0, 0.0), distance_km(1.0, 0.0, 0.0, NAN)]

    assert np.isnan(found).all()


# scipy itself overflows for some arguments finer than these.
HUNDREDTHS = st.integers(1, 4000).map(lambda n: n / 100)


@given(HUNDREDTHS, HUNDREDTHS)
def test_marcum_q_is_the_tail_of_the_noncentral_chi_square(a: float, b: float) -> None:
    expected = ncx2.sf(b * b, 2, a * a)

    assert marcum_q(a, b) == pytest.approx(expected, abs=2e-6)


def test_marcum_q_far_out_is_the_normal_tail() -> None:
    found = [marcum_q(a, b) for a, b in ((300.0, 302.0), (1e4, 1e4 - 3), (66.0, 0.5), (1.0, 90.0))]

    assert found == pytest.approx([norm.sf(2 - 1 / 600), norm.sf(-3), 1.0, 0.0], abs=1e-4)


@compiled
def _all_impossible(rows: np.ndarray) -> np.ndarray:
    found = np.empty(len(rows))
    for at in range(len(rows)):
        found[at] = impossibility(rows[at, 0], rows[at, 1], rows[at, 2], rows[at, 3])
    return found


@given(st.lists(st.tuples(st.floats(0, 2e4), st.floats(1, 2e3), st.floats(1, 2e3), st.floats(0, 3e4)), min_size=1))
def test_a_row_alone_is_the_row_in_a_batch(rows: list[tuple[float, float, float, float]]) -> None:
    together = _all_impossible(np.array(rows))

    for index, row in enumerate(rows):
        assert impossibility(*row) == together[index]


def _impossible(distance: float, radius: float, hours: float) -> float:
    reach = reach_km(float(hours), 1000.0, 350.0, 250.0, 0.5, 50.0)
    return impossibility(float(distance), float(radius), float(radius), reach)


@pytest.mark.parametrize(
    ("distance", "radius", "hours", "low", "high"),
    [
        pytest.param(10_849, 20, 1 / 6, 0.999, 1, id="tokyo_in_ten_minutes_is_impossible"),
        pytest.param(10_849, 20, 30, 0, 0, id="tokyo_in_thirty_hours_is_not"),
        pytest.param(0, 1000, 0, 0, 0, id="one_wide_place_in_one_second_is_no_journey"),
        pytest.param(300, 1000, 0, 0, 0.2, id="two_mobile_gateways_in_one_second_say_little"),
        pytest.param(5_540, 25, 4.95, 0.9, 1, id="an_ocean_within_the_fastest_crossing_less_the_airport"),
        pytest.param(240, 5, 1, 0, 0, id="an_hour_on_a_fast_train"),
        pytest.param(900, 20, 0.25, 0.9, 1, id="a_quarter_of_an_hour_for_900_km"),
    ],
)
def test_a_journey_is_judged_after_its_uncertainty(
    distance: float, radius: float, hours: float, low: float, high: float
) -> None:
    assert low <= _impossible(distance, radius, hours) <= high


def test_what_is_unknown_stays_unknown() -> None:
    assert math.isnan(_impossible(NAN, 20, 1))
    assert math.isnan(_impossible(100, NAN, 1))


@given(st.floats(0, 15_000), st.floats(1, 500), st.floats(0, 20), st.floats(0, 5))
def test_more_time_never_makes_a_journey_less_possible(
    distance: float, radius: float, hours: float, more: float
) -> None:
    assert _impossible(distance, radius, hours + more) <= _impossible(distance, radius, hours) + 2e-6
