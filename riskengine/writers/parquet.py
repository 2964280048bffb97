"""Parquet out: the columns of `columns.py`, typed, written a row group at a time."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from riskengine.errors import SettingsError
from riskengine.writers.columns import COLUMNS, Kind, flat
from riskengine.writers.target import Target

GROUP_ROWS = 20_000  # what is held in memory before it is written


class Parquet:
    """Writes rows; `close` writes the last group and what says where the groups are."""

    def __init__(self, target: Target) -> None:
        self._arrow, files = _arrow()
        self._schema = self._arrow.schema([(column.name, _type(self._arrow, column.kind)) for column in COLUMNS])
        self._file = files.ParquetWriter(self._arrow.PythonFile(target, mode="w"), self._schema)
        self._cells: list[list[Any]] = [[] for _ in COLUMNS]

    def write(self, answer: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Take one row."""
        for held, cell in zip(self._cells, flat(answer, event), strict=True):
            held.append(cell)
        if len(self._cells[0]) == GROUP_ROWS:
            self._put()

    def close(self) -> None:
        """End the file; without it there is none that can be read."""
        if self._cells[0]:
            self._put()
        self._file.close()

    def abandon(self) -> None:
        """Leave a file that nobody takes for a whole one: pyarrow would end it as soon as it lets go of it."""
        self._file.is_open = False

    def _put(self) -> None:
        # Lists of cells are of the columns' own types: what is None becomes null, and so does NaN.
        columns = [
            self._arrow.array(cells, field.type, from_pandas=True)
            for cells, field in zip(self._cells, self._schema, strict=True)
        ]
        self._file.write_table(self._arrow.Table.from_arrays(columns, schema=self._schema))
        for held in self._cells:
            held.clear()


def _arrow() -> tuple[Any, Any]:
    """Return pyarrow and its part for Parquet; SettingsError without them: they are an extra."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise SettingsError("Parquet needs pyarrow: install riskengine[parquet], or ask for another format.") from error


def _type(arrow: Any, kind: Kind) -> Any:
    types = {
        Kind.TEXT: arrow.string(),
        Kind.NUMBER: arrow.float64(),
        Kind.WHOLE: arrow.int64(),
        Kind.TIME: arrow.timestamp("ms", tz="UTC"),
        Kind.TEXTS: arrow.list_(arrow.string()),
        Kind.NUMBERS: arrow.list_(arrow.float64()),
    }
    return types[kind]
