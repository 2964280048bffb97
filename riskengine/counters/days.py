"""Who is at a network or place, by the day (UTC): which known users, which users at all, and who was tried in vain.

An item sees what came earlier in the sequence on earlier full days of event time, within a window, so that the columns
are the same however the sequence is split. A cell holds three bitmaps of 64 bits; a user is one bit of each, named by
their key. Cells of one key and day merge by OR, whoever wrote them and in whatever order.

How many users a bitmap stands for is estimated by linear counting (Whang, Vander-Zanden and Taylor 1990), rounded:
the standard error is 6 to 10 % for 2 to 40 users, 13 % for 100 and 20 % for 200. Of five users two share a bit in
15 % of cases and are counted as one. A full bitmap says MOST, which stands for that many or more.
"""

from typing import NamedTuple

import numpy as np

from riskengine.compiled import compiled
from riskengine.counters.window import Chains, cell_of, chains, latest_before, numbered

REGULARS, CAME, TRIED = range(3)  # the bitmaps: known users who came, all who came, those who were tried in vain
NEVER = 1 << 24  # later than any day
BITS = 64
_USERS = np.round(-BITS * np.log(np.maximum(BITS - np.arange(BITS + 1), 0.5) / BITS)).astype(np.int64)
MOST = int(_USERS[BITS])
_ZERO, _ONE = np.uint64(0), np.uint64(1)


class Cells(NamedTuple):
    """Bitmaps by (key, day): `key` uint64, `day` int64 since 1970, `bits` uint64 (n, 3)."""

    key: np.ndarray
    day: np.ndarray
    bits: np.ndarray


class Seen(NamedTuple):
    """What each item sees, int64 (n, 3) each, a column a bitmap: distinct `users`, and their `days` added up (0 where
    nobody asked). Those of the regulars are all the days on which they came, also before they were known."""

    users: np.ndarray
    days: np.ndarray


def bit_of(user: np.ndarray) -> np.ndarray:
    """Return the bit (uint64) of each user by key (uint64); none for 0, which is nobody.

    >>> bit_of(np.array([0, 1, 66], np.uint64)).tolist()
    [0, 2, 4]
    """
    return np.where(user > 0, np.uint64(1) << (user & np.uint64(BITS - 1)), np.uint64(0))


@compiled
def first_days(user: np.ndarray, day: np.ndarray, came: np.ndarray, prior: "Cells") -> np.ndarray:
    """Return the first day on which each item's user came earlier in the sequence; NEVER where they did not.

    `prior` holds a cell of a user's own key for each day they were seen; cells of other keys do not matter.
    """
    numbers, count = numbered(np.concatenate((prior.key, user)))
    since = np.full(count, NEVER, np.int64)
    for at in range(len(prior.key)):
        since[numbers[at]] = min(since[numbers[at]], prior.day[at])
    found = np.empty(len(user), np.int64)
    for at in range(len(user)):
        of = numbers[len(prior.key) + at]
        found[at] = since[of]
        if came[at]:
            since[of] = min(since[of], day[at])
    return found


@compiled
def see(marks: Cells, own: np.ndarray, prior: Cells, window: int, daily: int) -> Seen:
    """Return what each item sees on the `window` days before its own: `prior`, and earlier items of the batch.

    `marks` are the items: where (key 0: nowhere, sees nothing), when, and what each adds there; `own` the bit of each
    item's user, which is taken out of what they see: nobody is their own colleague. Another user of the same bit is
    taken out with them, so that an estimate errs towards fewer. Days are added up for the first `daily` items.
    """
    seen = Seen(np.zeros((len(own), 3), np.int64), np.zeros((len(own), 3), np.int64))
    numbers, count = numbered(np.concatenate((prior.key, marks.key)))
    held = chains(count, len(numbers))
    bits = np.zeros((len(numbers), 3), np.uint64)
    for at in range(len(prior.key)):
        _add(held, bits, numbers[at], prior.day[at], prior.bits[at])
    # Many of a batch look at one network on one day. What one of them adds is of that day, which none of them sees.
    who, since = np.zeros((count, 3), np.uint64), np.full(count, NEVER, np.int64)
    for at in range(len(own)):
        if marks.key[at] > 0:
            of, day = numbers[len(prior.key) + at], marks.day[at]
            if since[of] != day:
                _gather(held, bits, of, day, window, who[of])
                since[of] = day
            for one in range(3):
                seen.users[at, one] = _USERS[bits_in(who[of, one] & ~own[at])]
            if at < daily:
                _add_up(held, bits, of, day, own[at], window, who[of, REGULARS], seen.days[at])
            _add(held, bits, of, day, marks.bits[at])
    return seen


@compiled
def _add(held: Chains, bits: np.ndarray, key: int, day: int, more: np.ndarray) -> None:
    cell = cell_of(held, key, day)
    for one in range(3):
        bits[cell, one] |= more[one]


@compiled
def _gather(held: Chains, bits: np.ndarray, key: int, day: int, window: int, who: np.ndarray) -> None:
    """Fill in who was there on the days of a window."""
    who[:] = 0
    cell = latest_before(held, key, day)
    while cell >= 0 and held.time[cell] >= day - window:
        for one in range(3):
            who[one] |= bits[cell, one]
        cell = held.after[cell]


@compiled
def _add_up(
    held: Chains, bits: np.ndarray, key: int, day: int, own: int, window: int, regulars: np.uint64, days: np.ndarray
) -> None:
    """Add up the days of a window. Regulars count on all the days on which they came, also before they were known."""
    cell = latest_before(held, key, day)
    while cell >= 0 and held.time[cell] >= day - window:
        came = bits[cell, CAME] & ~own
        days[REGULARS] += _USERS[bits_in(came & regulars)]
        days[CAME] += _USERS[bits_in(came)]
        days[TRIED] += _USERS[bits_in(bits[cell, TRIED] & ~own)]
        cell = held.after[cell]


@compiled
def bits_in(value: np.uint64) -> int:
    """Return how many bits of a number of 64 bits (uint64) are set."""
    count = 0
    while value != _ZERO:
        value &= value - _ONE
        count += 1
    return count


@compiled
def changed(marks: Cells, prior: Cells) -> Cells:
    """Return the cells, one a key and day, with bits that marks add and `prior` has not; key 0 is left out."""
    numbers, count = numbered(np.concatenate((prior.key, marks.key)))
    held, had, first, last = chains(count, len(numbers)), len(prior.key), NEVER, -NEVER
    for at in range(len(marks.key)):
        if marks.key[at] > 0:
            first, last = min(first, marks.day[at]), max(last, marks.day[at])
    bits, key = np.zeros((len(numbers), 3), np.uint64), np.zeros(len(numbers), np.uint64)
    new = np.zeros(len(numbers), np.bool_)
    for at in range(had):
        if first <= prior.day[at] <= last:
            _add(held, bits, numbers[at], prior.day[at], prior.bits[at])
    for at in range(len(marks.key)):
        if marks.key[at] > 0:
            cell = cell_of(held, numbers[had + at], marks.day[at])
            key[cell] = marks.key[at]
            for one in range(3):
                new[cell] |= (marks.bits[at, one] & ~bits[cell, one]) != _ZERO
                bits[cell, one] |= marks.bits[at, one]
    return Cells(key[new], held.time[: len(new)][new], bits[new])
