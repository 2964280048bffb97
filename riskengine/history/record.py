"""What one user's earlier logins looked like: a record of fixed size; it holds facts, the policy judges them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from riskengine.batch import Located
from riskengine.errors import RiskEngineError
from riskengine.event import DAY_MS
from riskengine.geo import distance_km
from riskengine.network import PLACELESS

SCHEMA = 1
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
    ]
)
_WAITING = np.dtype([("event", "u8"), ("time", "i8"), ("state", "u1")])

# Each attribute has room of its own, so that a flood of one cannot push out another.
ROOM = {"place": 8, "country": 6, "prefix": 12, "network": 8, "device": 8, "agent": 6}
ATTRIBUTES = tuple(ROOM)

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
    ]
)

Records = np.ndarray  # of RECORD


def blank(count: int) -> Records:
    """Return the histories of `count` users of whom nothing is known."""
    records = np.zeros(count, RECORD)
    records["schema"] = SCHEMA
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
        if data[0] != SCHEMA or len(data) != RECORD.itemsize:
            raise RiskEngineError(f"a stored history has schema {data[0]}; this version reads {SCHEMA}")
        records[index] = np.frombuffer(data, RECORD)[0]
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

    An address that stands for a gateway, or is known to the country only, shows no place.
    """
    shows_place = (batch["located"] == Located.PLACE) & ~PLACELESS[batch["kind"]]
    return {
        "place": np.where(shows_place, place_key(batch["latitude"], batch["longitude"]), np.uint32(0)),
        "country": batch["country"].astype(np.uint32),
        "prefix": batch["prefix"],
        "network": batch["asn"],
        "device": batch["device"],
        "agent": batch["agent"],
    }


def matches(records: Records, keys: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return for each attribute which of a record's slots hold what the item shows."""
    return {name: (match_place if name == "place" else match)(records[name], keys[name]) for name in ATTRIBUTES}


def standing(records: Records, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return for each attribute the best Status among the slots found."""
    return {name: np.where(found[name], records[name]["status"], 0).max(axis=1) for name in ATTRIBUTES}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a history knows of what an item shows: columns by attribute.

    `shows`: the item shows the attribute at all; `status`: the best Status it has there; `knows` and `trusts`:
    whether the history holds any value of it, and any trusted one. `keys` and `slots` say what and where.
    """

    keys: dict[str, np.ndarray]
    slots: dict[str, np.ndarray]
    shows: dict[str, np.ndarray]
    status: dict[str, np.ndarray]
    knows: dict[str, np.ndarray]
    trusts: dict[str, np.ndarray]


def look(records: Records, items: np.ndarray) -> Seen:
    """Return what each history knows of what its item shows."""
    keys = keys_of(items)
    slots = matches(records, keys)
    return Seen(
        keys=keys,
        slots=slots,
        shows={name: keys[name] > 0 for name in ATTRIBUTES},
        status=standing(records, slots),
        knows={name: np.any(records[name]["status"] > 0, axis=1) for name in ATTRIBUTES},
        trusts={name: np.any(records[name]["status"] == Status.TRUSTED, axis=1) for name in ATTRIBUTES},
    )


def anchored(records: Records, status: dict[str, np.ndarray]) -> np.ndarray:
    """Return whether an item shows something that provisional knowledge may ripen beside.

    That is a trusted device or prefix; where the user never showed a device, trusted place and network together (a
    thief may share a city, a carrier, a browser). While nothing at all is trusted, what founded the history serves.
    """
    level = np.where(trusts_anything(records), Status.TRUSTED, Status.FOUNDING)
    deviceless = ~np.any(records["device"]["status"] > 0, axis=1)
    somewhere = (status["place"] >= level) & (status["network"] >= level)
    return (status["device"] >= level) | (status["prefix"] >= level) | (deviceless & somewhere)


def trusts_anything(records: Records) -> np.ndarray:
    """Return whether any attribute of the user is trusted."""
    return np.logical_or.reduce([(records[name]["status"] == Status.TRUSTED).any(axis=1) for name in ATTRIBUTES])
