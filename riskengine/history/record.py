"""What one user's earlier logins looked like: a record of fixed size; it holds facts, the policy judges them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from riskengine.batch import Located, layout_before, renew
from riskengine.errors import RiskEngineError
from riskengine.event import DAY_MS
from riskengine.geo import distance_km
from riskengine.network import PLACELESS

SCHEMA = 2
SAME_PLACE_KM = 50.0  # two points no further apart are one place (products use 20 to 50)
STAYS = 16
PENDING = 8


class Status(IntEnum):
    """How far an attribute is believed: provisional knowledge may accuse, only trusted knowledge excuses.

    FOUNDING is provisional too: it was shown by the first login of all, and is what a first history ripens beside.
    """

    NONE = 0
    PROVISIONAL = 1
    FOUNDING = 2
    TRUSTED = 3


class Wait(IntEnum):
    """What is known of a step-up that was asked for."""

    NONE = 0
    WAITING = 1
    FAILED = 2  # abandoned; a pass within the time allowed still counts


# An attribute once shown: its key, on how many logins and days, when, and how far it is believed.
# `streak` and `since` count the days beside a trusted attribute: what provisional knowledge is promoted by.
_SHOWN = np.dtype(
    [
        ("key", "u4"),
        ("count", "u2"),
        ("days", "u2"),
        ("last_day", "u2"),
        ("since", "u2"),
        ("streak", "u1"),
        ("status", "u1"),
    ]
)
# A time spent at one place without a login elsewhere; coordinates in 1e-5 degrees, radius in km, times in ms.
_STAY = np.dtype(
    [
        ("first", "i8"),
        ("last", "i8"),
        ("row", "i8"),  # the event that showed it last, for its name
        ("latitude", "i4"),
        ("longitude", "i4"),
        ("line", "u4"),
        ("radius", "u2"),
        ("country", "u2"),
        ("kind", "u1"),
        ("status", "u1"),
        ("operator", "u4"),  # AS number
        ("six", "?"),  # an IPv6 address
    ]
)
_WAITING = np.dtype([("event", "u8"), ("time", "i8"), ("state", "u1"), ("origin", "u4")])
# A step-up passed: from where, on what, when, and for how sensitive a thing.
_PASSED = np.dtype([("passed_at", "i8"), ("passed_prefix", "u4"), ("passed_device", "u4"), ("passed_for", "u1")])

# Each attribute has room of its own, so that a flood of one cannot push out another.
ROOM = {"place": 8, "country": 6, "prefix": 12, "network": 8, "device": 8, "agent": 6}
ATTRIBUTES = tuple(ROOM)
SENDABLE = ("device", "agent")  # what a client may leave out; that it does is a habit like others
ABSENT = np.uint32(1)
HOPS = 8  # pairs of places between which this user seems to jump
HABITS = (*ATTRIBUTES, "masked")  # what is counted of a user's ways: how often something new, how often behind a mask
CLAIMS = ("client_offset", "client_latitude", "rtt", "claimed_type")  # what a client may or may not tell of itself
BINS = 56  # of a week, three hours each
PASSES = 2
NO_OFFSET = -32768
AGED = 256  # showings of an attribute from which on the older ones fade
ROAMS, ROAMS_SHARE = 2, 0.1  # new prefixes of one operator, and of so many logins through it, that a line never has

RECORD = np.dtype(
    [
        ("schema", "u1"),
        ("at_risk", "u1"),
        ("ignored", "u1"),  # step-ups in a row that nobody passed
        ("ignored_day", "u2"),
        ("seq", "u4"),  # items taken in
        ("learned", "u4"),  # logins that taught something
        ("days", "u2"),  # days with such a login
        ("last_day", "u2"),
        *((name, _SHOWN, room) for name, room in ROOM.items()),
        ("stays", _STAY, STAYS),
        ("pending", _WAITING, PENDING),
        ("first_day", "u2"),  # of a login that taught
        ("shown", "u2", len(HABITS)),  # logins beside something trusted that showed the attribute at all …
        ("news", "u2", len(HABITS)),  # … and at which it was new (of "masked": that came from behind a mask)
        ("news_day", "u2", len(HABITS)),  # the last day on which there was any news
        ("churn", "u1", ROOM["network"]),  # beside each network: at how many logins through it the prefix was new
        ("hours", "u1", BINS),  # such logins by the hour of the user's own week
        ("zone", "i2"),  # minutes east of UTC where the user mostly is; NO_OFFSET unknown
        ("claims", "u1", len(CLAIMS)),  # of the last logins, how many told each claim …
        ("claims_of", "u1"),  # … of how many
        ("hops", _SHOWN, HOPS),
        ("passes", _PASSED, PASSES),
    ]
)
# What schema 2 added to schema 1.
_ADDED_2 = frozenset(
    (
        *("operator", "six", "origin", "first_day", "shown", "news", "news_day", "churn", "hours", "zone", "claims"),
        *("claims_of", "hops", "passes"),
    )
)
_RECORD_1 = layout_before(RECORD, _ADDED_2)

Records = np.ndarray  # of RECORD


def blank(count: int) -> Records:
    """Return the histories of `count` users of whom nothing is known."""
    records = np.zeros(count, RECORD)
    records["schema"] = SCHEMA
    records["zone"] = NO_OFFSET
    return records


def pack(records: Records) -> list[bytes]:
    """Return each history as the bytes that are sealed and stored."""
    size, whole = RECORD.itemsize, records.tobytes()
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def unpack(stored: Sequence[bytes | None]) -> Records:
    """Return stored histories as records, None as a blank one; RiskEngineError for bytes of a schema not known."""
    records = blank(len(stored))
    for index, data in enumerate(stored):
        if data is None:
            continue
        if data[0] == 1 and len(data) == _RECORD_1.itemsize:
            renew(np.frombuffer(data, _RECORD_1), records[index : index + 1])
            records["schema"][index] = SCHEMA
            # It did not count how often an attribute was shown; that is as often as it learned, more or less.
            records["shown"][index] = min(int(records["learned"][index]), AGED - 1)
        elif data[0] == SCHEMA and len(data) == RECORD.itemsize:
            records[index] = np.frombuffer(data, RECORD)[0]
        else:
            raise RiskEngineError(f"a stored history has schema {data[0]}; this version reads up to {SCHEMA}")
    return records


def day_of(time: np.ndarray) -> np.ndarray:
    """Return the day (since 1970, UTC) of times in ms."""
    return np.clip(time // DAY_MS, 0, 65535).astype(np.uint16)


def place_key(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return points as 32-bit keys on a grid of 0.01 degrees (about 1 km), 0 where the point is unknown.

    >>> place_key(np.array([0.0, np.nan]), np.array([0.0, 1.0])).tolist()
    [589889536, 0]
    """
    known = ~np.isnan(latitude + longitude)
    north = np.where(known, np.round(np.where(known, latitude, 0.0) * 100) + 9001, 0).astype(np.int64)
    east = np.where(known, np.round(np.where(known, longitude, 0.0) * 100) % 36000, 0).astype(np.int64)
    return (north << 16 | east).astype(np.uint32)


def place_of(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude of place keys, NaN for 0."""
    north, east = (key >> 16).astype(np.float64), (key & 0xFFFF).astype(np.float64)
    latitude = np.where(key > 0, (north - 9001) / 100, np.nan)
    longitude = np.where(key > 0, np.where(east > 18000, east - 36000, east) / 100, np.nan)
    return latitude, longitude


def match(shown: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Return for each row which slots hold `key`, the place excepted; a key of 0 (unknown) matches none."""
    return (shown["key"] == key[:, None]) & (key > 0)[:, None] & (shown["status"] > 0)


def match_place(shown: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Return for each row which slots hold a place within SAME_PLACE_KM of the place `key`."""
    used = (shown["status"] > 0) & (key > 0)[:, None]
    if not used.any():
        return used
    here = place_of(key)
    there = place_of(shown["key"])
    near = distance_km(here[0][:, None], here[1][:, None], there[0], there[1]) <= SAME_PLACE_KM
    return used & near


def keys_of(batch: np.ndarray) -> dict[str, np.ndarray]:
    """Return each attribute's key column of a batch; 0 where the item does not show it.

    An address that stands for a gateway, or is known to the country only, shows no place. That no device id or user
    agent was sent is a value too, ABSENT: some people never send one.
    """
    shows_place = (batch["located"] == Located.PLACE) & ~PLACELESS[batch["kind"]]
    return {
        "place": np.where(shows_place, place_key(batch["latitude"], batch["longitude"]), np.uint32(0)),
        "country": batch["country"].astype(np.uint32),
        "prefix": batch["prefix"],
        "network": batch["asn"],
        "device": np.maximum(batch["device"], ABSENT),
        "agent": np.maximum(batch["agent"], ABSENT),
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """What a history knows of what an item shows: columns by attribute.

    `shows`: the item shows the attribute at all; `status`: the best Status it has there; `share`: in which share of
    the user's logins it was shown (0 to 1), `age`: days since it was last; `knows` and `trusts`: whether the history
    holds any value of it, and any trusted one. `unsent` is the Status of not sending the attribute, where the item
    does not. `keys` and `slots` say what and where. `roams`: the operator keeps changing this user's prefix, as a
    carrier does, listed as one or not.
    """

    keys: dict[str, np.ndarray]
    slots: dict[str, np.ndarray]
    shows: dict[str, np.ndarray]
    status: dict[str, np.ndarray]
    share: dict[str, np.ndarray]
    age: dict[str, np.ndarray]
    knows: dict[str, np.ndarray]
    trusts: dict[str, np.ndarray]
    unsent: dict[str, np.ndarray]
    roams: np.ndarray


def look(records: Records, items: np.ndarray) -> Seen:
    """Return what each history knows of what its item shows."""
    keys = keys_of(items)
    seen = Seen(keys, {}, {}, {}, {}, {}, {}, {}, {}, np.zeros(len(items), bool))
    day = day_of(items["event_time"]).astype(np.int64)
    for at, name in enumerate(ATTRIBUTES):
        shown, key = records[name], keys[name]
        slots = match_place(shown, key) if name == "place" else match(shown, key)
        status = np.where(slots, shown["status"], 0)
        best = status.max(axis=1)
        of_best = slots & (status == best[:, None])
        count = np.where(of_best, shown["count"], 0).sum(axis=1)
        held = (shown["status"] > 0) & ((shown["key"] != ABSENT) | (name not in SENDABLE))
        if name in SENDABLE:
            sent = key != ABSENT
            seen.shows[name], seen.unsent[name] = sent, np.where(sent, 0, best)
            seen.status[name] = np.where(sent, best, 0)
        else:
            seen.shows[name], seen.status[name] = key > 0, best
        seen.slots[name] = slots
        seen.share[name] = np.minimum(count / np.maximum(records["shown"][:, at], 1), 1.0)
        seen.age[name] = day - np.where(of_best, shown["last_day"], 0).max(axis=1)
        seen.knows[name] = held.any(axis=1)
        seen.trusts[name] = (held & (shown["status"] == Status.TRUSTED)).any(axis=1)
        if name == "network":
            seen.roams[:] = (slots & roaming(records)).any(axis=1)
    return seen


def roaming(records: Records) -> np.ndarray:
    """Return which network slots hold an operator that keeps changing the user's prefix, as a carrier does."""
    return (records["churn"] >= ROAMS) & (records["churn"] >= ROAMS_SHARE * records["network"]["count"])


def shown_before(seen: Seen) -> np.ndarray:
    """Return, as bits in order of ATTRIBUTES, what of each item its user has shown before, trusted or not."""
    bits = np.zeros(len(seen.status["place"]), np.uint8)
    for at, name in enumerate(ATTRIBUTES):
        bits |= np.where(seen.status[name] > 0, np.uint8(1 << at), np.uint8(0))
    return bits


def anchored(records: Records, seen: Seen) -> np.ndarray:
    """Return whether an item shows something that provisional knowledge may ripen beside.

    That is a trusted device or prefix; where the user never showed a device, trusted place and network together (a
    thief may share a city, a carrier, a browser). While nothing at all is trusted, what founded the history serves.
    """
    status = seen.status
    level = np.where(trusts_anything(records), Status.TRUSTED, Status.FOUNDING)
    somewhere = (status["place"] >= level) & (status["network"] >= level)
    return (status["device"] >= level) | (status["prefix"] >= level) | (~seen.knows["device"] & somewhere)


def trusts_anything(records: Records) -> np.ndarray:
    """Return whether any attribute of the user is trusted."""
    return np.logical_or.reduce([(records[name]["status"] == Status.TRUSTED).any(axis=1) for name in ATTRIBUTES])
