"""Where and when a user was: stays in time, which serve as neighbours to a login on both of its sides."""

import numpy as np

from riskengine.batch import Batch, Located
from riskengine.event import ACTIONS
from riskengine.geo import distance_km
from riskengine.history.record import SAME_PLACE_KM
from riskengine.network import PLACELESS, Kind

# Logins at one place within this time of each other, and no further apart in all, are one stay: a neighbour in time
# must not hide that its user was seen every day.
JOIN_MS = 12 * 3_600_000
LONGEST_MS = 24 * 3_600_000
_MOVELESS = ACTIONS.index("token_refresh")
_SCALE = 1e5
NO_TIME = np.iinfo(np.int64).max


def measurable(items: Batch) -> np.ndarray:
    """Return which items a journey may be measured to: those of `journeys`, and rented servers, whose place is known,
    though it is not their users'."""
    return (
        (items["located"] <= Located.COUNTRY)
        & ~np.isnan(items["latitude"] + items["longitude"] + items["radius"])
        & (~PLACELESS[items["kind"]] | (items["kind"] == Kind.HOSTING))
        & (items["action"] != _MOVELESS)
    )


def journeys(items: Batch) -> np.ndarray:
    """Return which items say where a person is: located, not behind a gateway, not a refreshed token."""
    return measurable(items) & ~PLACELESS[items["kind"]]


def coordinates(stays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude of stays in degrees."""
    return stays["latitude"] / _SCALE, stays["longitude"] / _SCALE


def neighbours(stays: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each row, slot and |gap| in ms of the nearest stay before and after `time`, as two (n, 2) columns.

    A stay that `time` falls into counts on both sides, by the login it began and the one it ended with. The gap is
    NO_TIME where there is none. Of two at the same distance the later slot counts on one side, the earlier on the
    other, so that logins of one second in two cities are both seen.
    """
    used = stays["status"] > 0
    at = time[:, None]
    before = np.where(used & (stays["first"] <= at), at - np.minimum(stays["last"], at), NO_TIME)
    within = used & (stays["first"] <= at) & (stays["last"] >= at)
    before = np.where(within, at - stays["first"], before)
    after = np.where(used & (stays["last"] >= at), np.maximum(stays["first"], at) - at, NO_TIME)
    after = np.where(within, stays["last"] - at, after)
    last = stays.shape[1] - 1
    slots = np.stack([np.argmin(before, axis=1), last - np.argmin(after[:, ::-1], axis=1)], axis=1)
    gaps = np.stack(
        [
            np.take_along_axis(before, slots[:, :1], axis=1)[:, 0],
            np.take_along_axis(after, slots[:, 1:], axis=1)[:, 0],
        ],
        axis=1,
    )
    return slots, gaps


def stay(stays: np.ndarray, items: Batch, teaches: np.ndarray, status: np.ndarray) -> None:
    """Take the place of each item that teaches into its user's stays, in place: lengthen one, or begin another."""
    rows = np.flatnonzero(teaches & journeys(items))
    if not len(rows):
        return
    known, item = stays[rows], items[rows]
    time = item["event_time"][:, None]
    there = coordinates(known)
    km = distance_km(item["latitude"][:, None], item["longitude"][:, None], there[0], there[1])
    same = (known["status"] > 0) & (km <= SAME_PLACE_KM)
    first, last = np.minimum(known["first"], time), np.maximum(known["last"], time)
    gap = np.maximum(np.maximum(known["first"] - time, time - known["last"]), 0)
    joins = same & (gap <= JOIN_MS) & (last - first <= LONGEST_MS)
    slot = np.argmin(np.where(joins, gap, NO_TIME), axis=1)
    lengthens = joins.any(axis=1)
    # An empty slot, else the oldest stay; what is older than all of them is not worth keeping.
    age = np.where(known["status"] > 0, known["last"], np.iinfo(np.int64).min)
    oldest = np.argmin(age, axis=1)
    slot = np.where(lengthens, slot, oldest)
    at = np.arange(len(rows))
    keeps = lengthens | (item["event_time"] > age[at, oldest])
    chosen = known[at, slot]
    latest = ~lengthens | (item["event_time"] >= chosen["last"])
    new = chosen.copy()
    new["first"] = np.where(lengthens, first[at, slot], item["event_time"])
    new["last"] = np.where(lengthens, last[at, slot], item["event_time"])
    new["status"] = np.where(lengthens, np.maximum(chosen["status"], status[rows]), status[rows])
    for name, value in (
        ("row", item["row"]),
        ("latitude", np.round(item["latitude"] * _SCALE)),
        ("longitude", np.round(item["longitude"] * _SCALE)),
        ("line", item["line"]),
        ("radius", np.clip(np.ceil(item["radius"]), 1, 65535)),
        ("country", item["country"]),
        ("kind", item["kind"]),
        ("operator", item["asn"]),
        ("six", item["address_high"] > 0),
    ):
        new[name] = np.where(latest, value.astype(new.dtype[name]), chosen[name])
    stays[rows[keeps], slot[keeps]] = new[keeps]
