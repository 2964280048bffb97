"""Buckets against the plainest way to say what they are, and within the memory they may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.access.bucket import Buckets

NOW = 1_772_615_731_500
SPAN = 60_000


@pytest.mark.parametrize(
    ("at", "waits"),
    [
        pytest.param([0, 0, 0], [0, 0, 0], id="a_full_bucket_at_once"),
        pytest.param([0, 0, 0, 0], [0, 0, 0, 20_000], id="then_one_for_each_third_of_the_span"),
        pytest.param([0, 0, 0, 19_999, 20_000, 20_000], [0, 0, 0, 1, 0, 20_000], id="to_the_ms"),
        pytest.param([0, 0, 0, 60_000, 60_000, 60_000, 60_000], [0, 0, 0, 0, 0, 0, 20_000], id="full_after_the_span"),
        pytest.param([0, 0, 0, 9_000_000, 9_000_000], [0, 0, 0, 0, 0], id="never_more_than_full"),
        pytest.param([0, 0, 0, 0, 0, 20_000], [0, 0, 0, 20_000, 20_000, 0], id="asking_in_vain_costs_nothing"),
        pytest.param([0, 0, 0, -3_600_000], [0, 0, 0, 20_000], id="a_clock_put_back_by_an_hour"),
    ],
)
def test_a_bucket_of_three_a_minute(at: list[int], waits: list[int]) -> None:
    buckets = Buckets(3, SPAN)

    assert [buckets.take("a", NOW + moment) for moment in at] == waits


@given(st.integers(1, 50), st.lists(st.tuples(st.integers(0, 3_000), st.sampled_from("ab")), max_size=200))
def test_whoever_waits_as_told_gets_a_token_and_nobody_gets_more_than_there_are(
    size: int, steps: list[tuple[int, str]]
) -> None:
    """Held to a plain model: so many tokens a key, that come back one by one."""
    span = 60 * size  # so that a token comes back each 60 ms
    buckets, now, left = Buckets(size, span), NOW, {"a": (size * 60, NOW), "b": (size * 60, NOW)}
    for pause, key in steps:
        now += pause
        worth, since = left[key]
        worth = min(worth + now - since, span)
        told = buckets.wait(key, now)
        assert told == max(60 - worth, 0)
        assert buckets.take(key, now) == told
        left[key] = (worth if told else worth - 60, now)
        assert not buckets.wait(key, now + told + 60), "at the latest then there is one"


def test_one_key_is_no_matter_to_another() -> None:
    buckets = Buckets(1, SPAN)

    assert [buckets.take(key, NOW) for key in "aab"] == [0, SPAN, 0]


def test_however_many_keys_come_no_more_than_were_agreed_are_remembered() -> None:
    buckets = Buckets(2, SPAN, most=100)

    for number in range(10_000):
        assert not buckets.take(number, NOW)
        assert not buckets.take("always", NOW + number * SPAN // 2) or number == 0

    assert len(buckets) <= 100


def test_buckets_that_are_full_again_are_let_go_of() -> None:
    buckets = Buckets(2, SPAN)
    for number in range(1_000):
        buckets.take(number, NOW)

    for _ in range(600):
        buckets.take("later", NOW + SPAN)

    assert len(buckets) <= 1


def test_a_bucket_that_is_in_use_outlives_those_that_are_not() -> None:
    buckets = Buckets(2, SPAN, most=10)
    for number in range(1_000):
        buckets.take("mine", NOW) if number % 5 == 0 else buckets.take(number, NOW)

    assert buckets.wait("mine", NOW) > 0


def test_looking_takes_nothing() -> None:
    buckets = Buckets(1, SPAN)

    assert [buckets.wait("a", NOW) for _ in range(3)] == [0, 0, 0]
    assert len(buckets) == 0
    assert buckets.take("a", NOW) == 0
    assert [buckets.wait("a", NOW + 1) for _ in range(3)] == [SPAN - 1] * 3
