"""CSV out: the columns of `columns.py`, one row an event, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from riskengine.check import format_time
from riskengine.visible import visible_lines
from riskengine.writers.columns import COLUMNS, Kind, flat
from riskengine.writers.target import Sink

# What a spreadsheet takes for the beginning of a formula; the last four are the wide forms that some take alike.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


class Csv:
    """Writes rows below a header: UTF-8, commas, quotes where needed, lines that end in a line feed."""

    def __init__(self, sink: Sink) -> None:
        self._sink, self._line = sink, io.StringIO()
        self._writer = csv.writer(self._line, lineterminator="\n")
        self._put([column.name for column in COLUMNS])

    def write(self, answer: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Write one row."""
        cells = zip(COLUMNS, flat(answer, event), strict=True)
        self._put([_cell(column.kind, value) for column, value in cells])

    def _put(self, cells: list[str]) -> None:
        self._writer.writerow(cells)
        self._sink.write(self._line.getvalue().encode())
        self._line.seek(0)
        self._line.truncate()


def _cell(kind: Kind, value: Any) -> str:
    """Return a cell as text: unknown is empty, entries of a list are parted by blanks, texts are defused."""
    if value is None or value != value:
        return ""
    if kind is Kind.TIME:
        return format_time(value)
    if kind is Kind.TEXTS:
        return defused(" ".join(value))
    if kind is Kind.NUMBERS:
        return " ".join(map(str, value))
    return defused(value) if kind is Kind.TEXT else str(value)


def defused(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula, with an apostrophe in front where it might, and no screen
    obeys.

    >>> defused("=1+1"), defused("ana"), defused("a=b"), defused("a\\u202eb")
    ("'=1+1", 'ana', 'a=b', 'a<U+202E>b')
    """
    return visible_lines(f"'{text}" if text.startswith(_FORMULA) else text)
