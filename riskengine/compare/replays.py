"""A transcript through two policies side by side, each event's two answers as a pair."""

from collections.abc import Iterator

from riskengine.compare.pair import Pair
from riskengine.replay.events import Events
from riskengine.replay.pipeline import Replay
from riskengine.replay.transcript import Progress


def decided_twice(before: Replay, after: Replay, events: Events, jobs: int, progress: Progress) -> Iterator[Pair]:
    """Yield every event with both answers, in the order in which they are decided, each policy by so many desks.

    The two have one transcript each, of the same log, whose events are `events`. `progress` is told of the items that
    both have decided.
    """
    both = zip(before.decide(jobs, lambda _: None), after.decide(jobs, progress), strict=True)
    for one, other in both:
        yield from map(Pair, events.of(one.numbers), one.answers(), other.answers())
