"""Attempts by the minute: attempts, failures and the users tried in vain at each source, in full minutes.

An item sees what came earlier in the sequence in earlier full minutes of event time, within a window. So the columns
are the same however the sequence is split: what a minute still adds to itself is nobody's to see.
"""

from dataclasses import dataclass

import numpy as np

from riskengine.counters.window import positions, runs

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Cells:
    """Counts by (key, minute), and how often which user was tried in vain in each, as columns of equal length each."""

    key: np.ndarray  # uint64
    minute: np.ndarray  # int64, since 1970
    attempts: np.ndarray  # int64
    failures: np.ndarray  # int64
    user_key: np.ndarray  # uint64: key of the source a user was tried from …
    user_minute: np.ndarray
    user: np.ndarray  # uint32: … of the user …
    user_failures: np.ndarray  # int64: … and how often

    @staticmethod
    def none() -> "Cells":
        """Return no cells."""
        key, number, user = np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.uint32)
        return Cells(key, number, number, number, key, number, user, number)

    def of(self, key: np.ndarray) -> "Cells":
        """Return the cells of these keys."""
        mine, users = np.isin(self.key, key), np.isin(self.user_key, key)
        return Cells(
            *(column[mine] for column in (self.key, self.minute, self.attempts, self.failures)),
            *(column[users] for column in (self.user_key, self.user_minute, self.user, self.user_failures)),
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What each item of a batch sees of its source: three columns of int64; `users` were tried in vain."""

    attempts: np.ndarray
    failures: np.ndarray
    users: np.ndarray


@dataclass(frozen=True, slots=True)
class Span:
    """How far back an item sees, in minutes, and how many failures of one user count there at most."""

    window: int
    most: int


def see(key: np.ndarray, minute: np.ndarray, failed: np.ndarray, user: np.ndarray, prior: Cells, span: Span) -> Seen:
    """Return what each item sees in the minutes before its own: `prior`, and earlier items of the batch.

    `key` is the source's (0: none, sees nothing), `minute` since 1970, `user` a key (0: nobody; such failures all
    count, and none as a user). What one user fails beyond `span.most` counts neither as failure nor as attempt.
    """
    seen = Seen(*(np.zeros(len(key), np.int64) for _ in range(3)))
    if not len(key) or (not len(prior.key) and minute.min() == minute.max()):
        return seen  # nobody came in an earlier minute
    known, first = prior, True
    for run in runs(key, minute):
        known = add(known if first else known.of(key[run]), key[run], minute[run], failed[run], user[run])
        first = False
        attempts, failures = _in_window(known, key[run], minute[run], span.window)
        users, beyond = _users_in_window(known, key[run], minute[run], span)
        seen.attempts[run], seen.failures[run], seen.users[run] = attempts - beyond, failures - beyond, users
    for column in (seen.attempts, seen.failures, seen.users):
        column[key == 0] = 0
    return seen


def add(cells: Cells, key: np.ndarray, minute: np.ndarray, failed: np.ndarray, user: np.ndarray) -> Cells:
    """Return `cells` with one attempt more for each row; rows of key 0 count nowhere."""
    some = key > 0
    in_vain = some & failed & (user > 0)
    return Cells(
        np.concatenate([cells.key, key[some]]),
        np.concatenate([cells.minute, minute[some]]),
        np.concatenate([cells.attempts, np.ones(some.sum(), np.int64)]),
        np.concatenate([cells.failures, failed[some].astype(np.int64)]),
        np.concatenate([cells.user_key, key[in_vain]]),
        np.concatenate([cells.user_minute, minute[in_vain]]),
        np.concatenate([cells.user, user[in_vain]]),
        np.concatenate([cells.user_failures, np.ones(in_vain.sum(), np.int64)]),
    )


def _in_window(cells: Cells, key: np.ndarray, minute: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return attempts and failures in the `window` full minutes before each (key, minute)."""
    order, first, own = positions(cells.key, cells.minute, key, minute, window)
    attempts = np.r_[0, np.cumsum(cells.attempts[order])]
    failures = np.r_[0, np.cumsum(cells.failures[order])]
    return attempts[own] - attempts[first], failures[own] - failures[first]


def _users_in_window(cells: Cells, key: np.ndarray, minute: np.ndarray, span: Span) -> tuple[np.ndarray, np.ndarray]:
    """Return how many users were tried in vain in the window before each (key, minute), and how often beyond `most`.

    A failure in minute m raises its user's level from m+1 to m+window. What each step of a level adds to either sum
    is added up along its source: nothing is left of a source at its end, so that the next one begins at 0.
    """
    if not len(cells.user):
        return np.zeros(len(key), np.int64), np.zeros(len(key), np.int64)
    source, user = np.tile(cells.user_key, 2), np.tile(cells.user, 2)
    at = np.concatenate([cells.user_minute + 1, cells.user_minute + span.window + 1])
    step = np.concatenate([cells.user_failures, -cells.user_failures])
    order = np.lexsort((at, user, source))
    level = np.cumsum(step[order])  # each user's steps at a source add up to 0
    before = level - step[order]
    users = (level > 0).astype(np.int64) - (before > 0)
    beyond = np.maximum(level - span.most, 0) - np.maximum(before - span.most, 0)
    by_place, _, upto = positions(source[order], at[order], key, minute + 1, 0)
    return np.r_[0, np.cumsum(users[by_place])][upto], np.r_[0, np.cumsum(beyond[by_place])][upto]
