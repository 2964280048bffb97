"""The shipped table of address ranges: country, autonomous system and flags of every routed network.

data/asn.npz is made from IPFire Location (CC BY-SA 4.0) by data/build/asn.py. Its arrays:

    created            s since 1970 when the source was made
    v4_step, v6_step   differences of the ranges' starts; an IPv6 start is the address's first 48 bits
    v4_row, v6_row     the row that a range says
    asn, flags, country   the rows; 0 is unknown; a country is two letters, first in the high byte
    number             differences of the AS numbers that have a name
    names              their names, UTF-8, a line each
"""

import zipfile
from datetime import UTC, datetime
from functools import cache
from lzma import LZMAError
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from riskengine.compiled import compiled
from riskengine.errors import DataError
from riskengine.network import Trait

_FLAGS = (
    (1, Trait.FLAG_ANONYMOUS_PROXY),
    (2, Trait.FLAG_SATELLITE),
    (4, Trait.FLAG_ANYCAST),
    (8, Trait.FLAG_DROP),
)
V6_SHIFT = np.uint64(16)  # from an address's first 64 bits to its first 48: no prefix of the source is longer
_BYTE = np.uint64(0xFF)
_LAST_32 = np.uint64(0xFFFFFFFF)


class Entry(NamedTuple):
    """What the table says of addresses; `spans_block` is whether it says so of the whole /24 or /48."""

    country: np.ndarray
    asn: np.ndarray
    traits: np.ndarray
    spans_block: np.ndarray


class Registry:
    """The table, in memory; immutable, so that any thread may ask."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._v4 = np.cumsum(arrays["v4_step"], dtype=np.uint64)
        self._v6 = np.cumsum(arrays["v6_step"], dtype=np.uint64)
        self._v4_row, self._v6_row = arrays["v4_row"], arrays["v6_row"]
        self._country, self._asn = arrays["country"], arrays["asn"]
        self._traits = np.zeros(len(arrays["flags"]), np.uint32)
        for flag, trait in _FLAGS:
            self._traits |= np.where(arrays["flags"] & flag, np.uint32(trait), np.uint32(0))
        numbers = np.cumsum(arrays["number"], dtype=np.uint64).tolist()
        self._names = dict(zip(numbers, arrays["names"].tobytes().split(b"\n"), strict=True))
        self.date = datetime.fromtimestamp(int(arrays["created"][0]), UTC).date().isoformat()
        if not len(self._v4_row) == len(self._v4) or not len(self._v6_row) == len(self._v6):
            raise ValueError("its columns differ in length")

    def find(self, high: np.ndarray, low: np.ndarray) -> Entry:
        """Return what the table says of addresses, given as two columns of 64 bits."""
        row, spans = _rows(self._v4, self._v4_row, self._v6, self._v6_row, high, low)
        return Entry(self._country[row], self._asn[row], self._traits[row], spans)

    def name(self, asn: int) -> str | None:
        """Return the registry's name of an autonomous system."""
        name = self._names.get(asn)
        return None if name is None else name.decode()


@compiled
def _rows(
    v4: np.ndarray, v4_row: np.ndarray, v6: np.ndarray, v6_row: np.ndarray, high: np.ndarray, low: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of each address, and whether its whole block has it."""
    row, spans = np.empty(len(high), np.int64), np.ones(len(high), np.bool_)
    for at in range(len(high)):
        if high[at] == 0 and low[at] >> np.uint64(32) == np.uint64(0xFFFF):
            value = low[at] & _LAST_32
            row[at] = v4_row[_last(v4, value)]
            spans[at] = _last(v4, value & ~_BYTE) == _last(v4, value | _BYTE)
        else:
            row[at] = v6_row[_last(v6, high[at] >> V6_SHIFT)]
    return row, spans


@compiled
def _last(starts: np.ndarray, value: np.uint64) -> Any:
    """Return the last range that begins at a value or before it."""
    return np.searchsorted(starts, value, "right") - 1


@cache
def load(path: Path) -> Registry:
    """Return the table of a file, read once a process; DataError if it cannot be read."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return Registry({name: file[name] for name in file.files})
    except (OSError, ValueError, KeyError, EOFError, LZMAError, zipfile.BadZipFile) as error:
        raise DataError(f"The built-in network table {path} cannot be used: {error}.") from error
