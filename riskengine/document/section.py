"""The sections of a document, the same for a terminal and a page: tables, and listings of what needs whole lines."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, the heads of its columns (the first names the rows), the rows, and a note to read them by."""

    heading: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a listing: its title, and names with sentences of any length."""

    title: str
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Listing:
    """A heading, entries below each other, and a note to read them by."""

    heading: str
    entries: Sequence[Entry]
    note: str
