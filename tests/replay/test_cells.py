"""Cells of a whole replay say what a plain dictionary would, also after many of them were let go."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.replay.cells import ADD, APPEND, MERGE, Cells

KEYS = 7
# What one take brings: key (0 counts nowhere), how long after the last take's earliest time, a value.
TAKES = st.lists(
    st.lists(st.tuples(st.integers(0, KEYS), st.integers(0, 3), st.integers(1, 15)), max_size=6), max_size=12
)


def column(numbers: list[int], kind: type[np.number]) -> np.ndarray:
    return np.array(numbers, kind)


def held(cells: Cells, first: int, last: int) -> dict[int, list[tuple[int, int]]]:
    """Return (time, value) of each key's cells, as they come."""
    key = np.arange(1, KEYS + 1, dtype=np.uint64)
    found = cells.within(key, np.full(KEYS, first), np.full(KEYS, last))
    by_key: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for of, time, value in zip(found.of.tolist(), found.time.tolist(), found.values[:, 0].tolist(), strict=True):
        by_key[of + 1].append((time, value))
    return dict(by_key)


@pytest.mark.parametrize("how", [MERGE, ADD, APPEND])
@given(takes=TAKES)
def test_cells_are_those_of_a_dictionary(how: int, takes: list[list[tuple[int, int, int]]]) -> None:
    cells, model = Cells(1, how), defaultdict[tuple[int, int], list[int]](list)
    for since, rows in enumerate(takes):
        keys, times = [row[0] for row in rows], [since + row[1] for row in rows]
        values = column([row[2] for row in rows], np.uint64).reshape(-1, 1)
        cells.take(column(keys, np.uint64), column(times, np.int64), values, since)
        cells._make_room(1, since)  # as if room were short each time
        for key, time, (_, _, value) in zip(keys, times, rows, strict=True):
            own = model[key, time]
            if how == APPEND or not own:
                own.append(value)
            else:
                own[0] = own[0] | value if how == MERGE else own[0] + value
        wanted = {
            key: [(time, value) for time in range(since, since + 4) for value in model.get((key, time), [])]
            for key in range(1, KEYS + 1)
        }
        found = held(cells, since, since + 3)
        # Cells of one key and time that stand one beside the other are in no order.
        assert {k: sorted(v) for k, v in found.items()} == {k: sorted(v) for k, v in wanted.items() if v}
        assert all([t for t, _ in v] == sorted(t for t, _ in v) for v in found.values())


def test_what_was_let_go_is_used_again() -> None:
    cells = Cells(1, MERGE)
    key = np.arange(1, 3001, dtype=np.uint64)
    for day in range(100):
        cells.take(key, np.full(3000, day), np.ones((3000, 1), np.uint64), day - 1)
    assert len(cells._table.cells) <= 3 * 3 * 3000, "room for the days that are held, not for all there were"
    assert len(cells.within(key, np.full(3000, 98), np.full(3000, 99)).of) == 6000
