"""Where the items of a batch and what was counted stand in time, by key."""

from collections.abc import Iterator

import numpy as np


def runs(key: np.ndarray, at: np.ndarray) -> Iterator[np.ndarray]:
    """Yield index arrays, in order, that split a batch wherever the time of a key falls behind an earlier one's.

    Within a run no key's time goes back, so that an earlier time is always an earlier item. The keys of a run are
    among those of the run before.
    """
    if not len(key):
        return
    order = np.argsort(key, kind="stable")
    begin, ordered = begins(key[order]), at[order]
    falls = np.zeros(len(key), bool)
    falls[1:] = (ordered[1:] < ordered[:-1]) & ~begin[1:]
    if not falls.any():
        yield np.arange(len(key))
        return
    falls_so_far = np.cumsum(falls)
    base = np.maximum.accumulate(np.where(begin, falls_so_far, 0))
    run = np.empty(len(key), np.int64)
    run[order] = falls_so_far - base
    by_run = np.argsort(run, kind="stable")
    yield from np.split(by_run, np.flatnonzero(np.diff(run[by_run])) + 1)


def begins(*columns: np.ndarray) -> np.ndarray:
    """Return which rows of ordered columns differ from the row before; the first row does.

    >>> begins(np.array([3, 3, 4, 4]), np.array([1, 1, 1, 2])).tolist()
    [True, False, True, True]
    """
    found = np.ones(len(columns[0]), bool)
    found[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return found


def positions(
    key: np.ndarray, at: np.ndarray, wanted_key: np.ndarray, wanted_at: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the order of (key, at), and for each one wanted where in it the `window` before begins and ends."""
    _, code = np.unique(np.concatenate([key, wanted_key]), return_inverse=True)
    lowest = min(at.min(initial=0), wanted_at.min(initial=0)) - window - 1
    span = int(max(at.max(initial=0), wanted_at.max(initial=0)) - lowest + 2)
    place = code[: len(key)] * span + (at - lowest)
    wanted = code[len(key) :] * span + (wanted_at - lowest)
    order = np.argsort(place, kind="stable")
    place = place[order]
    return order, np.searchsorted(place, wanted - window), np.searchsorted(place, wanted)
