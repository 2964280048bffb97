"""What others say of where a batch's events come from: what the events see of the day counters, and what they add.

Users set bits at the line (address, of IPv6 the /64), prefix, network, place and country they log in from, and others
once they are known: some days after their first success. Who was tried in vain sets a bit at the line alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskengine.batch import Batch, Located
from riskengine.counters.days import CAME, REGULARS, TRIED, Cells, Seen, bit_of, first_days, see
from riskengine.engine.admit import Entry
from riskengine.event import ACTIONS, DAY_MS, OUTCOMES
from riskengine.history.record import place_keys
from riskengine.network import PLACELESS, resolve
from riskengine.policy.policy import Sharing
from riskengine.seal import Seal
from riskengine.store.contract import DayCell

KINDS = ("line", "prefix", "network", "place", "country")
USER = len(KINDS)  # the kind of a user's own cell, which tells since when they are known
_KIND_BITS = 3  # at the end of a key
_LONG_AGO = -(1 << 22)


@dataclass(frozen=True, slots=True)
class Shown:
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
    private = rows["located"] == Located.PRIVATE
    placed = ~PLACELESS[resolve(rows)]
    here = placed & (rows["located"] == Located.PLACE)
    values = (
        rows["line"],
        rows["prefix"],
        rows["asn"],
        np.where(here, place_keys(rows), 0),
        np.where(placed, rows["country"], 0),
    )
    keys = _keys(np.array([*(np.where(private, 0, value) for value in values), user], np.uint64), realm)
    return Shown(keys[:USER], keys[USER], rows["event_time"] // DAY_MS, bit_of(np.array(named, np.uint64)))


def day_spans(shown: Shown, days: int) -> list[tuple[int, int, int]]:
    """Return the day cells (key, first day, last day) that these events look at, their own day's among them."""
    keys, at = np.unique(shown.keys, return_inverse=True)
    users, of_user = np.unique(shown.user, return_inverse=True)
    day = np.tile(shown.day, len(KINDS))
    first, last = np.full(len(keys), np.iinfo(np.int64).max), np.full(len(keys), np.iinfo(np.int64).min)
    np.minimum.at(first, at.ravel(), day - days)
    np.maximum.at(last, at.ravel(), day)
    latest = np.full(len(users), np.iinfo(np.int64).min)
    np.maximum.at(latest, of_user, shown.day)
    found = [*zip(keys.tolist(), first.tolist(), last.tolist(), strict=True)]
    found += [(user, _LONG_AGO, day) for user, day in zip(users.tolist(), latest.tolist(), strict=True)]
    return [span for span in found if span[0]]


def count_days(rows: Batch, shown: Shown, stored: Sequence[DayCell], sharing: Sharing) -> list[DayCell]:
    """Fill in, in place, what each event sees of others on earlier days; return the day cells that these events change.

    A refreshed token shows nothing: software does that, from wherever it runs.
    """
    prior = _cells_of(stored).merged()
    person = rows["action"] != ACTIONS.index("token_refresh")
    came = person & (rows["outcome"] == OUTCOMES.index("success")) & (shown.user > 0)
    tried = person & (rows["outcome"] == OUTCOMES.index("failure"))
    since = first_days(shown.user, shown.day, came, prior)
    known = came & (shown.day - since >= sharing.known_days)
    bits = np.zeros((*shown.keys.shape, 3), np.uint64)
    bits[:, :, REGULARS], bits[:, :, CAME] = np.where(known, shown.bit, 0), np.where(came, shown.bit, 0)
    bits[0, :, TRIED] = np.where(tried, shown.bit, 0)
    marks = Cells(shown.keys.ravel(), np.tile(shown.day, len(KINDS)), bits.reshape(-1, 3))
    _fill(rows, see(marks, np.tile(shown.bit, len(KINDS)), prior, sharing.days))
    first = came & (shown.day < since)
    own = np.zeros((first.sum(), 3), np.uint64)
    own[:, CAME] = shown.bit[first]
    return _stored(marks.merged(Cells(shown.user[first], shown.day[first], own)).beyond(prior))


def _fill(rows: Batch, seen: Seen) -> None:
    """Write what was seen into the columns, in place. Of a line, each user counts once a day for each of coming and
    failing: one broken client is one failure a day, however often it tries."""
    users, days = (column.reshape(len(KINDS), len(rows), 3) for column in (seen.users, seen.days))
    for kind, name in enumerate(KINDS):
        rows[f"{name}_regulars"] = users[kind, :, REGULARS]
    rows["line_user_days"], rows["prefix_user_days"] = days[0, :, REGULARS], days[1, :, REGULARS]
    rows["line_failures"], rows["line_failed_users"] = days[0, :, TRIED], users[0, :, TRIED]
    rows["line_attempts"] = days[0, :, CAME] + days[0, :, TRIED]


def _keys(values: np.ndarray, realm: np.ndarray) -> np.ndarray:
    """Return keys of 63 bits, which end in the kind, of values (a row a kind) in realms (by key); 0 for the value 0."""
    kind = np.arange(len(values), dtype=np.uint64)[:, None]
    mixed = _mix(_mix(realm ^ kind) ^ values)
    return np.where(values > 0, mixed >> np.uint64(1 + _KIND_BITS) << np.uint64(_KIND_BITS) | kind, np.uint64(0))


def _mix(value: np.ndarray) -> np.ndarray:
    """Return 64-bit numbers well mixed (the last step of SplitMix64, Steele, Lea and Flood 2014)."""
    value = (value ^ value >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ value >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return value ^ value >> np.uint64(31)


def _cells_of(stored: Sequence[DayCell]) -> Cells:
    key, day, *bits = zip(*stored, strict=True) if stored else ((),) * 5
    bitmaps = np.array(bits, np.int64).view(np.uint64).T
    return Cells(np.array(key, np.uint64), np.array(day, np.int64), bitmaps)


def _stored(cells: Cells) -> list[DayCell]:
    columns = (cells.key, cells.day, *cells.bits.T.copy().view(np.int64))
    return [DayCell(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
