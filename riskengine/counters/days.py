"""Who is at a network or place, by the day (UTC): which known users, which users at all, and who was tried in vain.

An item sees what came earlier in the sequence on earlier full days of event time, within a window, so that the columns
are the same however the sequence is split. A cell holds three bitmaps of 64 bits; a user is one bit of each, named by
their key. Cells of one key and day merge by OR, whoever wrote them and in whatever order.

How many users a bitmap stands for is estimated by linear counting (Whang, Vander-Zanden and Taylor 1990), rounded:
the standard error is 6 to 10 % for 2 to 40 users, 13 % for 100 and 20 % for 200. Of five users two share a bit in
15 % of cases and are counted as one. A full bitmap says MOST, which stands for that many or more.
"""

from dataclasses import dataclass

import numpy as np

from riskengine.counters.window import begins, positions, runs

REGULARS, CAME, TRIED = range(3)  # the bitmaps: known users who came, all who came, those who were tried in vain
NEVER = 1 << 24  # later than any day
BITS = 64
_USERS = np.round(-BITS * np.log(np.maximum(BITS - np.arange(BITS + 1), 0.5) / BITS)).astype(np.int64)
MOST = int(_USERS[BITS])
_AT_ONCE = 65_536  # items looked at in one go: each is spread over all days of its window


@dataclass(frozen=True, slots=True)
class Cells:
    """Bitmaps by (key, day): `key` uint64, `day` int64 since 1970, `bits` uint64 (n, 3)."""

    key: np.ndarray
    day: np.ndarray
    bits: np.ndarray

    def of(self, key: np.ndarray) -> "Cells":
        """Return the cells of these keys."""
        mine = np.isin(self.key, key)
        return Cells(self.key[mine], self.day[mine], self.bits[mine])

    def merged(self, *others: "Cells") -> "Cells":
        """Return these cells and others as one a key and day, in that order; those of no key or no bit are left out."""
        every = (self, *others)
        key, day = np.concatenate([c.key for c in every]), np.concatenate([c.day for c in every])
        bits = np.concatenate([c.bits for c in every])
        some = (key > 0) & (bits != 0).any(axis=1)
        order = np.lexsort((day, key))
        order = order[some[order]]
        key, day = key[order], day[order]
        if not len(order):
            return Cells(key, day, bits[order])
        begin = np.flatnonzero(begins(key, day))
        return Cells(key[begin], day[begin], np.bitwise_or.reduceat(bits[order], begin, axis=0))


    def beyond(self, other: "Cells") -> "Cells":
        """Return the cells that have a bit which `other` has not; both are merged."""
        if not len(self.key) or not len(other.key):
            return self
        order, at, after = positions(other.key, other.day, self.key, self.day + 1, 1)
        had = other.bits[order[np.minimum(at, len(order) - 1)]]
        new = (self.bits & ~np.where((after > at)[:, None], had, np.uint64(0))).any(axis=1)
        return Cells(self.key[new], self.day[new], self.bits[new])


@dataclass(frozen=True, slots=True)
class Seen:
    """What each item sees, int64 (n, 3) each, a column a bitmap: distinct `users`, and their `days` added up. Those of
    the regulars are all the days on which they came, also before they were known."""

    users: np.ndarray
    days: np.ndarray


def bit_of(user: np.ndarray) -> np.ndarray:
    """Return the bit (uint64) of each user by key (uint64); none for 0, which is nobody.

    >>> bit_of(np.array([0, 1, 66], np.uint64)).tolist()
    [0, 2, 4]
    """
    return np.where(user > 0, np.uint64(1) << (user & np.uint64(BITS - 1)), np.uint64(0))


def first_days(user: np.ndarray, day: np.ndarray, came: np.ndarray, prior: Cells) -> np.ndarray:
    """Return the first day on which each item's user came earlier in the sequence; NEVER where they did not.

    `prior` holds a cell of a user's own key for each day they were seen; cells of other keys do not matter.
    """
    keys = np.concatenate([prior.key, user])
    days = np.concatenate([prior.day, np.where(came, day, NEVER)])
    order = np.argsort(keys, kind="stable")
    begin = begins(keys[order])
    before = np.where(begin, NEVER, np.roll(days[order], 1))
    # Each key's days lie below those of the key before, so that a running minimum starts anew with each.
    below = np.cumsum(begin) * 2 * NEVER
    found = np.empty(len(keys), np.int64)
    found[order] = np.minimum.accumulate(before - below) + below
    return found[len(prior.key) :]


def see(marks: Cells, own: np.ndarray, prior: Cells, window: int) -> Seen:
    """Return what each item sees on the `window` days before its own: `prior` (merged), and earlier items of the batch.

    `marks` are the items: where (key 0: nowhere, sees nothing), when, and what each adds there; `own` the bit of each
    item's user, which is taken out of what they see: nobody is their own colleague. Another user of the same bit is
    taken out with them, so that an estimate errs towards fewer.
    """
    seen = Seen(np.zeros((len(own), 3), np.int64), np.zeros((len(own), 3), np.int64))
    if not len(own):
        return seen
    one_day = marks.day.min() == marks.day.max()
    known, first = prior, True
    for run in (np.arange(len(own)),) if one_day else runs(marks.key, marks.day):
        if not one_day:  # on one day nobody sees anybody else
            added = Cells(marks.key[run], marks.day[run], marks.bits[run])
            known, first = (known if first else known.of(added.key)).merged(added), False
        for start in range(0, len(run), _AT_ONCE):
            _look(seen, run[start : start + _AT_ONCE], marks, own, known, window)
    for column in (seen.users, seen.days):
        column[marks.key == 0] = 0
    return seen


def _look(seen: Seen, index: np.ndarray, marks: Cells, own: np.ndarray, known: Cells, window: int) -> None:
    """Fill in, in place, what the items of `index` see of `known`, which is merged."""
    order, first, last = positions(known.key, known.day, marks.key[index], marks.day[index], window)
    length = last - first
    some = length > 0
    if not some.any():
        return
    start = np.cumsum(length) - length
    cell = np.arange(length.sum()) + np.repeat(first - start, length)
    bits = known.bits[order[cell]] & ~np.repeat(own[index], length)[:, None]
    index, start, length = index[some], start[some], length[some]
    users = np.bitwise_or.reduceat(bits, start, axis=0)
    bits[:, REGULARS] = bits[:, CAME] & np.repeat(users[:, REGULARS], length)
    seen.users[index] = _USERS[np.bitwise_count(users)]
    seen.days[index] = np.add.reduceat(_USERS[np.bitwise_count(bits)], start, axis=0)
