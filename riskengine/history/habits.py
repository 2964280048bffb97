"""What is usual for a user: the hours of their week, the clock they live by, what their client tells of itself."""

import math

import numpy as np

from riskengine.compiled import Row, compiled
from riskengine.event import ACTIONS
from riskengine.history.record import BINS, CLAIMS, NO_OFFSET
from riskengine.network import PLACELESS, Kind

UNATTENDED = ACTIONS.index("token_refresh")  # no person is there when a token is refreshed
BIN_MINUTES = 180
_MINUTE_MS = 60_000
_FROM_MONDAY = 3 * 24 * 60  # 1970 began on a Thursday
HOURS_MOST = 240  # logins held by hour: at three a day the older ones count half after 40 days
CLAIMS_MOST = 200
ALL_CLAIMS = len(CLAIMS)
# A place known no better than this may lie in the neighbouring zone but one.
ROUGH_KM = 500.0
# The address stands for a gateway, or for the ground station of something in the sky.
ELSEWHERE = PLACELESS.copy()
ELSEWHERE[[Kind.SATELLITE, Kind.INFLIGHT]] = True


@compiled
def place_offset(item: Row) -> float:
    """Return the minutes east of UTC where an item's address is, NaN where that does not tell where its user is."""
    return item.offset if not ELSEWHERE[item.kind] and item.radius <= ROUGH_KM else math.nan


@compiled
def own_offset(record: Row) -> float:
    """Return the minutes east of UTC of the clock a user lives by, NaN unknown."""
    return math.nan if record.zone == NO_OFFSET else float(record.zone)


@compiled
def minute_of_week(time: int, offset: float) -> int:
    """Return the minute of the week, from Monday's midnight on, of a time in ms at an offset.

    An unknown offset is taken for UTC: the caller knows where to look away.
    """
    shift = 0 if math.isnan(offset) else int(offset)
    return (time // _MINUTE_MS + shift + _FROM_MONDAY) % (BINS * BIN_MINUTES)


@compiled
def bin_of(time: int, offset: float) -> int:
    """Return which three hours of the week, 0 (from Monday's midnight on) to 55, a time in ms is in at an offset.

    >>> bin_of(0, 0.0), bin_of(0, -60.0), bin_of(4 * 86_400_000 - 1, 0.0)
    (24, 23, 55)
    """
    return minute_of_week(time, offset) // BIN_MINUTES


@compiled
def told(item: Row) -> int:
    """Return as bits which of CLAIMS an item's client tells."""
    bits = 0 if math.isnan(item.client_offset) else 1
    bits |= 0 if math.isnan(item.client_latitude) else 2
    bits |= 0 if math.isnan(item.rtt) else 4
    return bits | (8 if item.claimed_type >= 0 else 0)


@compiled
def take(record: Row, item: Row) -> None:
    """Take in when a login was and what its client told of itself.

    The login is one that something vouches for; of those, and only of those, the client's word on its clock is worth
    more than the address. The hour is that of the clock the user has lived by so far, so that a journey does not make
    day of their night at once. Past a bound all counts of a user are halved: what was long ago fades.
    """
    own, place, client = own_offset(record), place_offset(item), item.client_offset
    clock = place if math.isnan(own) else own
    if not math.isnan(clock):
        _count(record.hours, bin_of(item.event_time, clock))
    offset = place if math.isnan(client) else client
    if not math.isnan(offset):
        record.zone = int(offset)
    bits = told(item)
    for at in range(ALL_CLAIMS):
        record.claims[at] += bits >> at & 1
    record.claims_of += 1
    if record.claims_of >= CLAIMS_MOST:
        for at in range(ALL_CLAIMS):
            record.claims[at] //= 2
        record.claims_of //= 2


@compiled
def _count(hours: np.ndarray, at: int) -> None:
    """Count one login in a bin; halve all of them when they are full."""
    hours[at] += 1
    total = 0
    for one in hours:
        total += one
    if total >= HOURS_MOST:
        for one in range(BINS):
            hours[one] //= 2
