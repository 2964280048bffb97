"""An evaluation as plain text for a terminal of 100 columns."""

import textwrap
from collections.abc import Iterator

from riskengine.evaluate.evaluation import Evaluation
from riskengine.evaluate.section import Provenance, Section, facts, sections

COLUMNS = 100
_LONGEST_NAME = 28
_GAP = "  "


def text_lines(about: Provenance, found: Evaluation) -> Iterator[str]:
    """Yield the lines."""
    named = facts(about, found.coverage)
    indent = max(len(name) for name, _ in named) + len(_GAP)
    for name, sentence in named:
        # A command is to be copied: it is not broken.
        wrapped = [sentence] if name == "again" else _wrap(sentence, COLUMNS - indent)
        yield name.ljust(indent) + wrapped[0]
        yield from (" " * indent + line for line in wrapped[1:])
    for section in sections(found):
        yield ""
        yield from _section(section)


def _section(section: Section) -> Iterator[str]:
    """Yield a table, its first column to the left, the others to the right, and the note below it."""
    rows = [(_short(name), *cells) for name, *cells in (section.heads, *section.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for at, (name, *cells) in enumerate(rows):
        spread = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        yield _GAP.join([(name.upper() if at == 0 else name).ljust(widths[0]), *spread])
    yield from _wrap(section.note, COLUMNS)


def _wrap(sentence: str, width: int) -> list[str]:
    return textwrap.wrap(sentence, width, break_long_words=False, break_on_hyphens=False) or [""]


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
