"""Labels: what became known of events afterwards, as a file that an analyst can keep.

CSV with a header (`event_id,label`, separated by commas, semicolons or tabs; other columns are left alone) or NDJSON
(`{"event_id": …, "label": …}`, other members likewise). A label is `legitimate` (also legit, benign, 0, false, or
nothing), `attack` (also 1, true) or any other text: the name of a kind of attack.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from riskengine.check import Check, Wrong, decode, event_id, text
from riskengine.errors import Fault, InvalidInput
from riskengine.readers.lines import lines, open_log

LEGITIMATE, ATTACK = "legitimate", "attack"
_SPELLINGS = {
    **dict.fromkeys(("legitimate", "legit", "benign", "0", "false", ""), LEGITIMATE),
    **dict.fromkeys(("attack", "1", "true"), ATTACK),
}
_SEPARATORS = (",", ";", "\t")
_FIELDS = ("event_id", "label")
_NAMED = 5  # of the lines that are wrong so many are named
_kind = text(64)


@dataclass(frozen=True, slots=True)
class Label:
    """What one event was, and the line of the file that says so."""

    name: str
    line: int


def read_labels(path: str) -> dict[str, Label]:
    """Return the labels of a file (`-`: standard input) by event id.

    Raise OSError for a file that cannot be opened, and InvalidInput naming the lines that cannot be read or that
    contradict an earlier one.
    """
    with open_log(path) as stream:
        rows = [(raw.number, raw.line) for raw in lines(stream) if raw.line.strip()]
    found: dict[str, Label] = {}
    faults: list[Fault] = []
    parse: Callable[[bytes], Sequence[Any]] = _members
    if rows and not rows[0][1].lstrip().startswith(b"{"):
        number, line = rows.pop(0)
        try:
            parse = _columns(line)
        except InvalidInput as error:
            rows, faults = [], _named(path, number, error)
    for number, line in rows:
        try:
            _add(found, number, *parse(line))
        except InvalidInput as error:
            faults += _named(path, number, error)
    if faults:
        left = len(faults) - _NAMED
        raise InvalidInput([*faults[:_NAMED], *([Fault(f"{left} more", "lines are wrong")] if left > 0 else [])])
    return found


def _members(line: bytes) -> Sequence[Any]:
    """Return event id and label of an NDJSON line."""
    body = decode(line)
    if not isinstance(body, dict) or not all(name in body for name in _FIELDS):
        raise InvalidInput([Fault("", "must be an object with event_id and label")])
    return [body[name] for name in _FIELDS]


def _columns(header: bytes) -> Callable[[bytes], Sequence[Any]]:
    """Return what reads event id and label from the CSV rows below a header."""
    separator = max(_SEPARATORS, key=lambda separator: len(_cells(header, separator)))
    names = _cells(header, separator)
    if any(names.count(name) != 1 for name in _FIELDS):
        raise InvalidInput([Fault("", "must be a header that names event_id and label, once each")])

    def parse(line: bytes) -> Sequence[Any]:
        cells = _cells(line, separator)
        if len(cells) != len(names):
            raise InvalidInput([Fault("", f"has {len(cells)} cells where the header has {len(names)}")])
        return [cells[names.index(name)] for name in _FIELDS]

    return parse


def _cells(line: bytes, separator: str) -> list[str]:
    try:
        row = next(csv.reader((line.decode(),), delimiter=separator, strict=True))
    except UnicodeDecodeError as error:
        raise InvalidInput([Fault("", f"is not UTF-8 (byte {error.start})")]) from error
    except csv.Error as error:
        raise InvalidInput([Fault("", f"is not CSV: {error}")]) from error
    return [cell.strip() for cell in row]


def _add(found: dict[str, Label], number: int, identity: Any, value: Any) -> None:
    """Add the label of one line; the same again is nothing new, another one for the same event a contradiction."""
    key, name = _checked("event_id", event_id, identity), _checked("label", _name, value)
    before = found.setdefault(key, Label(name, number))
    if before.name != name:
        raise InvalidInput([Fault("", f"contradicts line {before.line}, which labels the same event otherwise")])


def _checked(field: str, check: Check, value: Any) -> str:
    try:
        return str(check(value))
    except Wrong as wrong:
        raise InvalidInput([Fault(field, wrong.detail)]) from wrong


def _name(value: Any) -> str:
    """Return a label's one spelling: LEGITIMATE, ATTACK or the name of a kind of attack."""
    if value is None or isinstance(value, bool | int):
        value = str(value or 0)
    if not isinstance(value, str):
        raise Wrong("must be a string")
    return _SPELLINGS.get(value.strip().casefold()) or str(_kind(value.strip()))


def _named(path: str, number: int, error: InvalidInput) -> list[Fault]:
    """Return what is wrong with a line, named by file and number."""
    where = f"{path} line {number}"
    return [Fault(f"{where}: {fault.pointer}" if fault.pointer else where, fault.detail) for fault in error.faults]
