"""Facts and sections as plain text for a terminal of 100 columns."""

import textwrap
from collections.abc import Iterator, Sequence

from riskengine.document.section import Listing, Section
from riskengine.visible import visible

COLUMNS = 100
_LONGEST_NAME = 28
_GAP = "  "


def text_lines(facts: Sequence[tuple[str, str]], sections: Sequence[Section | Listing]) -> Iterator[str]:
    """Yield the lines, whatever the texts hold; `facts` are names and sentences, the one called "again" a command."""
    yield from map(visible, _facts(facts))
    for section in sections:
        yield ""
        yield from map(visible, _table(section) if isinstance(section, Section) else _listing(section))


def _facts(facts: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield names with their sentences beside them."""
    indent = max((len(name) for name, _ in facts), default=0) + len(_GAP)
    for name, sentence in facts:
        # A command is to be copied: it is not broken.
        wrapped = [sentence] if name == "again" else _wrap(sentence, COLUMNS - indent)
        yield name.ljust(indent) + wrapped[0]
        yield from (" " * indent + line for line in wrapped[1:])


def _listing(listing: Listing) -> Iterator[str]:
    """Yield the heading, the note, and each entry below its title."""
    yield listing.heading.upper()
    yield from _wrap(listing.note, COLUMNS)
    for entry in listing.entries:
        yield ""
        yield from _wrap(entry.title, COLUMNS)
        yield from _facts([(f"{_GAP}{name}", sentence) for name, sentence in entry.facts])


def _table(section: Section) -> Iterator[str]:
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
