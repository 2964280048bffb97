"""Counts of attempts and of who was where, against counting one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.counters import days, minutes
from riskengine.counters.days import CAME, MOST, NEVER, REGULARS, TRIED, bit_of, first_days
from riskengine.counters.minutes import Span, add

Row = tuple[int, int, bool, int]  # key, minute, failed, user
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(100, 112), st.booleans(), st.integers(0, 3)), max_size=30)
Mark = tuple[int, int, int, int]  # key, day, bitmap, user
MARKS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-2, 8), st.sampled_from([REGULARS, CAME, TRIED]), st.integers(0, 9)),
    max_size=30,
)


def _columns(rows: list[Row]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array([row[0] for row in rows], np.uint64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], bool),
        np.array([row[3] for row in rows], np.uint32),
    )


@given(ROWS, st.integers(1, 6), st.integers(1, 3), st.data())
def test_an_item_sees_what_came_earlier_in_earlier_minutes(
    rows: list[Row], window: int, most: int, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    prior = add(minutes.Cells.none(), *_columns(rows[:cut]))
    seen = minutes.see(*_columns(rows[cut:]), prior, Span(window, most))

    for index in range(cut, len(rows)):
        key, minute, _, _ = rows[index]
        before = [row for row in rows[:index] if row[0] == key and key and minute - window <= row[1] < minute]
        failures = [row[3] for row in before if row[2]]
        beyond = sum(max(failures.count(user) - most, 0) for user in set(failures) - {0})
        assert seen.attempts[index - cut] == len(before) - beyond
        assert seen.failures[index - cut] == len(failures) - beyond
        assert seen.users[index - cut] == len(set(failures) - {0})


def test_one_broken_client_counts_as_a_few_failures_however_often_it_tries() -> None:
    tries = [(1, 100 + number // 100, True, 7) for number in range(1000)] + [(1, 105, False, 8)] * 10
    seen = minutes.see(*_columns([*tries, (1, 120, False, 9)]), minutes.Cells.none(), Span(60, 5))

    assert (seen.attempts[-1], seen.failures[-1], seen.users[-1]) == (15, 5, 1)


def _cells(marks: list[Mark]) -> days.Cells:
    bits = np.zeros((len(marks), 3), np.uint64)
    for row, (_, _, bitmap, user) in zip(bits, marks, strict=True):
        row[bitmap] = bit_of(np.array(user, np.uint64))
    return days.Cells(
        np.array([mark[0] for mark in marks], np.uint64), np.array([mark[1] for mark in marks], np.int64), bits
    )


def _users(marks: list[Mark]) -> np.ndarray:
    return bit_of(np.array([mark[3] for mark in marks], np.uint64))


@given(MARKS, st.integers(1, 6), st.data())
def test_an_item_sees_who_came_earlier_on_earlier_days(marks: list[Mark], window: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(marks)))
    seen = days.see(_cells(marks[cut:]), _users(marks[cut:]), _cells(marks[:cut]), window, len(marks))

    for index in range(cut, len(marks)):
        key, day, _, user = marks[index]
        before = [m for m in marks[:index] if m[0] == key and key and day - window <= m[1] < day and m[3]]
        others = {m[1:] for m in before if m[3] != user}  # (day, bitmap, user); so few users seldom share a bit
        for bitmap in (REGULARS, CAME, TRIED):
            mine = {m for m in others if m[1] == bitmap}
            who = {m[2] for m in mine}
            there = {m for m in others if m[1] == CAME and m[2] in who} if bitmap == REGULARS else mine
            per_day = [_estimate({m[2] for m in there if m[0] == day}) for day in {m[0] for m in there}]
            assert seen.users[index - cut, bitmap] == _estimate(who)
            assert seen.days[index - cut, bitmap] == sum(per_day)


def _estimate(users: set[int]) -> int:
    return round(-64 * np.log((64 - len(users)) / 64))


@given(MARKS, st.data())
def test_what_marks_change_does_not_depend_on_their_order(marks: list[Mark], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(marks)))
    prior, later = _cells(marks[:cut]), marks[cut:]
    found, shuffled = (days.changed(_cells(some), prior) for some in (later, data.draw(st.permutations(later))))

    assert sorted(_rows(found)) == sorted(_rows(shuffled))
    assert len({row[:2] for row in _rows(found)}) == len(found.key)


@given(MARKS)
def test_what_is_stored_already_is_no_change(marks: list[Mark]) -> None:
    added = {(key, day, bitmap) for key, day, bitmap, user in marks if key and user}
    found = days.changed(_cells(marks), _cells([]))

    assert {row[:2] for row in _rows(found)} == {mark[:2] for mark in added}
    assert len(days.changed(_cells(marks), found).key) == 0


def _rows(cells: days.Cells) -> list[tuple[int, ...]]:
    return list(zip(cells.key.tolist(), cells.day.tolist(), *cells.bits.T.tolist(), strict=True))


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(-2, 20), st.booleans()), max_size=20),
    st.data(),
)
def test_a_user_is_known_since_the_first_success_earlier_in_the_sequence(
    items: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(items)))
    prior = _cells([(user, day, CAME, 1) for user, day, came in items[:cut] if came])
    later = items[cut:]
    found = first_days(
        np.array([item[0] for item in later], np.uint64),
        np.array([item[1] for item in later], np.int64),
        np.array([item[2] for item in later], bool),
        prior,
    )

    for index in range(cut, len(items)):
        earlier = [day for user, day, came in items[:index] if came and user == items[index][0]]
        assert found[index - cut] == min(earlier, default=NEVER)


@pytest.mark.parametrize(("users", "within"), [(3, 0.1), (10, 0.1), (40, 0.1), (100, 0.15), (200, 0.25)])
def test_the_estimate_of_users_errs_as_little_as_it_says(users: int, within: float) -> None:
    crowd = np.random.default_rng(5).integers(1, 2**63, (500, users), np.uint64)
    marks = [(1, 0, REGULARS, 0)]
    errors = []
    for keys in crowd:
        prior = days.Cells(
            np.ones(users, np.uint64), np.full(users, -1), np.repeat(bit_of(keys)[:, None], 3, axis=1)
        )
        errors.append(days.see(_cells(marks), _users(marks), prior, 5, 0).users[0, REGULARS] / users - 1)

    assert np.sqrt(np.mean(np.square(errors))) < within


def test_a_full_bitmap_says_the_most_it_can() -> None:
    prior = days.Cells(np.array([1], np.uint64), np.array([0]), np.full((1, 3), 2**64 - 1, np.uint64))

    assert days.see(_cells([(1, 1, CAME, 0)]), _users([(1, 1, CAME, 0)]), prior, 28, 0).users.tolist() == [[MOST] * 3]


def test_more_items_than_are_looked_at_in_one_go() -> None:
    count = 70_000
    key, user = np.ones(count, np.uint64), np.zeros(count, np.uint64)
    came = [(1, 0, CAME, 5), (1, 1, CAME, 5), (1, 1, CAME, 6), (1, 1, CAME, 7)]
    prior = _cells([*came, (1, 1, REGULARS, 5), (1, 1, REGULARS, 6)])
    marks = days.Cells(key, np.full(count, 2), np.zeros((count, 3), np.uint64))
    seen = days.see(marks, bit_of(user), prior, 28, count)

    assert set(seen.users[:, REGULARS].tolist()) == {2}
    assert set(seen.days[:, REGULARS].tolist()) == {3}
