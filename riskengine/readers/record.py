"""A line as the records it holds: JSON (in an envelope or not), a row of a table, CEF, text of a known form."""

import re
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from riskengine.check import decode
from riskengine.errors import Fault, InvalidInput
from riskengine.readers.lines import text_of
from riskengine.readers.log import Skip
from riskengine.readers.mapping import LogMapping
from riskengine.readers.path import Path
from riskengine.readers.rows import cells, separator_of

Record = dict[str, Any]
Records = Sequence[Record] | Skip
_decoder = msgspec.json.Decoder()
_CEF = re.compile(r"CEF: ?\d+\|")
_CEF_HEAD = ("vendor", "product", "version", "class", "name", "severity")
_CEF_KEY = re.compile(r"(?:^| )([A-Za-z0-9_.]+)=")
_PAIR = re.compile(r'([A-Za-z0-9_.-]+)=(?:"((?:[^"\\]|\\.)*)"|([^,\s]*))')


def reader_of(mapping: LogMapping, first_line: bytes) -> Callable[[bytes], Records]:
    """Return what turns the lines of a log that begins with this line into records; a table's header gives none."""
    if mapping.text == "cef":
        return cef
    if mapping.pattern is not None:
        return _Text(mapping.pattern, mapping.pairs).records
    return Rows(mapping).records if is_table(mapping, first_line) else _Json(mapping).records


def is_table(mapping: LogMapping, first_line: bytes) -> bool:
    """Return whether a log that begins with this line is a table to a mapping that takes JSON or tables."""
    if mapping.text is not None or mapping.pattern is not None:
        return False
    return bool(first_line.strip()) and not first_line.lstrip().startswith((b"{", b"["))


class _Json:
    def __init__(self, mapping: LogMapping) -> None:
        self._envelopes = [Path(steps) for steps in mapping.records]
        self._unwrap = mapping.unwrap

    def records(self, line: bytes) -> Records:
        """Return the records of a line: one, those of an envelope's list, or those of a list."""
        body = _decode(line)
        if isinstance(body, list):
            found = body
        else:
            lists = (path.of(body) for path in self._envelopes)
            found = next((one for one in lists if isinstance(one, list)), [body])
        if not all(isinstance(one, dict) for one in found):
            raise InvalidInput([Fault("", "must be a JSON object")])
        return [unwrapped(one, self._unwrap) for one in found]


def unwrapped(record: Record, paths: Sequence[Path]) -> Record:
    """Return a record with what an object, or JSON in a text, at one of the paths holds; that comes before what stands
    around it.
    """
    for path in paths:
        inner = path.of(record)
        if isinstance(inner, str) and inner.lstrip().startswith("{"):
            inner = _decode(inner.encode(errors="surrogatepass"))
        if isinstance(inner, dict):
            record = {**record, **inner}
    return record


def _decode(line: bytes) -> Any:
    """Return JSON as logs hold it: what is not strict (a half surrogate pair) may be."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return decode(line)  # which says what is wrong, or takes it


class Rows:
    """A table: a header, then rows as records of column and cell; empty cells are absent."""

    def __init__(self, mapping: LogMapping) -> None:
        self._unwrap = mapping.unwrap
        self._columns: list[str] | None = None
        self._separator = ","

    def records(self, line: bytes) -> Records:
        text = text_of(line)
        if self._columns is None:
            self._separator = separator_of(text)
            self._columns = cells(text, self._separator)
            return ()
        row = cells(text, self._separator)
        if len(row) != len(self._columns):
            raise InvalidInput([Fault("", f"has {len(row)} cells where the header has {len(self._columns)}")])
        record = {column.strip(): cell for column, cell in zip(self._columns, row, strict=True) if cell}
        return (unwrapped(record, self._unwrap),)


def cef(line: bytes) -> Records:
    """Return a line of CEF, with or without a syslog prefix: the header's names, and what its extension holds.

    Where `cs1Label` names what `cs1` is, that name stands for it too.
    """
    text = text_of(line)
    found = _CEF.search(text)
    if found is None:
        return Skip.NOT_A_LOGIN
    head = re.split(r"(?<!\\)\|", text[found.end() :], maxsplit=len(_CEF_HEAD))
    if len(head) <= len(_CEF_HEAD):
        raise InvalidInput([Fault("", "is cut off: CEF has seven bars")])
    record: Record = dict(zip(_CEF_HEAD, (part.replace("\\|", "|") for part in head), strict=False))
    keys = list(_CEF_KEY.finditer(head[-1]))
    for key, following in zip_longest(keys, keys[1:]):
        value = head[-1][key.end() : following.start() if following else None].strip()
        record[key[1]] = value.replace("\\=", "=").replace("\\\\", "\\")
    for name in [name for name in record if name.endswith("Label")]:
        if name.removesuffix("Label") in record:
            record.setdefault(record[name], record[name.removesuffix("Label")])
    return (record,)


class _Text:
    """Lines of text that a pattern takes apart: its named groups, and key=value pairs in one of them."""

    def __init__(self, pattern: re.Pattern[str], pairs: str | None) -> None:
        self._pattern, self._pairs = pattern, pairs

    def records(self, line: bytes) -> Records:
        found = self._pattern.search(text_of(line))
        if found is None:
            return Skip.NOT_A_LOGIN
        record: Record = {name: text for name, text in found.groupdict().items() if text}
        if self._pairs:
            for key, quoted, bare in _PAIR.findall(record.get(self._pairs, "")):
                record.setdefault(key, quoted or bare)
        return (record,)
