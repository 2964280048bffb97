"""The figures of a comparison against tables made by hand."""

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.compare.comparison import Comparison, Day, UserTally, by_pseudonym, compare
from riskengine.compare.example import MOST
from riskengine.compare.pair import Pair
from riskengine.compare.tally import ReasonTally, Tally
from riskengine.decision import DECISIONS
from tests.compare.invented import ALLOW, DENY, STEP_UP, answer, pair

TABLE = [
    pair(ALLOW, STEP_UP, "ana", 0, groups=("staff", "admins")),
    pair(STEP_UP, ALLOW, "ana", 1, groups=("staff",)),
    pair(STEP_UP, STEP_UP, "ben", 1),
    pair(ALLOW, DENY, "ben", 3, outcome="failure"),
    pair(ALLOW, answer(score=1.0), "cleo", 3),
    pair(ALLOW, DENY, None, 4, outcome="failure"),
]


def test_an_event_changes_where_its_two_decisions_differ() -> None:
    found = compare(TABLE)

    assert (found.events, found.changed, found.stricter, found.laxer, found.rescored) == (6, 4, 3, 1, 5)
    assert (found.first, found.last) == ("2024-10-04T12:00:00.000Z", "2024-10-08T12:00:00.000Z")
    assert found.before.decisions == {"allow": 4, "step_up": 2, "deny": 0}
    assert found.after.decisions == {"allow": 2, "step_up": 2, "deny": 2}
    assert [(one.before, one.after, one.events) for one in found.changes] == [
        ("allow", "step_up", 1), ("allow", "deny", 2), ("step_up", "allow", 1),
    ]  # fmt: skip
    assert (found.before.step_ups_of_successes, found.after.step_ups_of_successes) == (2, 2)


def test_changes_are_counted_by_what_the_events_have_in_common() -> None:
    found = compare(TABLE)

    assert found.by_group == {
        "(no group)": Tally(4, 2, 0), "staff": Tally(2, 1, 1), "admins": Tally(1, 1, 0),
    }  # fmt: skip
    assert list(found.by_group) == ["(no group)", "staff", "admins"]
    assert found.by_network == {"broadband": Tally(6, 3, 1)}
    assert found.by_outcome == {"success": Tally(4, 1, 1), "failure": Tally(2, 2, 0)}
    assert found.days == [
        Day("2024-10-04", 1, 1, 0), Day("2024-10-05", 2, 0, 1), Day("2024-10-07", 2, 1, 0), Day("2024-10-08", 1, 1, 0),
    ]  # fmt: skip


def test_a_change_counts_at_the_first_reason_of_the_stricter_answer() -> None:
    found = compare(TABLE)

    assert found.by_reason == {
        "blocked": ReasonTally(before=0, after=2, gained=2, lost=0, stricter=2, laxer=0),
        "new_device": ReasonTally(before=2, after=2, gained=1, lost=1, stricter=1, laxer=1),
        "new_place": ReasonTally(before=2, after=2, gained=1, lost=1, stricter=0, laxer=0),
    }
    assert list(found.by_reason) == ["new_device", "blocked", "new_place"]


def test_a_change_whose_stricter_answer_has_no_reason_counts_at_none() -> None:
    found = compare([pair(ALLOW, answer("step_up", 50.0))])

    assert (found.changed, found.by_reason) == (1, {})


def test_the_users_most_affected_come_first_and_nobody_is_no_user() -> None:
    found = compare(TABLE)

    assert found.most_affected == [UserTally("ana", 2, 1, 1), UserTally("ben", 2, 1, 0)]
    assert (found.users, found.users_changed) == (3, 2)


def test_users_may_be_called_by_their_pseudonyms() -> None:
    found = compare(TABLE, by_pseudonym)

    assert [one.user for one in found.most_affected] == ["00ff"]
    assert {example.user for change in found.changes for example in change.examples} == {"00ff"}


def test_examples_are_the_first_events_of_different_users() -> None:
    pairs = [pair(ALLOW, STEP_UP, f"user {at // 2}", at) for at in range(40)]
    [change] = compare(pairs).changes

    assert change.events == 40
    assert [(one.user, one.event_id) for one in change.examples] == [(f"user {at}", f"e{2 * at}") for at in range(MOST)]


def test_an_example_has_both_answers_with_their_reasons() -> None:
    [example] = compare([pair(ALLOW, {**STEP_UP, "log": "a.log", "line": 7})]).changes[0].examples

    assert (example.before.decision, example.before.reasons) == ("allow", [])
    assert (example.after.decision, example.after.score, example.after.step_up_at) == ("step_up", 50.0, 40.0)
    assert [reason["code"] for reason in example.after.reasons] == ["new_device", "new_place"]
    assert (example.log, example.line, example.place, example.network) == ("a.log", 7, "Lisbon", "broadband")


def test_an_answer_of_an_early_version_has_no_threshold_to_tell() -> None:
    early = {**STEP_UP, "policy": {"name": "default", "version": "0"}}
    [example] = compare([pair(early, ALLOW)]).changes[0].examples

    assert example.before.step_up_at is None


def test_an_observing_policy_counts_by_what_it_would_have_answered() -> None:
    watching = answer("allow", 50.0, "new_device", would_be="step_up")

    assert compare([pair(watching, STEP_UP)]).changed == 0
    assert compare([pair(ALLOW, watching)]).stricter == 1


def test_what_decided_is_told_apart_by_policy_data_and_fallback() -> None:
    fallback = answer("step_up", 0.0, source="fallback")
    newer = answer(data={"source": "free data", "date": "2026-04-01"})
    found = compare([pair(one, ALLOW) for one in (ALLOW, ALLOW, fallback, newer)])

    assert [(one.source, one.data_date, one.events) for one in found.before.deciders] == [
        ("engine", "2026-03-01", 2), ("fallback", "2026-03-01", 1), ("engine", "2026-04-01", 1),
    ]  # fmt: skip
    assert [one.events for one in found.after.deciders] == [4]


@pytest.mark.parametrize(
    ("score", "band"), [(0.0, 0), (4.9, 0), (5.0, 1), (94.9, 18), (95.0, 19), (99.9, 19), (100.0, 19)]
)  # fmt: skip
def test_a_score_on_the_edge_belongs_to_the_band_above_and_the_full_score_to_the_last(score: float, band: int) -> None:
    found = compare([pair(ALLOW, answer(score=score))]).scores

    assert [at for at, one in enumerate(found) if one.after] == [band]
    assert (found[band].low, found[band].high) == (band * 5, band * 5 + 5)


def test_nothing_to_compare_is_no_change() -> None:
    found = compare([])

    assert (found.events, found.changed, found.first, found.changes, found.most_affected) == (0, 0, None, [], [])


_DECIDED = st.sampled_from(DECISIONS).map(lambda name: answer(name, 1.0, "new_device"))


@given(st.lists(st.builds(pair, _DECIDED, _DECIDED, st.sampled_from(["ana", "ben", None]), st.integers(0, 3))))
def test_every_count_adds_up_to_all_changes(pairs: list[Pair]) -> None:
    found = compare(pairs)
    by_all = (found.by_group, found.by_network, found.by_outcome)

    assert found.changed == found.stricter + found.laxer == sum(change.events for change in found.changes)
    for tallies in by_all:
        assert sum(one.changed for one in tallies.values()) == found.changed
        assert sum(one.events for one in tallies.values()) == found.events
    assert sum(one.stricter + one.laxer for one in found.days) == found.changed
    assert sum(one.led for one in found.by_reason.values()) == found.changed
    assert sum(band.before for band in found.scores) == sum(band.after for band in found.scores) == found.events
    assert mirrored(compare([Pair(one.event, one.after, one.before) for one in pairs])) == mirrored_back(found)


def mirrored(found: Comparison) -> list[Any]:
    return [found.laxer, found.stricter, found.after.decisions, found.before.decisions]


def mirrored_back(found: Comparison) -> list[Any]:
    return [found.stricter, found.laxer, found.before.decisions, found.after.decisions]


def test_the_figures_do_not_hold_the_events() -> None:
    many = compare(pair(ALLOW, STEP_UP if day % 2 else ALLOW, f"user {day % 3}", day % 4) for day in range(5000))

    assert len(str(asdict(many))) < 20_000
