"""riskengine's own CSV: the fields of an event as columns, below a header.

Separated by commas, semicolons or tabs, whichever the header uses. A field within a field is a dotted column
(`network.type`, `position.latitude`, `mfa.result`, `rtt.ms`, `context.anything`); the whole object as JSON in a cell
(`network`) is taken too, and lists (`groups`, `amr`, `mfa.amr`) are JSON always. An empty cell is an absent field, and
an empty `user_id` says "no such account", which only a failure may. A row is one line: cells hold no line ends.
"""

from collections.abc import Sequence
from typing import Any

from riskengine.check import decode
from riskengine.errors import Fault, InvalidInput
from riskengine.event import EVENT_FIELDS
from riskengine.readers.identity import Identity
from riskengine.readers.item import own_item
from riskengine.readers.lines import text_of
from riskengine.readers.log import Item, Skip
from riskengine.readers.rows import cells

_SEPARATORS = (",", ";", "\t")
_NEEDED = ("user_id", "ip", "occurred_at")
_NUMBERS = ("position.latitude", "position.longitude", "position.accuracy_m", "rtt.ms")
_BOOLEANS = ("network.secured", "network.public")
_DOTTED = (
    "mfa.result",
    "mfa.amr",
    "mfa.at",
    "network.type",
    "network.ssid",
    "network.bssid",
    *_NUMBERS,
    *_BOOLEANS,
    "rtt.edge",
)
_LISTS = ("groups", "amr", "mfa.amr")
_OBJECTS = ("network", "position", "rtt", "context", "mfa")
_COLUMNS = frozenset((*EVENT_FIELDS, "type", "result", "amr", "at", *_DOTTED))
_CONTEXT = "context."


class Header:
    """The columns of one source and what separates them."""

    def __init__(self, line: bytes) -> None:
        """Read a header line; raise InvalidInput naming what is wrong with it."""
        text = text_of(line)
        self.separator = max(_SEPARATORS, key=lambda separator: len(_COLUMNS & set(cells(text, separator))))
        self.columns = cells(text, self.separator)
        faults = [Fault(f"/{name}", "is missing from the header") for name in _NEEDED if name not in self.columns]
        for position, name in enumerate(self.columns):
            if name not in _COLUMNS and not (name.startswith(_CONTEXT) and len(name) > len(_CONTEXT)):
                faults.append(Fault(f"column {position + 1}", "is not a field of an event or report"))
            elif name in self.columns[:position]:
                faults.append(Fault(f"/{name}", "stands twice in the header"))
            elif name.partition(".")[0] in self.columns[:position] or name in self._outer(position):
                faults.append(Fault(f"/{name.partition('.')[0]}", "stands in the header both whole and in parts"))
        if faults:
            raise InvalidInput(faults)

    def _outer(self, position: int) -> set[str]:
        """Return the fields that columns before `position` hold parts of."""
        return {name.partition(".")[0] for name in self.columns[:position] if "." in name}

    def body(self, line: bytes) -> dict[str, Any]:
        """Return a row as the JSON object it stands for."""
        row = cells(text_of(line), self.separator)
        if len(row) != len(self.columns):
            raise InvalidInput([Fault("", f"has {len(row)} cells where the header has {len(self.columns)}")])
        body: dict[str, Any] = {}
        for column, cell in zip(self.columns, row, strict=True):
            if cell:
                _put(body, column, _value(column, cell))
        if body.get("type", "event") == "event":
            body.setdefault("user_id", None)
        return body


class Table:
    """Parser of one CSV source."""

    def __init__(self) -> None:
        self._identity = Identity("csv")
        self._header: Header | None = None
        self._begun = False

    def parse(self, line: bytes, ended: bool) -> Sequence[Item] | Skip:
        """Return the row's one item; the header gives none. Where the header was refused, so are its rows, silently.

        A last row without a line end is taken when it has all its cells: many programs write no last line end.
        """
        if not self._begun:
            self._begun = True
            self._header = Header(line)
            return ()
        if self._header is None:
            return Skip.NO_HEADER
        return (own_item(self._header.body(line), line, self._identity),)


def _value(column: str, cell: str) -> Any:
    """Return what a cell stands for; one that is not what its column wants stays text, which its check then refuses."""
    if column in _NUMBERS:
        return _number(cell)
    if column in _BOOLEANS:
        return {"true": True, "false": False}.get(cell.lower(), cell)
    if column in _LISTS or (column in _OBJECTS and cell.startswith("{")):
        try:
            return decode(cell.encode())
        except InvalidInput as error:
            raise InvalidInput([Fault(f"/{column.replace('.', '/')}", "is not JSON")]) from error
    return cell


def _number(cell: str) -> float | str:
    try:
        return float(cell) if "_" not in cell else cell
    except ValueError:
        return cell


def _put(body: dict[str, Any], column: str, value: Any) -> None:
    """Set a field, or a field within a field."""
    outer, dot, inner = column.partition(".")
    if dot:
        body.setdefault(outer, {})[inner] = value
    else:
        body[outer] = value
