"""Is this when the user comes? The hour of their own week, and how long they have been away."""

import numpy as np

from riskengine.history.habits import BIN_MINUTES, UNATTENDED, bin_of, minute_of_week, own_offset, place_offset
from riskengine.history.record import BINS, Records, Seen, day_of
from riskengine.policy.policy import Policy

_SLOTS = 24 * 60 // BIN_MINUTES  # bins of a day
_DAYS = BINS // _SLOTS
_NEAR, _SHARE = np.array([-1, 0, 1]), np.array([1, 2, 1])  # a login counts half in its bin, a quarter on each side


def unusual_hour(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how unlike the user the hour of the week is, 0 to 1; NaN before `timing.logins` logins or unknown.

    It is the log-odds, in bits, of a login at any time of the week against this user's at this one, as a share of
    `timing.full_bits`; a time at which they come as often as by chance, or more often, is 0. Their habit by the hour
    of the week is backed off to that by the hour of the day, and this to chance, each by one login a bin (additive, as
    Dirichlet's prior has it), so that few logins say little. The week is a circle: Sunday's last bin lies beside
    Monday's first.

    The hour is read by the clock the user lives by and by that of the address's place, and the likelier reading
    counts: who lands elsewhere keeps their old hours or takes up the new ones, and either is ordinary.
    """
    count = records["hours"].sum(axis=1, dtype=np.int64)
    ready = (count >= max(policy.timing.logins, 1)) & (items["action"] != UNATTENDED)
    if not ready.any():
        return np.full(len(items), np.nan)
    odds = odds_of(items, records)[1]
    value = np.clip(-np.log2(odds) / policy.timing.full_bits, 0.0, 1.0)
    return np.where(ready, value, np.nan)


def odds_of(items: np.ndarray, records: Records) -> tuple[np.ndarray, np.ndarray]:
    """Return by which clock (minutes east of UTC, NaN unknown) the hour is best read, and how much likelier than by
    chance the user comes at that hour."""
    own, place = own_offset(records), place_offset(items)
    by_own, by_place = _odds(items["event_time"], own, records), _odds(items["event_time"], place, records)
    at_place = np.isnan(by_own) | (by_place > by_own)
    return np.where(at_place, place, own), np.where(at_place, by_place, by_own)


def _odds(time: np.ndarray, offset: np.ndarray, records: Records) -> np.ndarray:
    """Return the chance of a login in this bin of the week against 1 / BINS; NaN where the offset is unknown."""
    count = records["hours"].sum(axis=1, dtype=np.int64)
    of_week, of_day = _near(time, offset, records)
    # Whole numbers up to here, so that the order of adding up does not matter.
    by_day = ((of_day * _SHARE).sum(axis=1) * _SLOTS / 4 + _SLOTS) / (count + _SLOTS)
    by_week = ((of_week * _SHARE).sum(axis=1) * BINS / 4 + BINS * by_day) / (count + BINS)
    return np.where(np.isnan(offset), np.nan, by_week)


def _near(time: np.ndarray, offset: np.ndarray, records: Records) -> tuple[np.ndarray, np.ndarray]:
    """Return how many logins were in the bin before, in this one and in the next, as (n, 3) columns: of the week, and
    of any day."""
    hours, at = records["hours"], bin_of(time, offset)
    of_week = np.take_along_axis(hours, (at[:, None] + _NEAR) % BINS, axis=1).astype(np.int64)
    slots = ((at % _SLOTS)[:, None] + _NEAR) % _SLOTS
    of_days = (slots[:, :, None] + _SLOTS * np.arange(_DAYS)).reshape(len(at), -1)
    daily = np.take_along_axis(hours, of_days, axis=1).reshape(len(at), len(_NEAR), _DAYS)
    return of_week, daily.sum(axis=2, dtype=np.int64)


def idle_account(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how long the user has been away: 0 up to `timing.idle_days`, 1 from `idle_full_days` on; NaN before any
    login that taught. A late event is no absence."""
    rules = policy.timing
    over = idle_days(items, records) - rules.idle_days
    value = np.clip(over / max(rules.idle_full_days - rules.idle_days, 1), 0.0, 1.0)
    return np.where(records["learned"] > 0, value, np.nan)


def idle_days(items: np.ndarray, records: Records) -> np.ndarray:
    """Return the days since each user's last login that taught; below 0 for an event that comes late."""
    return day_of(items["event_time"]).astype(np.int64) - records["last_day"]


def facts(items: np.ndarray, records: Records) -> dict[str, np.ndarray]:
    """Return what the sentences of these signals tell, as columns.

    `minute_of_week`: local time from Monday on, by the clock that counts, -1 unknown; of `logins_of` remembered logins
    `logins_then` were at about that time of any day (the three hours it is in and those on either side) and
    `logins_near` also on that day of the week; `idle_days`: days since the last login that taught, -1 without any.
    """
    clock, _ = odds_of(items, records)
    known = ~np.isnan(clock)
    of_week, of_day = _near(items["event_time"], clock, records)
    return {
        "minute_of_week": np.where(known, minute_of_week(items["event_time"], clock), -1),
        "logins_then": np.where(known, of_day.sum(axis=1), 0),
        "logins_near": np.where(known, of_week.sum(axis=1), 0),
        "logins_of": records["hours"].sum(axis=1, dtype=np.int64),
        "idle_days": np.where(records["learned"] > 0, np.maximum(idle_days(items, records), 0), -1),
    }
