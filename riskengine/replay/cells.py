"""Counter cells of a whole replay: by key and time, in arrays that grow, found by hashing."""

from typing import Any, NamedTuple

import numpy as np

from riskengine.compiled import compiled

_NONE, _EMPTY = -1, np.uint64(0)
_SLOTS, _CELLS, _HELD, _FREE = range(4)
_SPREAD, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)
MERGE, ADD, APPEND = range(3)  # cells of one key and time: their bits together, their sums, or one beside the other
_LEAST = 1 << 12
_HALF_BITS = 32
_LOWER = (1 << _HALF_BITS) - 1


class Found(NamedTuple):
    """Cells, those of a key in order of time: `of` says by which of the keys asked for."""

    of: np.ndarray
    time: np.ndarray
    values: np.ndarray


class _Table(NamedTuple):
    """Slots by key (0: empty) point to the latest cell, which points to the one before (-1: none).

    A cell is a row of `cells` (int64), for all of it to lie together: its time and the one before it in one number, see
    `_link`, then its values. `used` counts slots, cells that were ever taken, and those that are held; its last is the
    first cell that was let go, which points to the next."""

    key: np.ndarray
    head: np.ndarray
    cells: np.ndarray
    used: np.ndarray


class Cells:
    """Cells of `width` numbers (uint64) each; `how` says what becomes of those of one key and time."""

    def __init__(self, width: int, how: int) -> None:
        self._how = how
        self._table = _Table(
            *_slots(_LEAST),
            np.empty((_LEAST, 1 + width), np.int64),
            np.array([0, 0, 0, _NONE]),
        )

    def take(self, key: np.ndarray, time: np.ndarray, values: np.ndarray, forget: int) -> None:
        """Take cells in; those of key 0 count nowhere. Where room is short, what is before `forget` gives way."""
        table = self._table
        if table.used[_HELD] + len(key) > len(table.cells) or 2 * (table.used[_SLOTS] + len(key)) > len(table.key):
            self._make_room(len(key), forget)
        _take(self._table, key, time, values.view(np.int64), self._how)

    def within(self, key: np.ndarray, first: np.ndarray, last: np.ndarray) -> Found:
        """Return the cells of keys, from a first up to a last time of each."""
        of, time, values = _within(self._table, key, first, last)
        return Found(of, time, values.view(np.uint64))

    def _make_room(self, more: int, forget: int) -> None:
        """Make room for so many cells more, at as many keys, and for some again, so that this is done seldom."""
        _let_go(self._table, forget)
        key, head, slots = self._table.key, self._table.head, _LEAST
        need = int(self._table.used[_HELD]) + more
        cells = self._table.cells
        if 16 * need > 15 * len(cells):
            # In place: a copy would stand beside the old ones for a moment. Nobody else knows of them.
            cells.resize((9 * need // 8, cells.shape[1]), refcheck=False)
        while slots < 4 * (int((head != _NONE).sum()) + more):
            slots *= 2
        self._table = _Table(*_slots(slots), cells, self._table.used)
        _place(self._table, key, head)


def _slots(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return keys and heads of empty slots."""
    return np.zeros(size, np.uint64), np.full(size, _NONE, np.int32)


@compiled
def _link(time: Any, before: Any) -> Any:
    """Return a time and the cell before as one number: the latter counts from 1 in the lower half."""
    return time << _HALF_BITS | (before + 1)


@compiled
def _time(link: Any) -> Any:
    return link >> _HALF_BITS


@compiled
def _before(link: Any) -> Any:
    return (link & _LOWER) - 1


@compiled
def _slot(table: _Table, key: np.uint64) -> Any:
    """Return the slot of a key, or the empty one where it belongs."""
    mask = len(table.key) - 1
    at = np.int64((key * _SPREAD) >> _HALF) & mask
    while table.key[at] != _EMPTY and table.key[at] != key:
        at = (at + 1) & mask
    return at


@compiled
def _take(table: _Table, key: np.ndarray, time: np.ndarray, values: np.ndarray, how: int) -> None:
    cells = table.cells
    for at in range(len(key)):
        if key[at] == _EMPTY:
            continue
        slot = _slot(table, key[at])
        if table.key[slot] == _EMPTY:
            table.key[slot] = key[at]
            table.used[_SLOTS] += 1
        later, cell = np.int64(_NONE), np.int64(table.head[slot])
        while cell != _NONE and _time(cells[cell, 0]) > time[at]:
            later, cell = cell, _before(cells[cell, 0])
        if how != APPEND and cell != _NONE and _time(cells[cell, 0]) == time[at]:
            for one in range(values.shape[1]):
                if how == MERGE:
                    cells[cell, 1 + one] |= values[at, one]
                else:
                    cells[cell, 1 + one] += values[at, one]
            continue
        made = _free(table)
        cells[made, 0] = _link(time[at], cell)
        for one in range(values.shape[1]):
            cells[made, 1 + one] = values[at, one]
        if later == _NONE:
            table.head[slot] = made
        else:
            cells[later, 0] = _link(_time(cells[later, 0]), made)


@compiled
def _free(table: _Table) -> Any:
    """Return a cell that is free; it is held from now on."""
    table.used[_HELD] += 1
    made = table.used[_FREE]
    if made == _NONE:
        made = table.used[_CELLS]
        table.used[_CELLS] += 1
    else:
        table.used[_FREE] = _before(table.cells[made, 0])
    return made


@compiled
def _within(
    table: _Table, key: np.ndarray, first: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cells, width = table.cells, table.cells.shape[1] - 1
    # All chains side by side, a cell of each at a time: one after another, each cell is waited for by itself.
    under_way, at_cell, left = np.empty(len(key), np.int64), np.empty(len(key), np.int64), 0
    for at in range(len(key)):
        cell = np.int64(table.head[_slot(table, key[at])]) if key[at] != _EMPTY else np.int64(_NONE)
        if cell != _NONE:
            under_way[left], at_cell[left] = at, cell
            left += 1
    met, of_met, count = np.empty(2 * len(key), np.int64), np.empty(2 * len(key), np.int64), 0
    held = np.zeros(len(key), np.int64)
    while left:
        if count + left > len(met):
            met, of_met = _doubled(met), _doubled(of_met)
        here, left = left, 0
        for one in range(here):
            at, cell = under_way[one], at_cell[one]
            link = cells[cell, 0]
            if _time(link) < first[at]:
                continue
            if _time(link) <= last[at]:
                met[count], of_met[count] = cell, at
                count += 1
                held[at] += 1
            if _before(link) != _NONE:
                under_way[left], at_cell[left] = at, _before(link)
                left += 1
    of, time, values = np.empty(count, np.int64), np.empty(count, np.int64), np.empty((count, width), np.int64)
    end = np.cumsum(held)
    for one in range(count):  # of each key the latest first
        at, cell = of_met[one], met[one]
        end[at] -= 1
        of[end[at]], time[end[at]] = at, _time(cells[cell, 0])
        for number in range(width):
            values[end[at], number] = cells[cell, 1 + number]
    return of, time, values


@compiled
def _doubled(rows: np.ndarray) -> np.ndarray:
    """Return an array of twice as many rows, of which the first are these."""
    return np.concatenate((rows, np.empty_like(rows)))


@compiled
def _let_go(table: _Table, forget: int) -> None:
    """Let go of all cells before a time."""
    cells = table.cells
    for slot in range(len(table.key)):
        later, cell = np.int64(_NONE), np.int64(table.head[slot])
        while cell != _NONE and _time(cells[cell, 0]) >= forget:
            later, cell = cell, _before(cells[cell, 0])
        if later == _NONE:
            table.head[slot] = _NONE
        else:
            cells[later, 0] = _link(_time(cells[later, 0]), _NONE)
        while cell != _NONE:
            before = _before(cells[cell, 0])
            cells[cell, 0], table.used[_FREE] = _link(0, table.used[_FREE]), cell
            table.used[_HELD] -= 1
            cell = before


@compiled
def _place(table: _Table, key: np.ndarray, head: np.ndarray) -> None:
    """Give the keys that have cells their slots in a table of empty ones."""
    table.used[_SLOTS] = 0
    for at in range(len(key)):
        if head[at] != _NONE:
            slot = _slot(table, key[at])
            table.key[slot], table.head[slot] = key[at], head[at]
            table.used[_SLOTS] += 1
