"""Attempts by the minute: attempts, failures and the users tried in vain at each source, in full minutes.

An item sees what came earlier in the sequence in earlier full minutes of event time, within a window. So the columns
are the same however the sequence is split: what a minute still adds to itself is nobody's to see.
"""

from typing import NamedTuple

import numpy as np

from riskengine.compiled import compiled
from riskengine.counters.window import Chains, cell_of, chains, latest_before, numbered, put

MINUTE_MS = 60_000
_NOBODY = -1


class Cells(NamedTuple):
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


class Seen(NamedTuple):
    """What each item of a batch sees of its source: three columns of int64; `users` were tried in vain."""

    attempts: np.ndarray
    failures: np.ndarray
    users: np.ndarray


class Span(NamedTuple):
    """How far back an item sees, in minutes, and how many failures of one user count there at most."""

    window: int
    most: int


@compiled
def see(key: np.ndarray, minute: np.ndarray, failed: np.ndarray, user: np.ndarray, prior: Cells, span: Span) -> Seen:
    """Return what each item sees in the minutes before its own: `prior`, and earlier items of the batch.

    `key` is the source's (0: none, sees nothing), `minute` since 1970, `user` a key (0: nobody; such failures all
    count, and none as a user). What one user fails beyond `span.most` counts neither as failure nor as attempt.
    """
    seen = Seen(np.zeros(len(key), np.int64), np.zeros(len(key), np.int64), np.zeros(len(key), np.int64))
    had, tried = len(prior.key), len(prior.user_key)
    numbers, count = numbered(np.concatenate((prior.key, prior.user_key, key)))
    users, distinct = numbered(np.concatenate((prior.user, user)).astype(np.uint64))
    held, counts = chains(count, had + len(key)), np.zeros((had + len(key), 2), np.int64)
    # Failures by minute, one cell each; `of` says whose and how often.
    failures, of = chains(count, tried + len(key)), np.zeros((tried + len(key), 2), np.int64)
    totals = np.zeros(distinct, np.int64)
    # Which item looked at a source last: in the same minute the next one sees the same, and a long window of one
    # source's failures is walked once a minute, not once an attempt.
    last = np.full(count, _NOBODY, np.int64)
    for at in range(had):
        cell = cell_of(held, numbers[at], prior.minute[at])
        counts[cell, 0] += prior.attempts[at]
        counts[cell, 1] += prior.failures[at]
    for at in range(tried):
        of[put(failures, numbers[had + at], prior.user_minute[at])] = users[at], prior.user_failures[at]
    for at in range(len(key)):
        if key[at] == 0:
            continue
        source = numbers[had + tried + at]
        before = last[source]
        if before != _NOBODY and minute[before] == minute[at]:
            seen.attempts[at], seen.failures[at] = seen.attempts[before], seen.failures[before]
            seen.users[at] = seen.users[before]
        else:
            _look(held, counts, source, minute[at], span, at, seen)
            if seen.failures[at] > 0:
                _look_whom(failures, of, source, minute[at], span, totals, at, seen)
        last[source] = at
        cell = cell_of(held, source, minute[at])
        counts[cell, 0] += 1
        counts[cell, 1] += failed[at]
        if failed[at] and user[at] > 0:
            of[put(failures, source, minute[at])] = users[tried + at], 1
    return seen


@compiled
def _look(held: Chains, counts: np.ndarray, source: int, minute: int, span: Span, at: int, seen: Seen) -> None:
    """Fill in attempts and failures in the full minutes before."""
    cell = latest_before(held, source, minute)
    while cell >= 0 and held.time[cell] >= minute - span.window:
        seen.attempts[at] += counts[cell, 0]
        seen.failures[at] += counts[cell, 1]
        cell = held.after[cell]


@compiled
def _look_whom(
    failures: Chains, of: np.ndarray, source: int, minute: int, span: Span, totals: np.ndarray, at: int, seen: Seen
) -> None:
    """Fill in the users tried in vain, and take back what one of them failed beyond `most`; `totals`, of each user, is
    0 before and after."""
    begin = latest_before(failures, source, minute)
    cell = begin
    while cell >= 0 and failures.time[cell] >= minute - span.window:
        seen.users[at] += totals[of[cell, 0]] == 0
        totals[of[cell, 0]] += of[cell, 1]
        cell = failures.after[cell]
    cell = begin
    while cell >= 0 and failures.time[cell] >= minute - span.window:
        beyond = max(totals[of[cell, 0]] - span.most, 0)
        seen.attempts[at] -= beyond
        seen.failures[at] -= beyond
        totals[of[cell, 0]] = 0
        cell = failures.after[cell]


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
