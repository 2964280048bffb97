"""Items that wait to be decided, and which of them make the next batch."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.trace import Span

from riskengine.engine.arrival import Arrival
from riskengine.engine.segment import Outcome
from riskengine.event import Event

MOST_OF_ONE_USER = 32  # items of one user in a batch: a flood of one must leave room for the others
_MOST_PUT_BACK = 256


@dataclass(slots=True)
class Waiting:
    """An item in the queue, and what its outcome is told to."""

    arrival: Arrival
    tell: Callable[[Outcome], None]
    since: float
    span: Span | None = None
    told: bool = False


def next_batch(queue: deque[Waiting], largest: int) -> list[Waiting]:
    """Take up to `largest` items from the head of the queue; what is too much of one user stays there, in its order."""
    batch: list[Waiting] = []
    later: list[Waiting] = []
    taken: Counter[tuple[str, str]] = Counter()
    while queue and len(batch) < largest and len(later) < _MOST_PUT_BACK:
        one = queue.popleft()
        body = one.arrival.body
        user = (one.arrival.realm, body.user_id) if isinstance(body, Event) and body.user_id else None
        if user is not None and taken[user] >= MOST_OF_ONE_USER:
            later.append(one)
            continue
        if user is not None:
            taken[user] += 1
        batch.append(one)
    queue.extendleft(reversed(later))
    return batch
