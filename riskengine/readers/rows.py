"""Tables as vendors export them: rows of CSV, whose quoted cells may hold line ends."""

import csv
from collections import deque
from collections.abc import Iterator

from riskengine.errors import Fault, InvalidInput
from riskengine.readers.lines import MAX_LINE, Raw, text_of

_SEPARATORS = (",", ";", "\t")
# A quotation mark that no mark closes within so many lines is a mistake of its own line.
_MOST_LINES = 200


def separator_of(header: str) -> str:
    """Return what separates the cells of a table with this header."""
    return max(_SEPARATORS, key=header.count)


def cells(text: str, separator: str) -> list[str]:
    """Return the cells of a row; raise InvalidInput if it is none."""
    try:
        return next(csv.reader((text,), delimiter=separator, strict=True))
    except (csv.Error, StopIteration) as error:
        raise InvalidInput([Fault("", f"is not CSV: {error}")]) from error


def rows(log: Iterator[Raw]) -> Iterator[Raw]:
    """Yield a table's lines, those of one row put together: where a quoted cell goes on, and a whole row comes of it.

    A row's number is that of its first line.
    """
    ahead: deque[Raw] = deque()
    width: tuple[str, int] | None = None
    while (raw := _next(log, ahead)) is not None:
        if width is None and raw.line.strip():
            width = _width(raw.line)
        if width is not None and raw.line.count(b'"') % 2 and not raw.overlong:
            raw = _row(raw, log, ahead, width)
        yield raw


def _row(first: Raw, log: Iterator[Raw], ahead: deque[Raw], width: tuple[str, int]) -> Raw:
    """Return the row that begins with a line, and leave what does not belong to it ahead."""
    parts = [first]
    while len(parts) < _MOST_LINES and (following := _next(log, ahead)) is not None:
        parts.append(following)
        if following.overlong:
            break
        if following.line.count(b'"') % 2:
            line = b"\n".join(part.line for part in parts)
            if len(line) <= MAX_LINE and _width(line, width[0]) == width:
                return Raw(first.number, line, following.ended, False)
            break
    ahead.extendleft(reversed(parts[1:]))
    return first


def _width(line: bytes, separator: str | None = None) -> tuple[str, int] | None:
    """Return what separates the cells of a row and how many there are; None if it is no row."""
    try:
        text = text_of(line)
        return (found := separator or separator_of(text)), len(cells(text, found))
    except InvalidInput:
        return None


def _next(log: Iterator[Raw], ahead: deque[Raw]) -> Raw | None:
    return ahead.popleft() if ahead else next(log, None)
