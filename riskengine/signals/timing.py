"""Is this when the user comes? The hour of their own week, and how long they have been away."""

import math

import numpy as np

from riskengine.compiled import Row, compiled, signed
from riskengine.history.habits import BIN_MINUTES, UNATTENDED, bin_of, minute_of_week, own_offset, place_offset
from riskengine.history.record import BINS, day_at

_SLOTS = 24 * 60 // BIN_MINUTES  # bins of a day
_DAYS = BINS // _SLOTS


@compiled
def unusual_hour(item: Row, record: Row, policy: Row) -> float:
    """Return how unlike the user the hour of the week is, 0 to 1; NaN before `timing.logins` logins or unknown.

    It is the log-odds, in bits, of a login at any time of the week against this user's at this one, as a share of
    `timing.full_bits`; a time at which they come as often as by chance, or more often, is 0. Their habit by the hour
    of the week is backed off to that by the hour of the day, and this to chance, each by one login a bin (additive, as
    Dirichlet's prior has it), so that few logins say little. The week is a circle: Sunday's last bin lies beside
    Monday's first.

    The hour is read by the clock the user lives by and by that of the address's place, and the likelier reading
    counts: who lands elsewhere keeps their old hours or takes up the new ones, and either is ordinary.
    """
    if item.action == UNATTENDED or logins_of(record) < max(policy.timing_logins, 1):
        return math.nan
    _, odds = likelier(item, record)
    if math.isnan(odds):
        return math.nan
    return min(max(-math.log2(odds) / policy.timing_full_bits, 0.0), 1.0)


@compiled
def logins_of(record: Row) -> int:
    """Return how many logins are remembered by the hour."""
    total = 0
    for one in record.hours:
        total += one
    return total


@compiled
def likelier(item: Row, record: Row) -> tuple[float, float]:
    """Return by which clock (minutes east of UTC, NaN unknown) the hour is best read, and how much likelier than by
    chance the user comes at that hour."""
    own, place = own_offset(record), place_offset(item)
    by_own, by_place = _odds(item.event_time, own, record), _odds(item.event_time, place, record)
    if math.isnan(by_own) or by_place > by_own:
        return place, by_place
    return own, by_own


@compiled
def _odds(time: int, offset: float, record: Row) -> float:
    """Return the chance of a login in this bin of the week against 1 / BINS; NaN where the offset is unknown."""
    if math.isnan(offset):
        return math.nan
    at, count = bin_of(time, offset), logins_of(record)
    # A login counts half in its bin, a quarter on each side. Whole numbers up to here: the order does not matter.
    of_day = of_any_day(record.hours, at - 1) + 2 * of_any_day(record.hours, at) + of_any_day(record.hours, at + 1)
    of_week = of_bin(record.hours, at - 1) + 2 * of_bin(record.hours, at) + of_bin(record.hours, at + 1)
    by_day = (of_day * _SLOTS / 4 + _SLOTS) / (count + _SLOTS)
    return (of_week * BINS / 4 + BINS * by_day) / (count + BINS)


@compiled
def of_bin(hours: np.ndarray, at: int) -> int:
    """Return how many logins were in a bin of the week, which is a circle."""
    return signed(hours[at % BINS])


@compiled
def of_any_day(hours: np.ndarray, at: int) -> int:
    """Return how many logins were in the bin of the day that `at` is, on any day of the week."""
    total = 0
    for day in range(_DAYS):
        total += hours[at % _SLOTS + _SLOTS * day]
    return total


@compiled
def idle_account(item: Row, record: Row, policy: Row) -> float:
    """Return how long the user has been away: 0 up to `timing.idle_days`, 1 from `idle_full_days` on; NaN before any
    login that taught. A late event is no absence."""
    if record.learned == 0:
        return math.nan
    over = idle_days(item, record) - policy.timing_idle_days
    return min(max(over / max(policy.timing_idle_full_days - policy.timing_idle_days, 1), 0.0), 1.0)


@compiled
def idle_days(item: Row, record: Row) -> int:
    """Return the days since a user's last login that taught; below 0 for an event that comes late."""
    return day_at(item.event_time) - signed(record.last_day)


@compiled
def tell(item: Row, record: Row, verdict: Row) -> None:
    """Write into a verdict what the sentences of these signals tell.

    `minute_of_week`: local time from Monday on, by the clock that counts, -1 unknown; of `logins_of` remembered logins
    `logins_then` were at about that time of any day (the three hours it is in and those on either side) and
    `logins_near` also on that day of the week; `idle_days`: days since the last login that taught, -1 without any.
    """
    clock, _ = likelier(item, record)
    verdict.minute_of_week, verdict.logins_then, verdict.logins_near = -1, 0, 0
    if not math.isnan(clock):
        at = bin_of(item.event_time, clock)
        verdict.minute_of_week = minute_of_week(item.event_time, clock)
        for near in range(at - 1, at + 2):
            verdict.logins_then += of_any_day(record.hours, near)
            verdict.logins_near += of_bin(record.hours, near)
    verdict.logins_of = logins_of(record)
    verdict.idle_days = max(idle_days(item, record), 0) if record.learned > 0 else -1
