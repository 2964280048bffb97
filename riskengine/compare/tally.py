"""Counts of what one policy decides otherwise than another, among events that have something in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from riskengine.decision import DECISIONS


@dataclass(slots=True)
class Tally:
    """How many events there were, and how many of them are decided more strictly, or less, than before."""

    events: int = 0
    stricter: int = 0
    laxer: int = 0

    @property
    def changed(self) -> int:
        """How many are decided otherwise."""
        return self.stricter + self.laxer

    def add(self, before: str, after: str) -> None:
        """Count one event by its two decisions."""
        by = DECISIONS.index(after) - DECISIONS.index(before)
        self.events += 1
        self.stricter += by > 0
        self.laxer += by < 0


@dataclass(slots=True)
class ReasonTally:
    """How many events have a reason, `before` and `after`; of those decided otherwise, how many `gained` or `lost` it,
    and at how many it led the stricter of the two answers, by whether that was the new one (`stricter`) or the old."""

    before: int = 0
    after: int = 0
    gained: int = 0
    lost: int = 0
    stricter: int = 0
    laxer: int = 0

    @property
    def led(self) -> int:
        """How many changes it led."""
        return self.stricter + self.laxer


@dataclass(slots=True)
class Tallies:
    """A tally for each name that was met."""

    of: dict[str, Tally] = field(default_factory=dict)

    def add(self, name: str, before: str, after: str) -> None:
        """Count one event under a name."""
        self.of.setdefault(name, Tally()).add(before, after)

    def ordered(self) -> dict[str, Tally]:
        """Return the tallies, most changes first, then most events, then by name."""
        return dict(sorted(self.of.items(), key=lambda pair: (-pair[1].changed, -pair[1].events, pair[0])))


def ordered_reasons(found: Mapping[str, ReasonTally]) -> dict[str, ReasonTally]:
    """Return reasons, those that led most changes first, then the commonest, then by name."""
    return dict(sorted(found.items(), key=lambda pair: (-pair[1].led, -pair[1].before - pair[1].after, pair[0])))
