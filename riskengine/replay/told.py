"""What the items of a log say by themselves, as rows of numbers: everything that repeats stands in the register."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from riskengine.batch import Role

NOBODY = -1
NO_SOFTWARE, NO_DEVICE = (NOBODY, 0), (0, 0)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_OF_BODY = ("time", "event", "user", "address", "outcome", "mfa", "action", "sensitivity", "resource")

# Texts stand as numbers of the register; digests are Python's hashes of this process, which its seed keys,
# or made of such.
TOLD = np.dtype(
    [
        ("time", "i8"),  # ms since 1970; of a report, when it was made
        ("event", "i8"),  # digest of the event's id
        ("body", "i8"),  # digest of the event as it was given
        ("user", "i4"),  # -1: no such account
        ("login", "i4"),  # of an event without account; -1: none
        ("address", "i4"),
        ("agent", "i4"),  # family of software; -1: none was sent
        ("device", "u4"),  # key of the device id; 0: none was sent
        ("outcome", "i1"),
        ("mfa", "i1"),
        ("action", "i1"),
        ("sensitivity", "i1"),
        ("resource", "i4"),
        ("source", "i4"),  # which log …
        ("line", "i8"),  # … and where in it
        ("number", "i8"),  # as how manieth item it was read
        ("role", "i1"),  # Role
        ("result", "i1"),  # of a report
        ("rank", "i8"),  # its place in the order in which items are decided
        ("mfa_at", "i8"),
        ("groups", "i4"),
        ("claimed", "i1"),
        ("claimed_type", "i1"),
        ("client_offset", "f8"),
        ("client_latitude", "f8"),
        ("client_longitude", "f8"),
        ("client_accuracy", "f8"),
        ("rtt", "f8"),
        ("edge", "i4"),
    ]
)
# What every item has, in this order; the rest is rare.
COMMON = TOLD.names[: TOLD.names.index("number")] if TOLD.names else ()
CLAIMS = TOLD.names[TOLD.names.index("mfa_at") :] if TOLD.names else ()
EVENT, REPORT = int(Role.EVENT), int(Role.REPORT)


class Chunk(NamedTuple):
    """A run of items: TOLD rows, and the id of each event ("" of a report)."""

    rows: np.ndarray
    ids: list[str]


def digests(rows: np.ndarray, more: Sequence[np.ndarray]) -> np.ndarray:
    """Return a digest of each event as it was given, of its row and of what its row does not tell (int64 columns)."""
    found = np.full(len(rows), _SPREAD)
    for column in (*(rows[name].astype(np.int64) for name in _OF_BODY), *more):
        found = (found ^ column.view(np.uint64)) * _SPREAD
        found ^= found >> np.uint64(32)
    return found.view(np.int64)


def silent(count: int) -> np.ndarray:
    """Return rows that claim nothing."""
    rows = np.zeros(count, TOLD)
    for name in ("groups", "claimed_type", "edge"):
        rows[name] = -1
    for name in ("client_offset", "client_latitude", "client_longitude", "client_accuracy", "rtt"):
        rows[name] = np.nan
    return rows
