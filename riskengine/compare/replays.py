"""A log through two engines side by side, each event's two answers as a pair."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from riskengine.compare.pair import Pair, paired
from riskengine.engine.engine import Engine
from riskengine.event import Event
from riskengine.readers.log import Rejected
from riskengine.replay.lines import Line, Summary, decide


@dataclass(frozen=True, slots=True)
class Run:
    """One of the two: its engine, with histories of its own, and what it counts."""

    engine: Engine
    summary: Summary


def decided_twice(
    read: list[Line],
    ordered: list[Line],
    before: Run,
    after: Run,
    reject: Callable[[Rejected], None],
    progress: Callable[[int], None],
) -> Iterator[Pair]:
    """Yield every event with both answers, batch by batch, in the order of `ordered`.

    `read` are the lines as the log has them. `reject` gets what the second engine refuses; the first refuses the same.
    """
    one = decide(ordered, before.engine, before.summary, lambda _: None, lambda _: None)
    other = decide(ordered, after.engine, after.summary, reject, progress)
    for number, first, second in paired(one, other):
        event = read[number].item
        assert isinstance(event, Event)
        yield Pair(event, first, second)
