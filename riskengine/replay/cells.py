"""Counter cells of a whole replay: by key and time, in arrays that grow, found by hashing."""

from typing import Any, NamedTuple

import numpy as np

from riskengine.compiled import compiled

_NONE, _EMPTY = -1, np.uint64(0)
_SPREAD, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)
MERGE, ADD, APPEND = range(3)  # cells of one key and time: their bits together, their sums, or one beside the other
_LEAST = 1 << 12


class Found(NamedTuple):
    """Cells, those of a key in order of time: `of` says by which of the keys asked for."""

    of: np.ndarray
    time: np.ndarray
    values: np.ndarray


class _Table(NamedTuple):
    """Slots by key (0: empty) point to the latest cell, which points to the one before (-1: none).

    `used` counts slots and cells."""

    key: np.ndarray
    head: np.ndarray
    time: np.ndarray
    before: np.ndarray
    values: np.ndarray
    used: np.ndarray


class Cells:
    """Cells of `width` numbers (uint64) each; `how` says what becomes of those of one key and time."""

    def __init__(self, width: int, how: int) -> None:
        self._width, self._how = width, how
        self._table = _empty(_LEAST, _LEAST, width)

    def take(self, key: np.ndarray, time: np.ndarray, values: np.ndarray, forget: int) -> None:
        """Take cells in; those of key 0 count nowhere. Where room is short, what is before `forget` gives way."""
        table = self._table
        if table.used[1] + len(key) > len(table.time) or 2 * (table.used[0] + len(key)) > len(table.key):
            self._make_room(len(key), forget)
        _take(self._table, key, time, values, self._how)

    def within(self, key: np.ndarray, first: np.ndarray, last: np.ndarray) -> Found:
        """Return the cells of keys, from a first up to a last time of each."""
        return Found(*_within(self._table, key, first, last))

    def _make_room(self, more: int, forget: int) -> None:
        key, time, values = _since(self._table, forget)
        slots, cells, keys = _LEAST, _LEAST, len(np.unique(key))
        # Room for as much again as there is now, so that this is done seldom.
        while slots < 4 * (keys + more):
            slots *= 2
        while cells < 2 * (len(key) + more):
            cells *= 2
        self._table = _empty(slots, cells, self._width)
        _take(self._table, key, time, values, APPEND)


def _empty(slots: int, cells: int, width: int) -> _Table:
    return _Table(
        np.zeros(slots, np.uint64),
        np.full(slots, _NONE, np.int32),
        np.empty(cells, np.int32),
        np.empty(cells, np.int32),
        np.empty((cells, width), np.uint64),
        np.zeros(2, np.int64),
    )


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
    for at in range(len(key)):
        if key[at] == _EMPTY:
            continue
        slot = _slot(table, key[at])
        if table.key[slot] == _EMPTY:
            table.key[slot] = key[at]
            table.used[0] += 1
        later, cell = np.int64(_NONE), np.int64(table.head[slot])
        while cell != _NONE and table.time[cell] > time[at]:
            later, cell = cell, np.int64(table.before[cell])
        if how != APPEND and cell != _NONE and table.time[cell] == time[at]:
            for one in range(values.shape[1]):
                if how == MERGE:
                    table.values[cell, one] |= values[at, one]
                else:
                    table.values[cell, one] += values[at, one]
            continue
        made = table.used[1]
        table.used[1] += 1
        table.time[made], table.before[made] = time[at], cell
        table.values[made] = values[at]
        if later == _NONE:
            table.head[slot] = made
        else:
            table.before[later] = made


@compiled
def _within(
    table: _Table, key: np.ndarray, first: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = 0
    for at in range(len(key)):
        cell = np.int64(table.head[_slot(table, key[at])]) if key[at] != _EMPTY else np.int64(_NONE)
        while cell != _NONE and table.time[cell] >= first[at]:
            count += table.time[cell] <= last[at]
            cell = np.int64(table.before[cell])
    of, time = np.empty(count, np.int64), np.empty(count, np.int64)
    values = np.empty((count, table.values.shape[1]), np.uint64)
    end = 0
    for at in range(len(key)):
        cell = np.int64(table.head[_slot(table, key[at])]) if key[at] != _EMPTY else np.int64(_NONE)
        begun, own = end, cell
        while cell != _NONE and table.time[cell] >= first[at]:
            end += table.time[cell] <= last[at]
            cell = np.int64(table.before[cell])
        # The chain begins with the latest.
        place = end - 1
        while place >= begun:
            if table.time[own] <= last[at]:
                of[place], time[place], values[place] = at, table.time[own], table.values[own]
                place -= 1
            own = np.int64(table.before[own])
    return of, time, values


@compiled
def _since(table: _Table, forget: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all cells from a time on, those of a key in order of time."""
    count = 0
    for slot in range(len(table.key)):
        cell = np.int64(table.head[slot])
        while cell != _NONE and table.time[cell] >= forget:
            count += 1
            cell = np.int64(table.before[cell])
    key, time = np.empty(count, np.uint64), np.empty(count, np.int64)
    values = np.empty((count, table.values.shape[1]), np.uint64)
    place = count
    for slot in range(len(table.key)):
        cell = np.int64(table.head[slot])
        while cell != _NONE and table.time[cell] >= forget:
            place -= 1
            key[place], time[place], values[place] = table.key[slot], table.time[cell], table.values[cell]
            cell = np.int64(table.before[cell])
    return key, time, values
