"""What others say of where a batch's events come from: what the events see of the day counters, and what they add.

Users set bits at the line (address, of IPv6 the /64), prefix, network, place and country they log in from, and others
once they are known: some days after their first success. Who was tried in vain sets a bit at the line alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from riskengine.batch import Batch, Located
from riskengine.compiled import compiled
from riskengine.counters.days import CAME, REGULARS, TRIED, Cells, Seen, bit_of, changed, first_days, see
from riskengine.counters.window import numbered
from riskengine.engine.admit import Entry
from riskengine.event import ACTIONS, DAY_MS, OUTCOMES
from riskengine.history.record import place_key
from riskengine.network import PLACELESS, resolved
from riskengine.policy.policy import Sharing
from riskengine.seal import Seal
from riskengine.store.contract import DayCell

KINDS = ("line", "prefix", "network", "place", "country")
_LINE, _PREFIX, _NETWORK, _PLACE, _COUNTRY = range(len(KINDS))
_DAILY = 2  # of the first so many kinds, days are added up
USER = len(KINDS)  # the kind of a user's own cell, which tells since when they are known
_KIND_BITS = np.uint64(3)  # at the end of a key
_KIND = (1 << 3) - 1
_CUT = np.uint64(4)  # … and the sign bit
_LOWER = np.uint64((1 << 32) - 1)
_LONG_AGO, _NEVER = -(1 << 22), 1 << 22
_SUCCESS, _FAILURE, _REFRESH = OUTCOMES.index("success"), OUTCOMES.index("failure"), ACTIONS.index("token_refresh")
_PRIVATE, _AT_A_POINT = int(Located.PRIVATE), int(Located.PLACE)


class Shown(NamedTuple):
    """What each event shows the day counters: the cells of `keys` (uint64, a row a kind, 0 none), those of their `user`
    (0: no account), the `day` since 1970, and the `bit` that stands for the user, or for the name without account."""

    keys: np.ndarray
    user: np.ndarray
    day: np.ndarray
    bit: np.ndarray


def shown(rows: Batch, entries: Sequence[Entry], seal: Seal) -> Shown:
    """Return what these events show. A gateway shows no place and no country, a private address nothing at all."""
    of_realm = {realm: seal.key64(realm, "days", "") for realm in {one.arrival.realm for one in entries}}
    realm = np.array([of_realm[one.arrival.realm] for one in entries], np.uint64)
    user = np.array([one.tokens.user_key64 for one in entries], np.uint64)
    named = [one.tokens.user_key64 or int.from_bytes((one.tokens.login or b"")[:8]) for one in entries]
    return show(rows, realm, user, np.array(named, np.uint64))


def show(rows: Batch, realm: np.ndarray, user: np.ndarray, named: np.ndarray) -> Shown:
    """Return what events show, by the keys (uint64) of their realm, their user (0: no account), and of who was named:
    the user, or the name without account."""
    keys = np.zeros((USER + 1, len(rows)), np.uint64)
    _show(rows, realm, user, keys)
    return Shown(keys[:USER], keys[USER], rows["event_time"] // DAY_MS, bit_of(named))


@compiled
def _show(rows: Batch, realm: np.ndarray, user: np.ndarray, keys: np.ndarray) -> None:
    for at in range(len(rows)):
        row = rows[at]
        keys[USER, at] = _key(USER, realm[at], user[at])
        if row.located == _PRIVATE:
            continue
        keys[_PREFIX, at] = _key(_PREFIX, realm[at], np.uint64(row.prefix))
        keys[_LINE, at] = _beside(keys[_PREFIX, at], _key(_LINE, realm[at], np.uint64(row.line)))
        keys[_NETWORK, at] = _key(_NETWORK, realm[at], np.uint64(row.asn))
        if not PLACELESS[resolved(row)]:
            keys[_COUNTRY, at] = _key(_COUNTRY, realm[at], np.uint64(row.country))
            if row.located == _AT_A_POINT:
                keys[_PLACE, at] = _key(_PLACE, realm[at], np.uint64(place_key(row.latitude, row.longitude)))


@compiled
def _key(kind: int, realm: np.uint64, value: np.uint64) -> np.uint64:
    """Return a key of 63 bits, which ends in the kind, of a value in a realm (by key); 0 for the value 0."""
    if value == np.uint64(0):
        return np.uint64(0)
    mixed = _mix(_mix(realm ^ np.uint64(kind)) ^ value)
    return mixed >> _CUT << _KIND_BITS | np.uint64(kind)


@compiled
def _beside(outer: np.uint64, key: np.uint64) -> np.uint64:
    """Return a key for what lies within another: the other's upper half, its own lower one. So a database, which keeps
    rows in key order, finds and writes both on one page."""
    if key == np.uint64(0):
        return key
    return outer & ~_LOWER | key & _LOWER


@compiled
def _mix(value: np.uint64) -> np.uint64:
    """Return a 64-bit number well mixed (the last step of SplitMix64, Steele, Lea and Flood 2014)."""
    value = (value ^ value >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ value >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return value ^ value >> np.uint64(31)


def day_spans(shown: Shown, days: int) -> list[tuple[int, int, int]]:
    """Return the day cells (key, first day, last day) that these events look at, their own day's among them."""
    key, first, last = span_columns(shown.keys, shown.user, shown.day, days)
    return list(zip(key.tolist(), first.tolist(), last.tolist(), strict=True))


@compiled
def span_columns(
    keys: np.ndarray, user: np.ndarray, day: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each key but 0 once, with the first and the last day that is looked at there."""
    every = np.concatenate((keys.copy().reshape(-1), user))
    numbers, count = numbered(every)
    first, last, key = np.full(count, _NEVER), np.full(count, _LONG_AGO), np.zeros(count, np.uint64)
    for at in range(len(every)):
        of, today = numbers[at], day[at % len(day)]
        key[of] = every[at]
        first[of] = min(first[of], today - window if at < keys.size else _LONG_AGO)
        last[of] = max(last[of], today)
    some = key > 0
    return key[some], first[some], last[some]


def kind_of(key: int) -> int:
    """Return what a day cell is of: an index into KINDS, or USER."""
    return key & _KIND


def kinds_of(keys: np.ndarray) -> np.ndarray:
    """Return what day cells are of, by their keys (uint64)."""
    return keys & np.uint64(_KIND)


def count_days(rows: Batch, shown: Shown, stored: np.ndarray, sharing: Sharing) -> list[DayCell]:
    """Fill in, in place, what each event sees of others on earlier days; return the day cells that these events change.

    `stored` are rows of DayCell (int64). A refreshed token shows nothing: software does that, from wherever it runs.
    """
    prior = Cells(stored[:, 0].astype(np.uint64), stored[:, 1].copy(), stored[:, 2:].astype(np.uint64))
    new = change_days(rows, shown, prior, sharing)
    columns = (new.key.astype(np.int64), new.day, *new.bits.astype(np.int64).T)
    return [DayCell(*cell) for cell in zip(*(column.tolist() for column in columns), strict=True)]


def change_days(rows: Batch, shown: Shown, prior: Cells, sharing: Sharing) -> Cells:
    """Do what `count_days` does, of and to cells in columns."""
    found: Cells = _count(rows, *shown, prior, sharing.days, sharing.known_days)
    return found


@compiled
def _count(
    rows: Batch,
    keys: np.ndarray,
    user: np.ndarray,
    day: np.ndarray,
    bit: np.ndarray,
    prior: Cells,
    window: int,
    known_days: int,
) -> Cells:
    """Fill in what each event sees; return the cells that change."""
    came, tried = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
    for at in range(len(rows)):
        person = rows[at].action != _REFRESH
        came[at] = person and rows[at].outcome == _SUCCESS and user[at] > 0
        tried[at] = person and rows[at].outcome == _FAILURE
    marks = _marks(keys, user, day, bit, came, tried, prior, known_days)
    lines, own = USER * len(rows), np.empty(USER * len(rows), np.uint64)
    for at in range(lines):
        own[at] = bit[at % len(rows)]
    where = Cells(marks.key[:lines], marks.day[:lines], marks.bits[:lines])
    _fill(rows, see(where, own, prior, window, _DAILY * len(rows)))
    return changed(marks, prior)


@compiled
def _marks(
    keys: np.ndarray,
    user: np.ndarray,
    day: np.ndarray,
    bit: np.ndarray,
    came: np.ndarray,
    tried: np.ndarray,
    prior: Cells,
    known_days: int,
) -> Cells:
    """Return what each event adds where it comes from, a kind behind another, and then to its user's own cell: the
    first day on which they came."""
    since, count = first_days(user, day, came, prior), len(day)
    most = (USER + 1) * count
    marks = Cells(np.zeros(most, np.uint64), np.zeros(most, np.int64), np.zeros((most, 3), np.uint64))
    for at in range(count):
        for kind in range(USER):
            mark = kind * count + at
            marks.key[mark], marks.day[mark] = keys[kind, at], day[at]
            if came[at]:
                marks.bits[mark, CAME] = bit[at]
                if day[at] - since[at] >= known_days:
                    marks.bits[mark, REGULARS] = bit[at]
            if tried[at] and kind == _LINE:
                marks.bits[mark, TRIED] = bit[at]
        if came[at] and day[at] < since[at]:
            mark = USER * count + at
            marks.key[mark], marks.day[mark], marks.bits[mark, CAME] = user[at], day[at], bit[at]
    return marks


@compiled
def _fill(rows: Batch, seen: Seen) -> None:
    """Write what was seen into the events. Of a line, each user counts once a day for each of coming and failing: one
    broken client is one failure a day, however often it tries."""
    count = len(rows)
    for at in range(count):
        row, prefix = rows[at], _PREFIX * count + at
        row.line_regulars, row.prefix_regulars = seen.users[at, REGULARS], seen.users[prefix, REGULARS]
        row.network_regulars = seen.users[_NETWORK * count + at, REGULARS]
        row.place_regulars = seen.users[_PLACE * count + at, REGULARS]
        row.country_regulars = seen.users[_COUNTRY * count + at, REGULARS]
        row.line_user_days, row.prefix_user_days = seen.days[at, REGULARS], seen.days[prefix, REGULARS]
        row.line_failures, row.line_failed_users = seen.days[at, TRIED], seen.users[at, TRIED]
        row.line_attempts = seen.days[at, CAME] + seen.days[at, TRIED]
