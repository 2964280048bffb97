"""A log through the engine: what live would have decided, had everything arrived in order of time."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from riskengine.engine.arrival import Arrival, canonical
from riskengine.engine.engine import Engine
from riskengine.engine.pace import Pace
from riskengine.engine.saved import spelled
from riskengine.engine.segment import Busy, Repeated
from riskengine.engine.tokens import Tokeniser
from riskengine.errors import Conflict, RiskEngineError
from riskengine.event import Event, Report
from riskengine.locate.locator import Locator
from riskengine.policy.policy import Policy
from riskengine.readers.log import Read, Rejected, Skipped
from riskengine.seal import Keys, Seal
from riskengine.store.database import patiently
from riskengine.store.memory import MemoryStore

BATCH = 4096
# A quarter of this is what one batch of an import may take, so that a live server beside it waits no more than 50 ms.
SAVING_DEADLINE = 0.16
REALM = "default"
# A replay that saves nothing seals nothing that lasts: one known key makes its output the same every time. Whoever
# holds the output and a list of names can therefore tell whose lines are whose, as the log itself would have told.
REPLAY_KEYS = Keys(index=bytes(32), current="00000000", seal={"00000000": bytes(32)})


@dataclass(slots=True)
class Summary:
    """What became of every line, for the one summary at the end."""

    sources: list[str] = field(default_factory=list)
    events: int = 0
    reports: int = 0
    stored: int = 0
    duplicates: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    refused_reports: int = 0
    reordered: int = 0
    reporting: bool = False
    decisions: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """Return the summary as lines for a person."""
        decided = ", ".join(f"{count:,} {name}" for name, count in sorted(self.decisions.items()))
        often = sorted(self.reasons.items(), key=lambda one: (-one[1], one[0]))[:6]
        told = ", ".join(f"{name} {count:,}" for name, count in often)
        passed_over = ", ".join(f"{reason} {count:,}" for reason, count in sorted(self.skipped.items()))
        assumed = (
            "step-ups count as the log reports them"
            if self.reporting
            else "the log does not report each step-up: what the others showed is taken as provisional"
        )
        again = [f"{self.reordered:,} users known before: their histories were folded again in order of time"]
        return [
            *self.sources,
            f"{self.events:,} events decided ({self.stored:,} of them were stored before): {decided or 'none'}",
            f"reasons: {told or 'none'}",
            f"{self.reports:,} reports counted, {self.refused_reports:,} answered no step-up of this policy; {assumed}",
            *(again if self.reordered else ()),
            f"{self.duplicates:,} duplicates, {self.rejected:,} rejected, "
            f"{self.skipped.total():,} passed over: {passed_over or 'none'}",
        ]


@dataclass(frozen=True, slots=True)
class Line:
    """One item of a log: where it stood, and as how manieth item it was read."""

    item: Event | Report
    source: str
    line: int
    number: int


def items(
    found: Iterable[Read | Rejected | Skipped], reject: Callable[[Rejected], None], summary: Summary
) -> Iterator[Read]:
    """Yield a log's items as they stand, and count the rest into `summary`; `reject` gets what cannot be read."""
    for one in found:
        if isinstance(one, Read):
            summary.reporting |= one.reporting and isinstance(one.item, Report)
            yield one
        elif isinstance(one, Rejected):
            summary.rejected += 1
            reject(one)
        else:
            summary.skipped[one.reason] += one.count


def gather(
    found: Iterable[Read | Rejected | Skipped], reject: Callable[[Rejected], None], summary: Summary
) -> list[Line]:
    """Return a log's `items` as lines."""
    read = items(found, reject, summary)
    return [Line(one.item, one.source, one.line, number) for number, one in enumerate(read)]


def user_refs(lines: list[Line], tokeniser: Tokeniser) -> list[bytes]:
    """Return the users of a log's events, each once, by their opaque names."""
    names = dict.fromkeys(line.item.user_id for line in lines if isinstance(line.item, Event))
    return [tokeniser.user_ref(REALM, name) for name in names if name is not None]


def in_time_order(lines: list[Line]) -> list[Line]:
    """Return items in order of time, ties as the log has them.

    A report on an event stands after it, even where their times are equal or a clock went wrong.
    """
    time_of = {line.item.event_id: line.item.occurred_at or 0 for line in lines if isinstance(line.item, Event)}

    def when(line: Line) -> tuple[int, int]:
        item = line.item
        if isinstance(item, Report):
            return max(item.at or 0, time_of.get(item.event_id, 0)), 1
        return item.occurred_at or 0, 0

    return sorted(lines, key=when)


def decide(
    lines: list[Line],
    engine: Engine,
    summary: Summary,
    reject: Callable[[Rejected], None],
    progress: Callable[[int], None],
    received_at: int | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, answer) of each event, in the order of `lines`: the full answer, with `log` and `line` where the
    event stood. (`source` is the answer's own: who decided.) `received_at`, ms since 1970, is what an import saves as
    the time of arrival; without it each event's own time stands for it."""
    known: set[str] = set()
    for batch, outcomes in _batches(lines, engine, summary.reporting, received_at):
        for line, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, RiskEngineError):
                _refuse(line, outcome, summary, reject)
            elif isinstance(line.item, Report):
                summary.reports += 1
            elif line.item.event_id in known:
                summary.duplicates += 1
            else:
                known.add(line.item.event_id or "")
                summary.stored += isinstance(outcome, Repeated)
                summary.events += 1
                summary.decisions[outcome["decision"]] += 1
                summary.reasons.update(reason["code"] for reason in outcome["reasons"])
                yield line.number, outcome | {"log": line.source, "line": line.line}
        progress(len(batch))


def _batches(
    lines: list[Line], engine: Engine, reporting: bool, received_at: int | None
) -> Iterator[tuple[list[Line], list[dict[str, Any] | RiskEngineError]]]:
    """Yield lines and what became of them: in large batches, or where they are saved in as large ones as are quick."""
    pace, start = Pace(SAVING_DEADLINE, BATCH), 0
    while start < len(lines):
        batch = lines[start : start + (BATCH if received_at is None else pace.largest())]
        arrivals = [_arrival(line, reporting, received_at) for line in batch]
        began = time.monotonic()
        outcomes = run_all(engine, arrivals)
        pace.saw(len(batch), time.monotonic() - began)
        yield batch, outcomes
        start += len(batch)


def sent(line: Line) -> dict[str, Any]:
    """Return the event of a line as a caller would have sent it."""
    assert isinstance(line.item, Event)
    return spelled(line.item)


def _arrival(line: Line, reporting: bool, received_at: int | None) -> Arrival:
    item = line.item
    if isinstance(item, Event):
        assert item.occurred_at is not None
        return Arrival(REALM, item, received_at or item.occurred_at, reporting, text=canonical(item))
    assert item.at is not None
    return Arrival(REALM, item, received_at or item.at, who="log")


def run_all(engine: Engine, arrivals: list[Arrival]) -> list[dict[str, Any] | RiskEngineError]:
    """Return the outcomes of a batch, waiting for a store that is busy, and for users that a live server holds."""
    outcomes = patiently(partial(engine.run, arrivals))
    while any(isinstance(outcome, Busy) for outcome in outcomes):
        waiting = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Busy)]
        again = [arrivals[index] for index in waiting]
        for index, outcome in zip(waiting, patiently(partial(engine.run, again)), strict=True):
            outcomes[index] = outcome
    return outcomes


def _refuse(line: Line, error: RiskEngineError, summary: Summary, reject: Callable[[Rejected], None]) -> None:
    """Count what the engine would not take: a report that answers no step-up is normal, the rest is rejected."""
    if isinstance(line.item, Report) and isinstance(error, Conflict):
        summary.refused_reports += 1
        return
    summary.rejected += 1
    reject(Rejected(line.source, line.line, str(error), ""))


def memory_engine(locator: Locator, policy: Policy) -> Engine:
    """Return an engine that remembers nothing beyond this process: for a replay that saves nothing."""
    return Engine(MemoryStore(), locator, policy, Seal(REPLAY_KEYS))
