"""A batch: any run of the sequence of events and reports, as rows of numbers."""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache

import numpy as np

ITEM_SCHEMA = 2


class Role(IntEnum):
    """Whether an item is a login event or a report on one."""

    EVENT = 0
    REPORT = 1


class Located(IntEnum):
    """What is known of where an address is."""

    PLACE = 0  # a point with a radius
    COUNTRY = 1  # the point stands for a whole country
    UNKNOWN = 2  # a public address that no database knows
    PRIVATE = 3  # private, loopback, CGNAT, documentation: not locatable


class Decision(IntEnum):
    """What the caller is told to do; UNDECIDED is an item that has not been assessed."""

    UNDECIDED = -1
    ALLOW = 0
    STEP_UP = 1
    DENY = 2


# One row per item. A report repeats the columns of the event it speaks of, with a time, role and result of its own.
# The row is sealed with the event, so that a history can be folded again; a change here is a new ITEM_SCHEMA.
ITEM = np.dtype(
    [
        ("row", "i8"),  # the event's row id in the store
        ("source", "i4"),  # of a report on an event of the same batch, that event's index; else -1
        ("event", "u8"),  # key of the event's id: what a report finds its pending step-up by
        ("time", "i8"),  # ms since 1970; of a report, when it was made
        ("event_time", "i8"),  # ms since 1970 of the event itself
        ("user", "i4"),  # index of the user's history in the batch; -1 for no such account
        ("role", "i1"),  # Role
        ("result", "i1"),  # of a report, index into REPORT_RESULTS; -1
        ("outcome", "i1"),  # index into OUTCOMES
        ("mfa", "i1"),  # 0 none, 1 passed, 2 failed
        ("mfa_at", "i8"),  # ms since 1970; the event's own time where none was given
        ("action", "i1"),  # index into ACTIONS
        ("sensitivity", "i1"),  # index into SENSITIVITIES as given, -1 for the policy's; of a decided item as it was
        ("resource", "i4"),  # index into the batch's resource names; -1 for none
        ("groups", "i4"),  # index into the batch's sets of groups; -1 for none
        ("reports", "?"),  # the caller reports how step-ups end
        ("latitude", "f8"),  # degrees, NaN unknown
        ("longitude", "f8"),
        ("given_radius", "f8"),  # km with 67 % confidence as the database states it, NaN when it does not
        ("located", "i1"),  # Located
        ("country", "u2"),  # two letters, first in the high byte; 0 unknown
        ("asn", "u4"),  # 0 unknown
        ("traits", "u4"),  # Trait bits
        ("listed", "i1"),  # Kind of the ASN table, 0 unlisted
        ("listed_confidence", "f4"),  # 0..1
        ("claimed", "i1"),  # Kind the client claims that adds risk, else 0
        ("claimed_type", "i1"),  # index into NETWORK_TYPES as the client claims it; -1 for none
        ("offset", "f8"),  # minutes east of UTC at the address then, NaN unknown
        ("client_offset", "f8"),  # minutes east of UTC on the client's clock then, NaN unknown
        ("client_latitude", "f8"),  # degrees, as the client claims them, NaN unknown
        ("client_longitude", "f8"),
        ("client_accuracy", "f8"),  # km, NaN unknown
        ("rtt", "f8"),  # ms of a round trip seen at an edge, NaN unknown
        ("edge", "i4"),  # index into the batch's edge names; -1 for none
        ("address_high", "u8"),  # the address as 128 bits; IPv4 as ::ffff:a.b.c.d
        ("address_low", "u8"),
        ("prefix", "u4"),  # key of the /24 or /48; 0 unknown
        ("line", "u4"),  # key of the address, of IPv6 the /64; 0 unknown
        ("device", "u4"),  # key of the device id; 0 none was sent
        ("agent", "u4"),  # key of the user-agent family; 0 none was sent
        ("user_failures", "i4"),  # failures on the user in the attempts window
        ("address_attempts", "i4"),  # of the address in the attempts window
        ("address_failures", "i4"),
        ("address_users", "i4"),  # distinct users tried in vain from the address
        ("prefix_attempts", "i4"),
        ("prefix_failures", "i4"),
        ("prefix_users", "i4"),
        # In the last full days: how many users known for long logged in from there, and on how many days, added up over
        # them; of the line also what failed there, and of how many users.
        ("line_regulars", "i4"),
        ("line_user_days", "i4"),
        ("line_attempts", "i4"),
        ("line_failures", "i4"),
        ("line_failed_users", "i4"),
        ("prefix_regulars", "i4"),
        ("prefix_user_days", "i4"),
        ("network_regulars", "i4"),
        ("place_regulars", "i4"),
        ("country_regulars", "i4"),
        # What assessing adds; learning needs no more than what stands here.
        ("kind", "i1"),  # network Kind as resolved
        ("radius", "f8"),  # km, given or the kind's default; NaN unknown
        ("decision", "i1"),  # Decision
        ("contradicted", "?"),  # the journey was impossible: somebody else is using the account
        ("hop", "u4"),  # key of the two ends of a journey that looked impossible; 0 none
        ("fallback", "?"),  # answered without the store: teaches nothing unless reported passed
    ]
)

# What schema 2 added to schema 1.
ADDED_2 = frozenset(
    (
        *("groups", "claimed_type", "offset", "client_offset", "client_latitude", "client_longitude"),
        *("client_accuracy", "rtt", "edge", "line_regulars", "line_user_days", "line_attempts", "line_failures"),
        *("line_failed_users", "prefix_regulars", "prefix_user_days", "network_regulars", "place_regulars"),
        *("country_regulars", "hop"),
    )
)

Batch = np.ndarray  # of ITEM


@dataclass(frozen=True, slots=True)
class Names:
    """The texts of a batch that its items point to by index: resources, sets of groups, edges."""

    resources: dict[str, int] = field(default_factory=dict)
    groups: dict[tuple[str, ...], int] = field(default_factory=dict)
    edges: dict[str, int] = field(default_factory=dict)


def _blank() -> Batch:
    row = np.zeros(1, ITEM)
    for name in ("user", "source", "result", "sensitivity", "resource", "groups", "edge", "claimed_type"):
        row[name] = -1
    for name in ("latitude", "longitude", "given_radius", "radius", "offset", "client_offset", "rtt"):
        row[name] = np.nan
    for name in ("client_latitude", "client_longitude", "client_accuracy"):
        row[name] = np.nan
    row["decision"] = Decision.UNDECIDED
    row["located"] = Located.UNKNOWN
    return row


_BLANK = _blank()


def empty(count: int) -> Batch:
    """Return `count` items that say nothing: every number unknown, every code "none"."""
    return np.repeat(_BLANK, count)


def layout_before(layout: np.dtype, added: Collection[str]) -> np.dtype:
    """Return a layout as it was before the fields `added`, at any depth, came to it."""
    assert layout.names is not None
    fields: list[tuple[object, ...]] = []
    for name in layout.names:
        if name not in added:
            part, shape = layout[name].subdtype or (layout[name], ())
            fields.append((name, layout_before(part, added) if part.names else part, shape))
    return np.dtype(fields)


def renew(old: np.ndarray, into: np.ndarray) -> np.ndarray:
    """Copy, in place, what an older layout holds into rows of a newer one; return these."""
    for name in old.dtype.names or ():
        if old.dtype[name].base.names:
            renew(old[name], into[name])
        else:
            into[name] = old[name]
    return into


def country_code(letters: str | None) -> int:
    """Return two letters as one number, 0 for unknown.

    >>> hex(country_code("PT"))
    '0x5054'
    """
    if letters is None or len(letters) != 2 or not letters.isascii():
        return 0
    return ord(letters[0].upper()) << 8 | ord(letters[1].upper())


@cache
def country_letters(code: int) -> str | None:
    """Return the two letters of a country code, None for unknown.

    >>> country_letters(0x5054)
    'PT'
    """
    return f"{code >> 8:c}{code & 255:c}" if code else None
