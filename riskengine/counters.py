"""What one user's event learns from others: attempts, failures and distinct users per source, in full minutes.

An item sees what came earlier in the sequence in earlier full minutes of event time, within a window. So the columns
are the same however the sequence is split: what a minute still adds to itself is nobody's to see.
"""

from dataclasses import dataclass

import numpy as np

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Cells:
    """Counts by (key, minute), and the distinct users tried in each, as columns of equal length each."""

    key: np.ndarray  # uint64
    minute: np.ndarray  # int64, since 1970
    attempts: np.ndarray  # int64
    failures: np.ndarray  # int64
    user_key: np.ndarray  # uint64: key of the source a user was tried from …
    user_minute: np.ndarray
    user: np.ndarray  # uint32: … and of the user

    @staticmethod
    def none() -> "Cells":
        """Return no cells."""
        key, number, user = np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.uint32)
        return Cells(key, number, number, number, key, number, user)


@dataclass(frozen=True, slots=True)
class Seen:
    """What each item of a batch sees of its source: three columns of int64."""

    attempts: np.ndarray
    failures: np.ndarray
    users: np.ndarray


def see(key: np.ndarray, minute: np.ndarray, failed: np.ndarray, user: np.ndarray, prior: Cells, window: int) -> Seen:
    """Return what each item sees in the `window` minutes before its own: `prior`, and earlier items of the batch.

    `key` is the source's (0: none, sees nothing), `minute` since 1970, `user` a key (0: no account; not counted among
    the distinct users).
    """
    seen = Seen(*(np.zeros(len(key), np.int64) for _ in range(3)))
    if not len(key) or (not len(prior.key) and minute.min() == minute.max()):
        return seen  # nobody came in an earlier minute
    known = prior
    for run in _runs(key, minute):
        # Within a run no key's minutes go back, so that an earlier minute is always an earlier item.
        known = add(known, key[run], minute[run], failed[run], user[run])
        attempts, failures = _in_window(known, key[run], minute[run], window)
        seen.attempts[run], seen.failures[run] = attempts, failures
        seen.users[run] = _users_in_window(known, key[run], minute[run], window)
    for column in (seen.attempts, seen.failures, seen.users):
        column[key == 0] = 0
    return seen


def add(cells: Cells, key: np.ndarray, minute: np.ndarray, failed: np.ndarray, user: np.ndarray) -> Cells:
    """Return `cells` with one attempt more for each row; rows of key 0 count nowhere."""
    some = key > 0
    named = some & (user > 0)
    return Cells(
        np.concatenate([cells.key, key[some]]),
        np.concatenate([cells.minute, minute[some]]),
        np.concatenate([cells.attempts, np.ones(some.sum(), np.int64)]),
        np.concatenate([cells.failures, failed[some].astype(np.int64)]),
        np.concatenate([cells.user_key, key[named]]),
        np.concatenate([cells.user_minute, minute[named]]),
        np.concatenate([cells.user, user[named]]),
    )


def _runs(key: np.ndarray, minute: np.ndarray) -> list[np.ndarray]:
    """Return index arrays, in order, that split a batch wherever a key's minute falls behind an earlier one's."""
    if len(key) == 1:
        return [np.zeros(1, np.int64)]
    order = np.argsort(key, kind="stable")
    starts = np.r_[True, key[order][1:] != key[order][:-1]]
    falls = np.r_[False, minute[order][1:] < minute[order][:-1]] & ~starts
    falls_so_far = np.cumsum(falls)
    base = np.maximum.accumulate(np.where(starts, falls_so_far, 0))
    run = np.empty(len(key), np.int64)
    run[order] = falls_so_far - base
    return [np.flatnonzero(run == number) for number in range(int(run.max()) + 1)]


def _positions(
    key: np.ndarray, minute: np.ndarray, at_key: np.ndarray, at_minute: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the order of (key, minute), and for each `at` where its window begins and where its own minute does."""
    _, code = np.unique(np.concatenate([key, at_key]), return_inverse=True)
    lowest = min(minute.min(initial=0), at_minute.min(initial=0)) - window - 1
    span = int(max(minute.max(initial=0), at_minute.max(initial=0)) - lowest + 2)
    place = code[: len(key)] * span + (minute - lowest)
    at = code[len(key) :] * span + (at_minute - lowest)
    order = np.argsort(place, kind="stable")
    place = place[order]
    return order, np.searchsorted(place, at - window), np.searchsorted(place, at)


def _in_window(cells: Cells, key: np.ndarray, minute: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return attempts and failures in the `window` full minutes before each (key, minute)."""
    order, first, own = _positions(cells.key, cells.minute, key, minute, window)
    attempts = np.r_[0, np.cumsum(cells.attempts[order])]
    failures = np.r_[0, np.cumsum(cells.failures[order])]
    return attempts[own] - attempts[first], failures[own] - failures[first]


def _users_in_window(cells: Cells, key: np.ndarray, minute: np.ndarray, window: int) -> np.ndarray:
    """Return how many distinct users were tried in the `window` full minutes before each (key, minute).

    A user tried in minute m is seen from m+1 to m+window, or until tried again: these spans of one user do not
    overlap, so that adding up their beginnings and ends up to a minute counts each user once.
    """
    if not len(cells.user):
        return np.zeros(len(key), np.int64)
    order = np.lexsort((cells.user_minute, cells.user, cells.user_key))
    source, user, at = cells.user_key[order], cells.user[order], cells.user_minute[order]
    again = np.r_[(source[1:] == source[:-1]) & (user[1:] == user[:-1]), False]
    end = np.where(again, np.minimum(at + window, np.r_[at[1:], 0]), at + window)
    sources = np.concatenate([source, source])
    changes = np.concatenate([at + 1, end + 1])
    step = np.concatenate([np.ones(len(at), np.int64), -np.ones(len(at), np.int64)])
    by_place, _, upto = _positions(sources, changes, key, minute + 1, 0)
    total = np.r_[0, np.cumsum(step[by_place])]
    # Everything of earlier keys adds up to nothing: each span that begins there ends there.
    return total[upto]
