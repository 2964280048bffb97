"""A JSON document as a stream of its records: an array's elements, an envelope's, or values one after another.

Each element is given as its own text, as if it were a line, so formats need not know. Memory is bounded by MAX_LINE,
whatever the document's size. What is damaged costs itself: after an element that is no JSON, reading goes on where the
next one begins as the others did.
"""

import re
from collections.abc import Iterator
from typing import IO

import msgspec

from riskengine.errors import Fault, InvalidInput
from riskengine.readers.lines import MAX_LINE, Raw

# Where lists of records stand in vendors' envelopes.
Envelopes = frozenset[tuple[str, ...]]

_CHUNK = 1 << 18
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STRING = rb'"(?:[^"\\\n]++|\\.)*+"'
# The next brace or bracket, whatever strings and plain values stand before it.
_BRACKET = re.compile(rb"(?:[^\"{}\[\]]++|" + _STRING + rb")*+([{}\[\]])", re.DOTALL)
# The next thing in an envelope: a key (with its colon), a string, a bracket.
_TOKEN = re.compile(rb"(" + _STRING + rb")(\s*+:)?|([{}\[\]])", re.DOTALL)
_BLANK = re.compile(rb"[\s,]*+")
_VALUE = re.compile(_STRING + rb"|[^,{}\[\]\s]++", re.DOTALL)
# How an element begins that follows another: all up to its first key.
_BEGINNING = re.compile(rb"(\s*+,?\s*+)\{\s*+(" + _STRING + rb")", re.DOTALL)
_ANOTHER = re.compile(rb"(?:\n[ \t]*+,?|\}\s*+,)\s*+(?=\{)")
_SEAM = 4096
_DEEPEST = 2  # objects around a list of records
_checker = msgspec.json.Decoder(msgspec.Raw)


def is_document(first_line: bytes) -> bool:
    """Return whether a log that begins with this line (a byte order mark apart) is a document and not lines of JSON.

    >>> is_document(b'[{"a": 1},'), is_document(b'{"value": ['), is_document(b'{"a": 1}'), is_document(b'{"a')
    (True, True, False, False)
    """
    line = first_line.removeprefix(_BYTE_ORDER_MARK).strip()
    if line.startswith(b"["):
        return True
    return line.startswith(b"{") and (line.endswith((b"{", b"[", b",")) or len(line) >= MAX_LINE)


def elements(stream: IO[bytes], envelopes: Envelopes) -> Iterator[Raw]:
    """Yield a document's records from where the stream stands; `number` is each one's ordinal, from 1.

    Lists at one of the paths `envelopes` in an outermost object are lists of records. Of an element above MAX_LINE only
    the beginning is kept. Raise InvalidInput after the last element where the document stops before its end.
    """
    return _Document(stream, envelopes).elements()


class _Document:
    """A window on the stream: `buffer` from `at` on is what has not been given out."""

    def __init__(self, stream: IO[bytes], envelopes: Envelopes) -> None:
        self._stream, self._envelopes = stream, envelopes
        self._buffer, self._at, self._over = b"", 0, False
        self._number, self._depth, self._torn = 0, 0, False
        self._before: re.Pattern[bytes] | None = None  # how an element begins that follows another

    def elements(self) -> Iterator[Raw]:
        self._more()
        if self._buffer.startswith(_BYTE_ORDER_MARK):
            self._at = len(_BYTE_ORDER_MARK)
        while self._skip_blanks():
            first = self._buffer[self._at : self._at + 1]
            if first == b"[":
                self._at += 1
                yield from self._list()
            elif first == b"{" and self._enter():
                yield from self._list()
                self._leave()
            else:
                yield self._element()

    def _more(self) -> bool:
        """Read on, dropping what was given out; return whether there was more."""
        chunk = b"" if self._over else self._stream.read(_CHUNK)
        self._over = not chunk
        if chunk:
            self._buffer, self._at = self._buffer[self._at :] + chunk, 0
        return not self._over

    def _skip_blanks(self) -> bool:
        """Move to the next thing that is neither blank nor comma; return whether there is one."""
        while True:
            found = _BLANK.match(self._buffer, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._buffer):
                return True
            if not self._more():
                return False

    def _list(self) -> Iterator[Raw]:
        """Yield the elements of a list that was entered, and move behind it."""
        while self._skip_blanks():
            if self._buffer[self._at : self._at + 1] == b"]":
                self._at += 1
                return
            yield self._element()
        if not self._torn:
            raise InvalidInput([Fault("", "is missing: the log ends within its list")])

    def _element(self) -> Raw:
        """Return the element here and move behind it; of one that is damaged, move to the next."""
        self._number += 1
        end = self._end()
        if end is None:
            return self._damaged()
        line = self._buffer[self._at : end]
        overlong = len(line) > MAX_LINE
        if not overlong and not _is_json(line) and self._next(self._at + 1, end) is not None:
            return self._damaged()
        if self._before is None and (found := _BEGINNING.match(self._buffer, end)):
            self._before = _like(found)
        self._at = end
        return Raw(self._number, line[:MAX_LINE], True, overlong)

    def _end(self) -> int | None:
        """Return where the element here ends; None if that is nowhere within MAX_LINE bytes, or the log ends first."""
        if self._buffer[self._at] not in b"{[":
            return self._end_of_value()
        depth, offset = 0, 0
        while True:
            found = _BRACKET.match(self._buffer, self._at + offset)
            if found is None:
                if len(self._buffer) - self._at > MAX_LINE or not self._more():
                    return None
                continue
            depth += 1 if found[1] in b"{[" else -1
            offset = found.end() - self._at
            if depth == 0:
                return found.end()

    def _end_of_value(self) -> int:
        """Return where a string, number or stray character ends."""
        found = _VALUE.match(self._buffer, self._at)
        while (found is None or found.end() == len(self._buffer)) and len(self._buffer) - self._at <= MAX_LINE:
            if not self._more():
                break
            found = _VALUE.match(self._buffer, self._at)
        return found.end() if found else self._at + 1

    def _next(self, start: int, end: int) -> int | None:
        """Return where the next element begins as the others did; before there were others, as most do."""
        found = (self._before or _ANOTHER).search(self._buffer, start, end)
        return found.end() if found else None

    def _damaged(self) -> Raw:
        """Return what stands before the next element as one element that is none, and move there."""
        line = self._buffer[self._at : self._at + MAX_LINE]
        overlong = len(self._buffer) - self._at > MAX_LINE
        found = self._next(self._at + 1, len(self._buffer))
        if found is not None:
            line, overlong = line[: found - self._at], found - self._at > MAX_LINE
        while found is None:
            # The seam may hold the beginning of the next element.
            self._at = max(self._at + 1, len(self._buffer) - _SEAM)
            if not self._more():
                self._at, self._torn = len(self._buffer), True
                return Raw(self._number, line, False, overlong)
            found = self._next(self._at, len(self._buffer))
        self._at = found
        return Raw(self._number, line, True, overlong)

    def _enter(self) -> bool:
        """Move into the list of records of the envelope here and return True; False if this object is none."""
        keys: list[str] = []
        offset, key = 0, ""
        while True:
            found = _TOKEN.search(self._buffer, self._at + offset)
            if found is None or found.end() >= len(self._buffer):
                if len(self._buffer) - self._at > MAX_LINE or not self._more():
                    return False
                continue
            offset = found.end() - self._at
            if found[1]:
                key = found[1][1:-1].decode(errors="replace") if found[2] else ""
            elif found[3] == b"{":
                keys.append(key)
            elif found[3] == b"[" and len(keys) <= _DEEPEST and (*keys[1:], key) in self._envelopes:
                self._at, self._depth = self._at + offset, len(keys)
                return True
            elif found[3] == b"[":
                keys.append("[]")
            else:
                keys.pop()
                if not keys:
                    return False

    def _leave(self) -> None:
        """Move behind the envelope whose list was read."""
        depth = self._depth
        while depth:
            found = _BRACKET.match(self._buffer, self._at)
            if found is None:
                if len(self._buffer) - self._at > MAX_LINE or not self._more():
                    self._at = len(self._buffer)
                    return
                continue
            depth += 1 if found[1] in b"{[" else -1
            self._at = found.end()


def _like(beginning: re.Match[bytes]) -> re.Pattern[bytes]:
    """Return what finds the elements that begin like this one: on lines indented alike, or without lines."""
    blanks, key = re.escape(beginning[1]), re.escape(beginning[2])
    return re.compile((blanks if b"\n" in beginning[1] else rb",\s*+") + rb"(?=\{\s*+" + key + rb")")


def _is_json(text: bytes) -> bool:
    try:
        _checker.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
