"""What the events of a whole log see of others: attempts by the minute, who comes from where by the day."""

from typing import NamedTuple

import numpy as np

from riskengine.batch import Batch
from riskengine.compiled import compiled
from riskengine.counters import days
from riskengine.counters.minutes import MINUTE_MS, Span
from riskengine.counters.window import numbered
from riskengine.engine.attempts import COUNTED, apart, fill
from riskengine.engine.sharing import USER, change_days, kinds_of, show, span_columns
from riskengine.event import DAY_MS, OUTCOMES
from riskengine.policy.policy import Policy
from riskengine.replay.cells import ADD, APPEND, MERGE, Cells

_FAILURE = OUTCOMES.index("failure")
_USER = COUNTED.index("user")
_ALWAYS = -(1 << 31)


class Keys(NamedTuple):
    """By what events are counted, uint64 an event: 0 where there is none.

    `whom` is who was tried, and `named` the same in more bits: the user, or the name without account.
    """

    user: np.ndarray
    address: np.ndarray
    prefix: np.ndarray
    whom: np.ndarray
    named: np.ndarray


class Crowd:
    """Remembers what was counted as long as events to come may see it."""

    def __init__(self, policy: Policy, realm: int) -> None:
        """`realm` is the realm's key in the day counters."""
        self._limits, self._sharing, self._realm = policy.attempts, policy.sharing, realm
        self._minutes, self._failures = Cells(2, ADD), Cells(2, APPEND)
        self._days, self._users = Cells(3, MERGE), Cells(3, MERGE)

    def fill(self, rows: Batch, keys: Keys, since: int) -> None:
        """Fill in, in place, what events see of earlier ones. No later event is of before `since` (ms since 1970)."""
        self._fill_attempts(rows, keys, since // MINUTE_MS)
        self._fill_days(rows, keys, since // DAY_MS)

    def _fill_attempts(self, rows: Batch, keys: Keys, since: int) -> None:
        window = self._limits.window_minutes
        forget = since - window
        minute = rows["event_time"] // MINUTE_MS
        kinds, sources, of, first, last = _sources(np.stack(keys[: len(COUNTED)]), minute, window)
        whom = np.stack([*keys[: len(COUNTED)], keys.whom], axis=1)
        counts = _stored(self._minutes, kinds, sources, of, first, last)
        failures = _stored(self._failures, kinds, sources, of, first, last)
        fill(rows, whom, counts, failures, Span(window, self._limits.failures_per_user))
        failed = rows["outcome"] == _FAILURE
        for kind in range(len(COUNTED)):
            key = _apart(kind, keys[kind])
            own = failed if kind == _USER else slice(None)
            once = np.stack([np.ones(len(rows), np.uint64), failed.astype(np.uint64)], axis=1)
            self._minutes.take(key[own], minute[own], once[own], forget)
            if kind != _USER:
                told = failed & (keys.whom > 0)
                tries = np.stack([keys.whom[told], np.ones(told.sum(), np.uint64)], axis=1)
                self._failures.take(key[told], minute[told], tries, forget)

    def _fill_days(self, rows: Batch, keys: Keys, since: int) -> None:
        realm = np.full(len(rows), self._realm, np.uint64)
        shown = show(rows, realm, keys.user, keys.named)
        key, first, last = span_columns(shown.keys, shown.user, shown.day, self._sharing.days)
        of_users = kinds_of(key) == USER
        found = [
            _days(cells, key[some], first[some], last[some])
            for cells, some in ((self._days, ~of_users), (self._users, of_users))
        ]
        prior = days.Cells(*map(np.concatenate, zip(*found, strict=True)))
        new = change_days(rows, shown, prior, self._sharing)
        own = kinds_of(new.key) == USER
        for cells, some, forget in (
            (self._days, ~own, since - self._sharing.days),
            (self._users, own, _ALWAYS),
        ):
            cells.take(new.key[some], new.day[some], new.bits[some], forget)


def _stored(
    cells: Cells, kinds: np.ndarray, keys: np.ndarray, of: np.ndarray, first: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Return cells as `attempts.fill` takes them; `of` are the keys as they are kept."""
    found = cells.within(of, first, last)
    columns = (kinds[found.of], keys[found.of], found.time.astype(np.uint64))
    return np.concatenate([np.stack(columns, axis=1), found.values], axis=1)


def _days(cells: Cells, key: np.ndarray, first: np.ndarray, last: np.ndarray) -> days.Cells:
    """Return day cells as they are changed."""
    found = cells.within(key, first, last)
    return days.Cells(key[found.of], found.time, found.values)


@compiled
def _apart(kind: int, keys: np.ndarray) -> np.ndarray:
    found = np.empty(len(keys), np.uint64)
    for at in range(len(keys)):
        found[at] = apart(kind, keys[at])
    return found


@compiled
def _sources(
    keys: np.ndarray, minute: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return what the events look at, each source once: its kind, its key, the same kept apart from other kinds, and
    the first and last minute. `keys` has a row a kind."""
    count = keys.shape[1]
    every = np.empty(keys.size, np.uint64)
    for at in range(keys.size):
        every[at] = apart(at // count, keys[at // count, at % count])
    numbers, distinct = numbered(every)
    kind, key, of = np.zeros(distinct, np.uint64), np.zeros(distinct, np.uint64), np.zeros(distinct, np.uint64)
    first, last = np.full(distinct, 1 << 62), np.full(distinct, -(1 << 62))
    for at in range(keys.size):
        number, then = numbers[at], minute[at % count]
        kind[number], key[number], of[number] = np.uint64(at // count), keys[at // count, at % count], every[at]
        first[number] = min(first[number], then - window)
        last[number] = max(last[number], then - 1)
    return kind, key, of, first, last
