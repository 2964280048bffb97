"""Lines woven of texts that many of them have in common: which comes where is told in columns, compiled code copies."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numba
import numpy as np

from riskengine.compiled import compiled
from riskengine.readers.spelling import Spellings
from riskengine.visible import visible_json

_LEAST = 1 << 16
_COMMA = ord(",")
_encode = msgspec.json.Encoder().encode
# The C library's: to, from, how many bytes.
_memmove: Any = numba.types.ExternalFunction("memmove", numba.types.intp(*[numba.types.intp] * 3))


def shown(value: Any) -> bytes:
    """Return a value as JSON that may be printed anywhere: whatever becomes part of a line is made JSON by this, for to
    look for such characters in whole lines would take as long as to decide them."""
    return visible_json(_encode(value))


class Lines(NamedTuple):
    """Lines end to end (uint8), and where each ends."""

    data: np.ndarray
    ends: np.ndarray

    def split(self) -> list[bytes]:
        """Return each line by itself.

        >>> Lines(np.frombuffer(b"one\\ntwo\\n", np.uint8), np.array([4, 8])).split()
        [b'one\\n', b'two\\n']
        """
        whole, ends = self.data.tobytes(), self.ends.tolist()
        return [whole[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


class Pool:
    """Texts end to end, in memory that grows. Each is known by where it begins and how long it is: by a span."""

    def __init__(self) -> None:
        self.data, self.used = np.empty(_LEAST, np.uint8), 0

    def put(self, text: bytes) -> tuple[int, int]:
        """Take in a text; return its span."""
        begin, end = self.used, self.used + len(text)
        if end > len(self.data):
            more = np.empty(2 * end, np.uint8)
            more[:begin] = self.data[:begin]
            self.data = more
        self.data[begin:end] = np.frombuffer(text, np.uint8)
        self.used = end
        return begin, len(text)

    def texts(self, texts: Sequence[bytes]) -> np.ndarray:
        """Take in texts; return their spans, a row each."""
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        begin, _ = self.put(b"".join(texts))
        return _spans(begin, lengths)

    def quoted(self, texts: Sequence[str]) -> np.ndarray:
        """Take in texts as JSON; return their spans.

        >>> pool = Pool()
        >>> pool.quoted(["one", "two"]).tolist(), pool.quoted(['"']).tolist(), bytes(pool.data[: pool.used])
        ([[0, 5], [5, 5]], [[10, 4]], b'"one""two""\\\\""')
        """
        whole = "".join(texts)
        if not (whole.isascii() and whole.isprintable()) or '"' in whole or "\\" in whole:
            return self.texts(list(map(shown, texts)))
        lengths = np.fromiter(map(len, texts), np.int64, len(texts)) + 2
        begin, _ = self.put(('"' + '""'.join(texts) + '"').encode())
        return _spans(begin, lengths)

    def alike(self, texts: np.ndarray) -> np.ndarray:
        """Take in texts of one length (bytes of a fixed width); return their spans."""
        begin, _ = self.put(texts.tobytes())
        return _even(begin, texts)

    def json(self, values: list[Any]) -> np.ndarray:
        """Take in numbers or truths as JSON, in which NaN is null; return their spans."""
        begin, length = self.put(_encode(values)[1:-1] + b"," * bool(values))
        ends = np.flatnonzero(self.data[begin : begin + length] == _COMMA) + begin
        begins = np.concatenate([[begin], ends[:-1] + 1]) if values else ends
        return np.stack([begins, ends - begins], axis=1)


class Shared:
    """Texts in JSON that are made of a few values each: every one is made once, by `make`, and kept in a pool."""

    def __init__(self, pool: Pool, make: Callable[..., Any]) -> None:
        self._pool, self._make = pool, make
        self._known: Spellings | None = None

    def spans(self, *columns: np.ndarray) -> np.ndarray:
        """Return the span of the text that is made of each row's values."""
        dtype = np.dtype([(f"f{at}", one.dtype, one.shape[1:]) for at, one in enumerate(columns)])
        if self._known is None:
            # No method of this object: a cycle would keep all texts until somebody looks for cycles.
            self._known = Spellings(partial(_made, self._pool, self._make, dtype))
        keys = np.empty(len(columns[0]), dtype)
        for at, column in enumerate(columns):
            keys[f"f{at}"] = column
        raw = keys.tobytes()
        return self._known.meanings(np.frombuffer(raw, np.uint8), raw.decode("latin-1"), _even(0, keys))


def _made(pool: Pool, make: Callable[..., Any], dtype: np.dtype[Any], raw: str) -> tuple[int, int]:
    """Put the text into a pool that `make` makes of the values of a row (its bytes as characters)."""
    [values] = np.frombuffer(raw.encode("latin-1"), dtype).tolist()
    return pool.put(shown(make(*values)))


def _spans(begin: int, lengths: np.ndarray) -> np.ndarray:
    """Return the spans of texts of these lengths that stand end to end from `begin` on."""
    return np.stack([begin + np.cumsum(lengths) - lengths, lengths], axis=1)


def _even(begin: int, rows: np.ndarray) -> np.ndarray:
    """Return the spans of the bytes of rows that stand end to end from `begin` on."""
    width = rows.dtype.itemsize
    return np.stack([begin + width * np.arange(len(rows)), np.full(len(rows), width)], axis=1)


class Frame(NamedTuple):
    """The spans of a line before, between and after what differs, and the columns of that."""

    fixed: list[tuple[int, int]]
    columns: list[int]


def table(frames: Sequence[Frame]) -> tuple[np.ndarray, np.ndarray]:
    """Return frames as `woven` takes them."""
    most = max(len(frame.columns) for frame in frames)
    fixed, columns = np.zeros((len(frames), most + 1, 2), np.int64), np.full((len(frames), most), -1)
    for at, frame in enumerate(frames):
        fixed[at, : len(frame.fixed)] = frame.fixed
        columns[at, : len(frame.columns)] = frame.columns
    return fixed, columns


@compiled
def woven(
    pool: np.ndarray, spans: np.ndarray, fixed: np.ndarray, columns: np.ndarray, frames: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return Lines: `frames` says which frame each has, `spans` (column, line, 2) what stands where it differs."""
    ends = np.empty(len(frames), np.int64)
    total = 0
    for line in range(len(frames)):
        frame = frames[line]
        total += fixed[frame, 0, 1]
        for at in range(columns.shape[1]):
            if columns[frame, at] < 0:
                break
            total += spans[columns[frame, at], line, 1] + fixed[frame, at + 1, 1]
        ends[line] = total
    data, end = np.empty(total, np.uint8), 0
    for line in range(len(frames)):
        frame = frames[line]
        end = _copied(pool, fixed[frame, 0, 0], fixed[frame, 0, 1], data, end)
        for at in range(columns.shape[1]):
            column = columns[frame, at]
            if column < 0:
                break
            end = _copied(pool, spans[column, line, 0], spans[column, line, 1], data, end)
            end = _copied(pool, fixed[frame, at + 1, 0], fixed[frame, at + 1, 1], data, end)
    return data, ends


@compiled
def _copied(pool: np.ndarray, begin: int, length: int, data: np.ndarray, at: int) -> int:
    if min(begin, length, at) < 0 or begin + length > len(pool) or at + length > len(data):
        raise IndexError("a span lies outside of what it is of")
    # As a loop over bytes, which is what numba makes of slices, it would take five times as long.
    _memmove(data.ctypes.data + at, pool.ctypes.data + begin, length)
    return at + length


def chained(parts: Sequence[Lines]) -> Lines:
    """Return the lines of several parts one after another."""
    if len(parts) == 1:
        return parts[0]
    begun = np.cumsum([0, *(len(part.data) for part in parts)])
    ends = [part.ends + begin for part, begin in zip(parts, begun, strict=False)]
    nothing = Lines(np.empty(0, np.uint8), np.empty(0, np.int64))
    return Lines(np.concatenate([nothing.data, *(part.data for part in parts)]), np.concatenate([nothing.ends, *ends]))


def joined(parts: Sequence[Lines], places: Sequence[np.ndarray]) -> Lines:
    """Return the lines of several parts as one, each at its place among all."""
    lengths = np.zeros(sum(map(len, places)), np.int64)
    for part, place in zip(parts, places, strict=True):
        lengths[place] = np.diff(part.ends, prepend=0)
    ends = np.cumsum(lengths)
    data = np.empty(ends[-1] if len(ends) else 0, np.uint8)
    for part, place in zip(parts, places, strict=True):
        _placed(part.data, part.ends, ends[place], data)
    return Lines(data, ends)


@compiled
def _placed(lines: np.ndarray, own: np.ndarray, ends: np.ndarray, data: np.ndarray) -> None:
    begin = 0
    for line in range(len(own)):
        length = own[line] - begin
        _copied(lines, begin, length, data, ends[line] - length)
        begin = own[line]
