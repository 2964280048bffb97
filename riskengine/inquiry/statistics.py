"""Counts over time, as the overview shows them."""

from collections.abc import Iterable, Mapping
from typing import Any

from riskengine.check import checked, format_time, one_of, parse_time
from riskengine.errors import Fault, InvalidInput
from riskengine.inquiry.rollup import State
from riskengine.store.statistics import HOUR_MS

DIMENSIONS = ("decision", "reason", "country", "network")
STEPS = {"hour": 1, "day": 24}
MOST_TIMES = 1_000
SHOWN = 50  # values of a dimension, those of the most events
_DEFAULT_HOURS = 7 * 24
_FIELDS = {"since": parse_time, "until": parse_time, "step": one_of(*STEPS)}


class Range:
    """Which hours are asked for, and how many make a step. Whole steps: `first` and `end` (exclusive) are hours."""

    def __init__(self, given: Mapping[str, Any], now: int) -> None:
        """Take `since`, `until` and `step`; InvalidInput names what makes no sense."""
        found, faults = checked(given, _FIELDS, ())
        if faults:
            raise InvalidInput(faults)
        self.step: str = found.get("step", "hour")
        self.hours = STEPS[self.step]
        until = found.get("until", now)
        since = found.get("since", until - _DEFAULT_HOURS * HOUR_MS)
        if since >= until:
            raise InvalidInput([Fault("/until", "must be later than since")])
        self.first = since // HOUR_MS // self.hours * self.hours
        self.end = -(-until // HOUR_MS // self.hours) * self.hours
        if (self.end - self.first) // self.hours > MOST_TIMES:
            raise InvalidInput([Fault("/since", f"must leave at most {MOST_TIMES:,} steps: narrow it, or ask by day")])


def told(asked: Range, rows: Iterable[tuple[int, str, str, int]], state: State, now: int) -> dict[str, Any]:
    """Return counts over time: `times` are the beginnings of the steps, and every `over_time` has one number for each.

    `lag_seconds` is how old the counts of the last two hours are, None before the first count; `whole_since` how far
    back all hours were counted so far.
    """
    steps = (asked.end - asked.first) // asked.hours
    series: dict[str, dict[str, list[int]]] = {name: {} for name in DIMENSIONS}
    for step, dimension, value, events in rows:
        values = series.get(dimension)
        if values is not None:
            if value not in values:
                values[value] = [0] * steps
            values[value][step] += events
    return {
        "step": asked.step,
        "times": [format_time((asked.first + step * asked.hours) * HOUR_MS) for step in range(steps)],
        "lag_seconds": None if not state.counted_at else max(now - state.counted_at, 0) / 1000,
        "whole_since": None if state.whole_since is None else format_time(state.whole_since * HOUR_MS),
        **{name: _most(values) for name, values in series.items()},
    }


def _most(values: Mapping[str, list[int]]) -> list[dict[str, Any]]:
    ordered = sorted(values.items(), key=lambda one: (-sum(one[1]), one[0]))[:SHOWN]
    return [{"value": value, "events": sum(counts), "over_time": counts} for value, counts in ordered]
