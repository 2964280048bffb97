"""Records of a MaxMind-format file's data section, decoded so that no damage can do more than raise ValueError.

The C reader of maxminddb 3.2.0 crashes the process when a damaged map has a key that is not text (8 of 4,000 flipped
bytes of a small file), and its Python reader takes seven times as long to find a record; this decodes each record once.
"""

import struct
from typing import Any

# No record of any edition comes near these; a damaged one could claim sixteen million entries, or hold itself.
MOST_VALUES = 4096
DEEPEST = 32
_EXTENDED, _POINTER, _TEXT, _DOUBLE, _BYTES, _U16, _U32, _MAP = range(8)
_I32, _U64, _U128, _ARRAY, _BOOLEAN, _FLOAT = 8, 9, 10, 11, 14, 15
_LONGEST = {_U16: 2, _U32: 4, _U64: 8, _U128: 16}
# Base of each pointer size, and of each size that follows in 1, 2 or 3 bytes.
_POINTER_BASE = (0, 2048, 526_336, 0)
_SIZE_BASE = (29, 285, 65_821)


def decode(raw: Any, base: int, offset: int) -> Any:
    """Return the value at `offset` of a file's bytes whose data section begins at `base`; ValueError if damaged."""
    return _Decoder(raw, base).value(offset, 0)[0]


class _Decoder:
    """One record's decoding, with its allowance."""

    def __init__(self, raw: Any, base: int) -> None:
        self._raw, self._base, self._left = raw, base, MOST_VALUES

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        """Return the value at `at` and where the next one begins."""
        self._left -= 1
        if self._left < 0 or depth > DEEPEST:
            raise ValueError("a record is too large")
        control = self._take(at, 1)[0]
        kind, at = control >> 5, at + 1
        if kind == _POINTER:
            target, at = self._pointer(control, at)
            return self.value(target, depth + 1)[0], at
        if kind == _EXTENDED:
            kind, at = 7 + self._take(at, 1)[0], at + 1
        size, at = self._size(control & 31, at)
        if kind == _MAP:
            return self._map(size, at, depth)
        if kind == _ARRAY:
            return self._array(size, at, depth)
        if kind == _BOOLEAN:
            return bool(size), at
        return self._scalar(kind, self._take(at, size)), at + size

    def _take(self, at: int, size: int) -> bytes:
        taken: bytes = self._raw[at : at + size]
        if at < self._base or len(taken) != size:
            raise ValueError("a record reaches beyond the file")
        return taken

    def _pointer(self, control: int, at: int) -> tuple[int, int]:
        """Return where a pointer points and where the next value begins."""
        more = control >> 3 & 3
        high = control & 7 if more < 3 else 0
        target = int.from_bytes(bytes([high]) + self._take(at, more + 1))
        return self._base + target + _POINTER_BASE[more], at + more + 1

    def _size(self, size: int, at: int) -> tuple[int, int]:
        """Return a value's size and where it begins."""
        if size < 29:
            return size, at
        more = size - 28
        return _SIZE_BASE[more - 1] + int.from_bytes(self._take(at, more)), at + more

    def _map(self, size: int, at: int, depth: int) -> tuple[dict[str, Any], int]:
        found = {}
        for _ in range(size):
            key, at = self.value(at, depth + 1)
            if not isinstance(key, str):
                raise ValueError("a key is not text")
            found[key], at = self.value(at, depth + 1)
        return found, at

    def _array(self, size: int, at: int, depth: int) -> tuple[list[Any], int]:
        found = []
        for _ in range(size):
            value, at = self.value(at, depth + 1)
            found.append(value)
        return found, at

    def _scalar(self, kind: int, taken: bytes) -> Any:
        if kind == _TEXT:
            return taken.decode()
        if kind in _LONGEST and len(taken) <= _LONGEST[kind]:
            return int.from_bytes(taken)
        if kind == _I32 and len(taken) <= 4:
            return int.from_bytes(taken.rjust(4, b"\0"), signed=True)
        if (kind, len(taken)) == (_DOUBLE, 8):
            return struct.unpack(">d", taken)[0]
        if (kind, len(taken)) == (_FLOAT, 4):
            return struct.unpack(">f", taken)[0]
        if kind == _BYTES:
            return taken
        raise ValueError("a value is of no known type or size")
