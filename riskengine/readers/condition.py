"""Conditions on a record: a table of paths and what must stand there, all of which must hold.

A value is a list of accepted texts (`*` and `?` are wildcards), one text, true for "there is something" or false for
"there is nothing". Where a list stands in the record, one entry that is accepted is enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from riskengine.readers.path import Path, as_text


@dataclass(frozen=True, slots=True)
class Term:
    """What must stand at a path: one of `texts`, one that matches one of `globs`; neither: something, or nothing."""

    path: Path
    texts: frozenset[str] = frozenset()
    globs: tuple[str, ...] = ()
    present: bool = True

    def holds(self, record: Any) -> bool:
        value = self.path.of(record)
        if not self.texts and not self.globs:
            return (value not in (None, "", [], {})) == self.present
        return any(self._accepts(one) for one in (value if isinstance(value, list) else (value,)))

    def _accepts(self, value: Any) -> bool:
        text = as_text(value)
        if text is None:
            return False
        return text in self.texts or any(fnmatchcase(text, glob) for glob in self.globs)


Condition = tuple[Term, ...]


def holds(condition: Condition, record: Any) -> bool:
    """Return whether all terms of a condition hold; an empty one always does."""
    return all(term.holds(record) for term in condition)


def any_holds(conditions: Sequence[Condition], record: Any) -> bool:
    """Return whether one of several conditions holds."""
    return any(holds(condition, record) for condition in conditions)
