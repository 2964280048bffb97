"""MaxMind-format files: opened and checked once, asked for whole columns, never trusted to be whole.

A file is mapped into memory: replace it by renaming a new one over it, as geoipupdate does; never write into it.
"""

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import maxminddb
import numpy as np

from riskengine.errors import DataError
from riskengine.locate.decode import decode
from riskengine.locate.record import Spot, System, read_city, read_system, read_traits
from riskengine.locate.tree import NOTHING, SEPARATOR, Tree

T = TypeVar("T")
Stamp = tuple[int, int, int]
# Records kept as read; a city is one record of thousands of networks.
CACHED = 65_536
# What the header's decoder raises, besides its own error, when the header is damaged.
_WRONG_HEADER = (TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError, struct.error)


@dataclass(frozen=True, slots=True)
class Use(Generic[T]):
    """What a file is for: the setting that names it, words of which its type has one, its name, how to read it."""

    setting: str
    words: tuple[str, ...]
    what: str
    read: Callable[[object], T]


CITY: Use[Spot] = Use("RISKENGINE_GEOIP_CITY", ("city", "enterprise"), "a City or Enterprise database", read_city)
FETCHED: Use[Spot] = Use("geo.json", CITY.words, CITY.what, read_city)
ASN: Use[System] = Use("RISKENGINE_GEOIP_ASN", ("asn", "isp", "enterprise"), "an ASN or ISP database", read_system)
ANONYMOUS: Use[int] = Use("RISKENGINE_GEOIP_ANONYMOUS", ("anonymous",), "an Anonymous-IP database", read_traits)


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """What a file says of each address, None where silent, and the prefix that it is true of (of 32 for IPv4)."""

    found: list[T | None]
    prefix: list[int]


class Database(Generic[T]):
    """One open file; threads may ask at once. `damaged` turns true once a record could not be decoded."""

    def __init__(self, path: Path, use: Use[T]) -> None:
        """Open the file; raise DataError with one sentence that names the setting and the file."""
        self.path, self.use = path, use
        self.stamp = stamp(path)
        self.damaged = False
        where = f"{use.setting} names {path}, which"
        try:
            with path.open("rb") as file:
                self._raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            with maxminddb.open_database(path, maxminddb.MODE_MMAP) as reader:
                meta = reader.metadata()
            raw = np.frombuffer(self._raw, np.uint8)
            self._tree = Tree(raw, meta.node_count, meta.record_size, meta.ip_version)
            self.type, self.built = str(meta.database_type), int(meta.build_epoch)
            self.date = datetime.fromtimestamp(self.built, UTC).date().isoformat()
        except FileNotFoundError as error:
            raise DataError(f"{where} does not exist.") from error
        except OSError as error:
            raise DataError(f"{where} cannot be read: {error.strerror or error}.") from error
        except (maxminddb.InvalidDatabaseError, ValueError, *_WRONG_HEADER) as error:
            raise DataError(f"{where} is not a whole MaxMind-format file.") from error
        if not any(word in self.type.lower() for word in use.words):
            raise DataError(f'{where} is of type "{self.type}", not {use.what}.')
        self._read: dict[int, T | None] = {}

    def ask(self, high: np.ndarray, low: np.ndarray) -> Answers[T]:
        """Return what the file says of addresses as two columns of 64 bits; a damaged record says nothing."""
        leaves = self._tree.find(high, low)
        found = [None if offset == NOTHING else self._at(offset) for offset in leaves.offset.tolist()]
        return Answers(found, leaves.prefix.tolist())

    def sample(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return up to `count` addresses that the file knows, drawn over the whole of it, always the same."""
        return self._tree.sample(count)

    def record(self, high: np.ndarray, low: np.ndarray) -> Any:
        """Return the record of the first address as it stands in the file, None if there is none or it is damaged."""
        offset = int(self._tree.find(high[:1], low[:1]).offset[0])
        try:
            return None if offset == NOTHING else self._decode(offset)
        except ValueError:
            self.damaged = True
            return None

    def _at(self, offset: int) -> T | None:
        """Return the record at an offset as its use reads it; each is decoded once while it is remembered."""
        if offset in self._read:
            return self._read[offset]
        if len(self._read) >= CACHED:
            self._read = {}
        value: T | None = None
        try:
            value = self.use.read(self._decode(offset))
        except ValueError:
            self.damaged = True
        self._read[offset] = value
        return value

    def _decode(self, offset: int) -> Any:
        return decode(self._raw, self._tree.size + SEPARATOR, offset)


def open_all(path: Path, use: Use[T]) -> tuple[Database[T], ...]:
    """Return what a setting names: one file, or every .mmdb of a folder (an IPv4 and an IPv6 file)."""
    if not path.is_dir():
        return (Database(path, use),)
    files = sorted(path.glob("*.mmdb"))
    if not files:
        raise DataError(f"{use.setting} names the folder {path}, which holds no .mmdb file.")
    return tuple(Database(file, use) for file in files)


def stamp(path: Path) -> Stamp:
    """Return what changes when a file is replaced; zeros when there is none."""
    try:
        state = path.stat()
    except OSError:
        return (0, 0, 0)
    return (state.st_mtime_ns, state.st_size, state.st_ino)
