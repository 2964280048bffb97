"""What one user's earlier logins looked like: a record of fixed size; it holds facts, the policy judges them."""

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from riskengine.batch import layout_before, renew
from riskengine.compiled import compiled, signed
from riskengine.errors import RiskEngineError
from riskengine.event import DAY_MS
from riskengine.history.sparse import restored, squeezed

SCHEMA = 3  # in which schema 2 is stored without its zeros
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
ABSENT = 1
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
_ALIKE = (2, SCHEMA)  # schemas of the same layout


def _flat() -> np.dtype:
    """Return RECORD with the slots of all attributes as one field `values`, one attribute's behind another's."""
    assert RECORD.names is not None
    fields: list[tuple[object, ...]] = []
    for name in RECORD.names:
        part, shape = RECORD[name].subdtype or (RECORD[name], ())
        if name not in ROOM:
            fields.append((name, part, shape))
        elif name == ATTRIBUTES[0]:
            fields.append(("values", _SHOWN, sum(ROOM.values())))
    return np.dtype(fields)


# The same bytes as what compiled functions take: an attribute is a stretch of `values`, FIRST[at] up to FIRST[at + 1].
FLAT = _flat()
FIRST = np.cumsum([0, *ROOM.values()])
PLACE, COUNTRY, PREFIX, NETWORK, DEVICE, AGENT = range(len(ATTRIBUTES))
MASKED = HABITS.index("masked")
NONE, PROVISIONAL, FOUNDING, TRUSTED = map(int, Status)

Records = np.ndarray  # of RECORD, or FLAT


def blank(count: int) -> Records:
    """Return the histories of `count` users of whom nothing is known."""
    records = np.zeros(count, RECORD)
    records["schema"] = SCHEMA
    records["zone"] = NO_OFFSET
    return records


def pack(records: Records) -> list[bytes]:
    """Return each history as the bytes that are sealed and stored: its schema, then what is not zero; never longer
    than the record itself."""
    size, whole = RECORD.itemsize, records.tobytes()
    thin = squeezed(np.frombuffer(whole, np.uint8).reshape(len(records), size))
    head = bytes([SCHEMA])
    return [head + row if len(row) + 1 < size else whole[at * size : at * size + size] for at, row in enumerate(thin)]


def unpack(stored: Sequence[bytes | None]) -> Records:
    """Return stored histories as records, None as a blank one; RiskEngineError for bytes of a schema not known."""
    records, size = blank(len(stored)), RECORD.itemsize
    thin, whole, older = dict[int, bytes](), dict[int, bytes](), dict[int, bytes]()
    for at, data in enumerate(stored):
        if data is not None:
            is_thin = data[0] == SCHEMA and len(data) < size
            (thin if is_thin else whole if data[0] in _ALIKE and len(data) == size else older)[at] = data
    if thin:
        records[list(thin)] = restored([data[1:] for data in thin.values()], size).view(RECORD)[:, 0]
    if whole:
        records[list(whole)] = np.frombuffer(b"".join(whole.values()), RECORD)
    for at, data in older.items():
        if data[0] != 1 or len(data) != _RECORD_1.itemsize:
            raise RiskEngineError(f"a stored history has schema {data[0]}; this version reads up to {SCHEMA}")
        renew(np.frombuffer(data, _RECORD_1), records[at : at + 1])
        # It did not count how often an attribute was shown; that is as often as it learned, more or less.
        records["shown"][at] = min(int(records["learned"][at]), AGED - 1)
    records["schema"] = SCHEMA
    return records


@compiled
def day_at(time: int) -> int:
    """Return the day (since 1970, UTC) of a time in ms, as records keep it."""
    return min(max(time // DAY_MS, 0), 65535)


@compiled
def place_key(latitude: float, longitude: float) -> int:
    """Return a point as a 32-bit key on a grid of 0.01 degrees (about 1 km), 0 where the point is unknown.

    >>> place_key(0.0, 0.0), place_key(math.nan, 1.0)
    (589889536, 0)
    """
    if math.isnan(latitude + longitude):
        return 0
    north, east = np.rint(latitude * 100) + 9001, np.rint(longitude * 100) % 36000
    return signed(north) << 16 | signed(east)


@compiled
def place_of(key: int) -> tuple[float, float]:
    """Return latitude and longitude of a place key, NaN for 0."""
    if key == 0:
        return math.nan, math.nan
    east = key & 0xFFFF
    return ((key >> 16) - 9001) / 100, (east - 36000 if east > 18000 else east) / 100
