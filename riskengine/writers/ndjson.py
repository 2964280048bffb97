"""NDJSON out: one compact JSON line a row."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from riskengine.visible import visible_json
from riskengine.writers.target import Sink, open_target


class Ndjson:
    """Writes rows to what takes bytes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._encode = msgspec.json.Encoder().encode

    def write(self, row: Mapping[str, Any]) -> None:
        """Write one row as a line of UTF-8: keys in the order given, None and NaN as null, other numbers exactly.

        What a terminal would obey is written as an escape, which means the same.
        """
        self._sink.write(visible_json(self._encode(row)) + b"\n")

    def write_lines(self, lines: memoryview) -> None:
        """Write rows that are lines already, end to end, of JSON that may be printed anywhere."""
        self._sink.write(lines)


@contextmanager
def open_ndjson(target: str | Path) -> Iterator[Ndjson]:
    """Open `target` for NDJSON rows, as `open_target` does."""
    with open_target(target) as sink:
        yield Ndjson(sink)
