"""A batch: any run of the sequence of events and reports, as columns of numbers; and its rounds."""

from collections.abc import Iterator
from enum import IntEnum

import numpy as np

ITEM_SCHEMA = 1


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
        ("sensitivity", "i1"),  # index into SENSITIVITIES as the caller gave it; -1 for the policy's
        ("resource", "i4"),  # index into the batch's resource names; -1 for none
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
        ("address_high", "u8"),  # the address as 128 bits; IPv4 as ::ffff:a.b.c.d
        ("address_low", "u8"),
        ("prefix", "u4"),  # key of the /24 or /48; 0 unknown
        ("line", "u4"),  # key of the address, of IPv6 the /64; 0 unknown
        ("device", "u4"),  # key of the device id; 0 none was sent
        ("agent", "u4"),  # key of the user-agent family; 0 none was sent
        ("user_failures", "i4"),  # failures on the user in the attempts window
        ("address_attempts", "i4"),  # of the address in the attempts window
        ("address_failures", "i4"),
        ("address_users", "i4"),  # distinct users tried from the address
        ("prefix_attempts", "i4"),
        ("prefix_failures", "i4"),
        ("prefix_users", "i4"),
        # What assessing adds; learning needs no more than what stands here.
        ("kind", "i1"),  # network Kind as resolved
        ("radius", "f8"),  # km, given or the kind's default; NaN unknown
        ("decision", "i1"),  # Decision
        ("contradicted", "?"),  # the journey was impossible: somebody else is using the account
        ("fallback", "?"),  # answered without the store: teaches nothing unless reported passed
    ]
)

Batch = np.ndarray  # of ITEM


def empty(count: int) -> Batch:
    """Return `count` items that say nothing: every number unknown, every code "none"."""
    batch = np.zeros(count, ITEM)
    batch["user"] = -1
    batch["source"] = -1
    batch["result"] = -1
    batch["sensitivity"] = -1
    batch["resource"] = -1
    batch["decision"] = Decision.UNDECIDED
    batch["located"] = Located.UNKNOWN
    for name in ("latitude", "longitude", "given_radius", "radius"):
        batch[name] = np.nan
    return batch


def rounds(users: np.ndarray) -> Iterator[np.ndarray]:
    """Yield index arrays: round k holds the k-th item of each user, in batch order; -1 (no user) all in the first.

    >>> [r.tolist() for r in rounds(np.array([3, -1, 3, 5, 3, -1]))]
    [[0, 1, 3, 5], [2], [4]]
    """
    if not len(users):
        return
    order = np.argsort(users, kind="stable")
    ordered = users[order]
    starts = np.r_[True, ordered[1:] != ordered[:-1]]
    first = np.maximum.accumulate(np.where(starts, np.arange(len(users)), 0))
    turn = np.where(ordered < 0, 0, np.arange(len(users)) - first)
    of_item = np.empty(len(users), np.int64)
    of_item[order] = turn
    by_turn = np.argsort(of_item, kind="stable")
    cuts = np.flatnonzero(np.diff(of_item[by_turn])) + 1
    yield from np.split(by_turn, cuts)


def country_code(letters: str | None) -> int:
    """Return two letters as one number, 0 for unknown.

    >>> hex(country_code("PT"))
    '0x5054'
    """
    if letters is None or len(letters) != 2 or not letters.isascii():
        return 0
    return ord(letters[0].upper()) << 8 | ord(letters[1].upper())


def country_letters(code: int) -> str | None:
    """Return the two letters of a country code, None for unknown.

    >>> country_letters(0x5054)
    'PT'
    """
    return f"{code >> 8:c}{code & 255:c}" if code else None
