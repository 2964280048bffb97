"""Counts of attempts, against counting one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from riskengine.counters import Cells, add, see

Row = tuple[int, int, bool, int]  # key, minute, failed, user
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(100, 112), st.booleans(), st.integers(0, 3)), max_size=30)


def _columns(rows: list[Row]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array([row[0] for row in rows], np.uint64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], bool),
        np.array([row[3] for row in rows], np.uint32),
    )


@given(ROWS, st.integers(1, 6), st.data())
def test_an_item_sees_what_came_earlier_in_earlier_minutes(rows: list[Row], window: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    prior = add(Cells.none(), *_columns(rows[:cut]))
    seen = see(*_columns(rows[cut:]), prior, window)

    for index in range(cut, len(rows)):
        key, minute, _, _ = rows[index]
        before = [row for row in rows[:index] if row[0] == key and key and minute - window <= row[1] < minute]
        assert seen.attempts[index - cut] == len(before)
        assert seen.failures[index - cut] == sum(row[2] for row in before)
        assert seen.users[index - cut] == len({row[3] for row in before if row[3]})
