"""The default policy against the table of targets, on two small populations of the kind that is reported on."""

from functools import cache

import pytest

from tests.doors import default_policy
from tests.quality.parameters import reporting
from tests.quality.plain import RULES
from tests.quality.runner import prepared, run
from tests.quality.table import NOT_ALLOWED, TARGETS, Figures, Share, Target, figures, pooled

SEEDS = (100, 101)


@cache
def measured() -> Figures:
    """Return the figures of two populations of 100 users each."""
    small = (reporting(seed, users=100, days=46, attacks=30) for seed in SEEDS)
    return pooled(figures(run(prepared(one), default_policy())) for one in small)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target.name))
def test_the_default_policy_keeps_to_the_table(target: Target) -> None:
    share = measured().shares[target.name]

    assert target.met(share, pooled=False), share


def test_the_default_policy_is_several_times_better_than_plain_rules_on_both_sides() -> None:
    ours, plain = measured().shares, measured().plain
    fast = plain["faster than 805 km/h"]

    assert (fast[NOT_ALLOWED].value or 0) > 5 * (ours[NOT_ALLOWED].value or 1)
    for rule in RULES:
        if rule != "new device":
            assert 1 - (ours["naive"].value or 0) < (1 - (plain[rule]["naive"].value or 0)) / 2, rule


def test_a_target_allows_a_single_seed_its_tolerance_and_nothing_without_data() -> None:
    least, most = Target("caught", True, 0.9, 0.1), Target("bothered", False, 0.1, 0.1)

    assert [least.met(Share(count, 10)) for count in (8, 9, 10)] == [False, True, True]
    assert [least.met(Share(count, 10), pooled=False) for count in (7, 8)] == [False, True]
    assert [most.met(Share(count, 10)) for count in (0, 1, 2)] == [True, True, False]
    assert not least.met(Share(0, 0))


def test_figures_of_several_seeds_are_added_up() -> None:
    shares, plain = {"naive": Share(1, 2)}, {"rule": {"naive": Share(0, 2)}}
    one = Figures(shares, plain, {"plain": Share(0, 5)}, {"home": Share(1, 4)})

    both = pooled([one, one])
    assert both.shares["naive"] == Share(2, 4)
    assert both.plain["rule"]["naive"] == Share(0, 4)
    assert (both.traits["plain"], both.via["home"]) == (Share(0, 10), Share(2, 8))
