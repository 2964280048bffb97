"""What is usual for a user: the hours of their week, the clock they live by, what their client tells of itself."""

import numpy as np

from riskengine.batch import Batch
from riskengine.event import ACTIONS
from riskengine.history.record import BINS, CLAIMS, NO_OFFSET, Records
from riskengine.network import PLACELESS, Kind

UNATTENDED = ACTIONS.index("token_refresh")  # no person is there when a token is refreshed
BIN_MINUTES = 180
_MINUTE_MS = 60_000
_FROM_MONDAY = 3 * 24 * 60  # 1970 began on a Thursday
HOURS_MOST = 240  # logins held by hour: at three a day the older ones count half after 40 days
CLAIMS_MOST = 200
# A place known no better than this may lie in the neighbouring zone but one.
ROUGH_KM = 500.0
# The address stands for a gateway, or for the ground station of something in the sky.
ELSEWHERE = PLACELESS.copy()
ELSEWHERE[[Kind.SATELLITE, Kind.INFLIGHT]] = True


def place_offset(items: Batch) -> np.ndarray:
    """Return the minutes east of UTC where each item's address is, NaN where that does not tell where its user is."""
    tells = ~ELSEWHERE[items["kind"]] & (items["radius"] <= ROUGH_KM)
    return np.where(tells, items["offset"], np.nan)


def own_offset(records: Records) -> np.ndarray:
    """Return the minutes east of UTC of the clock each user lives by, NaN unknown."""
    return np.where(records["zone"] == NO_OFFSET, np.nan, records["zone"])


def minute_of_week(time: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return the minute of the week, from Monday's midnight on, of times in ms at an offset.

    An unknown offset is taken for UTC: the caller knows where to look away.
    """
    minutes = time // _MINUTE_MS + np.where(np.isnan(offset), 0, offset).astype(np.int64)
    return (minutes + _FROM_MONDAY) % (BINS * BIN_MINUTES)


def bin_of(time: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return which three hours of the week, 0 (from Monday's midnight on) to 55, times in ms are in at an offset.

    >>> bin_of(np.array([0, 0, 4 * 86_400_000 - 1]), np.array([0.0, -60.0, 0.0])).tolist()
    [24, 23, 55]
    """
    return minute_of_week(time, offset) // BIN_MINUTES


def told(items: Batch) -> np.ndarray:
    """Return which of CLAIMS each item's client tells, as (n, len(CLAIMS)) booleans."""
    columns = [items[name] >= 0 if items.dtype[name].kind == "i" else ~np.isnan(items[name]) for name in CLAIMS]
    return np.stack(columns, axis=1)


def take(records: Records, items: Batch, which: np.ndarray) -> None:
    """Take in, in place, when these logins were and what their clients told of themselves.

    `which` are logins that something vouches for; of those, and only of those, the client's word on its clock is worth
    more than the address. The hour is that of the clock the user has lived by so far, so that a journey does not make
    day of their night at once. Past a bound all counts of a user are halved: what was long ago fades.
    """
    rows = np.flatnonzero(which)
    if not len(rows):
        return
    own, place, client = own_offset(records), place_offset(items), items["client_offset"]
    clock = np.where(np.isnan(own), place, own)
    dated = np.flatnonzero(which & ~np.isnan(clock))
    _count(records["hours"], dated, bin_of(items["event_time"][dated], clock[dated]))
    offset = np.where(np.isnan(client), place, client)
    records["zone"] = np.where(which & ~np.isnan(offset), offset, records["zone"])
    records["claims"][rows] += told(items)[rows]
    records["claims_of"][rows] += 1
    full = rows[records["claims_of"][rows] >= CLAIMS_MOST]
    records["claims"][full] //= 2
    records["claims_of"][full] //= 2


def _count(hours: np.ndarray, rows: np.ndarray, bins: np.ndarray) -> None:
    """Count one login in each row's bin, in place; halve the rows that are full then."""
    hours[rows, bins] += 1
    full = rows[hours[rows].sum(axis=1, dtype=np.int64) >= HOURS_MOST]
    hours[full] //= 2
