"""Where and when a user was: stays in time, which serve as neighbours to a login on both of its sides."""

import math

import numpy as np

from riskengine.batch import Located
from riskengine.compiled import Row, compiled, signed
from riskengine.event import ACTIONS
from riskengine.geo import distance_km
from riskengine.history.record import SAME_PLACE_KM, STAYS
from riskengine.network import PLACELESS, Kind

# Logins at one place within this time of each other, and no further apart in all, are one stay: a neighbour in time
# must not hide that its user was seen every day.
JOIN_MS = 12 * 3_600_000
LONGEST_MS = 24 * 3_600_000
_MOVELESS = ACTIONS.index("token_refresh")
_SCALE = 1e5
NO_TIME = np.iinfo(np.int64).max
_BEFORE_ALL = np.iinfo(np.int64).min
_COUNTRY, _HOSTING = int(Located.COUNTRY), int(Kind.HOSTING)


@compiled
def measurable(item: Row) -> bool:
    """Return whether a journey may be measured to an item: to those of `journeys`, and to rented servers, whose place
    is known, though it is not their users'."""
    known = not math.isnan(item.latitude + item.longitude + item.radius)
    where = not PLACELESS[item.kind] or item.kind == _HOSTING
    return item.located <= _COUNTRY and known and where and item.action != _MOVELESS


@compiled
def journeys(item: Row) -> bool:
    """Return whether an item says where a person is: located, not behind a gateway, not a refreshed token."""
    return measurable(item) and not PLACELESS[item.kind]


@compiled
def coordinates(stay: Row) -> tuple[float, float]:
    """Return latitude and longitude of a stay in degrees."""
    return stay.latitude / _SCALE, stay.longitude / _SCALE


@compiled
def neighbours(stays: np.ndarray, time: int) -> tuple[int, int, int, int]:
    """Return slot and gap in ms of the nearest stay before `time`, then of the nearest after it.

    A stay that `time` falls into counts on both sides, by the login it began and the one it ended with. The gap is
    NO_TIME where there is none. Of two at the same distance the later slot counts on one side, the earlier on the
    other, so that logins of one second in two cities are both seen.
    """
    earlier, before, later, after = 0, NO_TIME, STAYS - 1, NO_TIME
    for at in range(STAYS):
        stay = stays[at]
        if stay.status == 0:
            continue
        within = stay.first <= time <= stay.last
        if stay.first <= time:
            gap = time - (stay.first if within else stay.last)
            if gap < before:
                earlier, before = at, gap
        if stay.last >= time:
            gap = (stay.last if within else stay.first) - time
            if gap <= after:
                later, after = at, gap
    return earlier, before, later, after


@compiled
def keep(stays: np.ndarray, item: Row, status: int) -> None:
    """Take the place of an item that teaches into its user's stays: lengthen one, or begin another.

    Another takes an empty slot, else that of the oldest stay; what is older than all of them is not worth keeping.
    """
    if not journeys(item):
        return
    at = _joined(stays, item)
    if at >= 0:
        stay = stays[at]
        newest = item.event_time >= stay.last
        stay.first, stay.last = min(stay.first, item.event_time), max(stay.last, item.event_time)
        stay.status = max(signed(stay.status), status)
        if newest:
            _show(stay, item)
        return
    at = _oldest(stays)
    stay = stays[at]
    if stay.status == 0 or item.event_time > stay.last:
        stay.first = stay.last = item.event_time
        stay.status = status
        _show(stay, item)


@compiled
def _joined(stays: np.ndarray, item: Row) -> int:
    """Return the slot of the stay that an item belongs to, the nearest in time; -1 without one."""
    found, nearest, time = -1, NO_TIME, item.event_time
    for at in range(STAYS):
        stay = stays[at]
        if stay.status == 0:
            continue
        gap = max(stay.first - time, time - stay.last, 0)
        if gap > JOIN_MS or gap >= nearest or max(stay.last, time) - min(stay.first, time) > LONGEST_MS:
            continue
        there = coordinates(stay)
        if distance_km(item.latitude, item.longitude, there[0], there[1]) <= SAME_PLACE_KM:
            found, nearest = at, gap
    return found


@compiled
def _oldest(stays: np.ndarray) -> int:
    found, oldest = 0, NO_TIME
    for at in range(STAYS):
        age = stays[at].last if stays[at].status > 0 else _BEFORE_ALL
        if age < oldest:
            found, oldest = at, age
    return found


@compiled
def _show(stay: Row, item: Row) -> None:
    """Write what the latest login of a stay showed."""
    stay.row, stay.line, stay.country, stay.kind = item.row, item.line, item.country, item.kind
    stay.latitude, stay.longitude = int(np.rint(item.latitude * _SCALE)), int(np.rint(item.longitude * _SCALE))
    stay.radius = int(min(max(np.ceil(item.radius), 1.0), 65535.0))
    stay.operator, stay.six = item.asn, item.address_high > 0
