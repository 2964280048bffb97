"""The side file of lines that could not be read: NDJSON of source, line, reason and the line's own text."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from riskengine.writers.ndjson import Ndjson, open_ndjson


class Refused(Protocol):
    """A line that was not taken, wherever it came from."""

    @property
    def source(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def text(self) -> str: ...


class Rejects:
    """Writes refused lines."""

    def __init__(self, rows: Ndjson) -> None:
        self._rows = rows

    def write(self, refused: Refused) -> None:
        """Write one refused line. Its text may hold anything a log may, names and addresses included."""
        self._rows.write(
            {
                "source": refused.source,
                "line": refused.line,
                "reason": refused.reason,
                "text": refused.text,
            }
        )


@contextmanager
def open_rejects(target: str | Path) -> Iterator[Rejects]:
    """Open `target` for refused lines, as `open_ndjson` does; a run that refuses nothing leaves an empty file."""
    with open_ndjson(target) as rows:
        yield Rejects(rows)
