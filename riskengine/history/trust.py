"""How what was once shown comes to be trusted, slot by slot."""

import numpy as np

from riskengine.compiled import Row, compiled, signed
from riskengine.history.record import TRUSTED

RIPE_DAYS = 3  # days beside a trusted attribute after which provisional knowledge is trusted …
RIPE_SPAN = 7  # … that lie at least this many days apart


@compiled
def strengthen(value: Row, taught: int, beside: bool, day: int) -> None:
    """Count one more showing of a slot; a provisional one ripens by a day, or is trusted at once.

    What nothing vouches for (`beside`) is no habit and keeps nothing fresh; it may be the start of one.
    """
    later = beside and day > value.last_day
    if beside and value.count < 65535:
        value.count += 1
    if later:
        value.days += 1
    fresh = 0 < value.status < TRUSTED and beside and (later or value.streak == 0)
    if fresh and value.streak == 0:
        value.since = day
    if fresh and value.streak < 255:
        value.streak += 1
    ripe = fresh and value.streak >= RIPE_DAYS and day - signed(value.since) >= RIPE_SPAN
    if ripe or taught == TRUSTED:
        value.status = TRUSTED
    if later:
        value.last_day = day


@compiled
def add(values: np.ndarray, key: int, given: int, beside: bool, day: int) -> int:
    """Write what is new into an empty slot, else over the least believed, longest unseen, least shown one; return
    which."""
    found, least = 0, signed(1) << 62
    for at in range(len(values)):
        value = values[at]
        worth = signed(value.status) << 48 | signed(value.last_day) << 16 | signed(value.count)
        if worth < least:
            found, least = at, worth
    value = values[found]
    value.key, value.count, value.days = key, 1, 1
    value.last_day = value.since = day
    value.streak, value.status = 1 if beside else 0, given
    return found
