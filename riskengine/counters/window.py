"""What was counted, by key and time: the cells of each key as a chain, latest first, in arrays."""

from typing import NamedTuple

import numpy as np

from riskengine.compiled import compiled

_NONE = -1
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing (Knuth): neighbouring keys land apart
_HALF = np.uint64(32)


@compiled
def numbered(keys: np.ndarray) -> tuple[np.ndarray, int]:
    """Return a number for each key (uint64), equal for equal keys and counted up from 0; and how many there are.

    >>> numbered(np.array([7, 3, 7], np.uint64))[0].tolist()
    [0, 1, 0]
    """
    size = 4
    while size < 2 * len(keys):
        size *= 2
    first, numbers, count = np.full(size, _NONE, np.int64), np.empty(len(keys), np.int64), 0
    for at in range(len(keys)):
        place = np.int64((keys[at] * _SPREAD) >> _HALF) & (size - 1)
        while first[place] != _NONE and keys[first[place]] != keys[at]:
            place = (place + 1) & (size - 1)
        if first[place] == _NONE:
            first[place] = at
            numbers[at] = count
            count += 1
        else:
            numbers[at] = numbers[first[place]]
    return numbers, count


class Chains(NamedTuple):
    """The cells of keys that are numbered: `head` of each key is its latest cell, `after` the next earlier one, -1
    none; `time` is a cell's minute or day. `used` (an array of one) counts the cells there are."""

    head: np.ndarray
    after: np.ndarray
    time: np.ndarray
    used: np.ndarray


@compiled
def chains(keys: int, most: int) -> Chains:
    """Return empty chains for so many keys, with room for so many cells."""
    after, time = np.empty(most, np.int64), np.empty(most, np.int64)
    return Chains(np.full(keys, _NONE, np.int64), after, time, np.zeros(1, np.int64))


@compiled
def cell_of(held: Chains, key: int, time: int) -> int:
    """Return the cell of a key and time, making it where there is none."""
    at = held.head[key]
    while at != _NONE and held.time[at] > time:
        at = held.after[at]
    return at if at != _NONE and held.time[at] == time else put(held, key, time)


@compiled
def put(held: Chains, key: int, time: int) -> int:
    """Return a new cell of a key and time, which stands before those of the same time."""
    before, at = _NONE, held.head[key]
    while at != _NONE and held.time[at] > time:
        before, at = at, held.after[at]
    made = held.used[0]
    held.used[0] += 1
    held.time[made], held.after[made] = time, at
    if before == _NONE:
        held.head[key] = made
    else:
        held.after[before] = made
    return made


@compiled
def latest_before(held: Chains, key: int, time: int) -> int:
    """Return the latest cell of a key before a time, -1 without one."""
    at = held.head[key]
    while at != _NONE and held.time[at] >= time:
        at = held.after[at]
    return at
