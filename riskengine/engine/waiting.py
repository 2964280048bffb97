"""Items that wait to be decided, and which of them make the next batch."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from opentelemetry.trace import Span

from riskengine.engine.arrival import Arrival
from riskengine.engine.segment import Outcome
from riskengine.event import Event

# Items of one user in a batch while others wait: items of a user are decided one after another and their rows lie on
# pages of their own, so a flood of one in each batch would make every batch slow for the others.
MOST_BESIDE_OTHERS = 2
_MOST_PASSED_OVER = 256


@dataclass(slots=True)
class Waiting:
    """An item in the queue, and what its outcome is told to."""

    arrival: Arrival
    tell: Callable[[Outcome], None]
    since: float
    span: Span | None = None
    told: bool = False


class Queue:
    """Items in the order in which they came; one user's flood fills no more than half of it, and few places a batch."""

    def __init__(self) -> None:
        self._items: deque[Waiting] = deque()
        self._of_user: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._items)

    def has_room(self, arrivals: Sequence[Arrival], room: int) -> bool:
        """Return whether these may wait too where `room` items may, and each user's may in half of it."""
        if len(self._items) + len(arrivals) > room:
            return False
        more = Counter(user for user in map(_user, arrivals) if user is not None)
        return all(self._of_user[user] + count <= max(room // 2, 1) for user, count in more.items())

    def add(self, items: Iterable[Waiting]) -> None:
        """Let these wait behind the others."""
        for one in items:
            self._items.append(one)
            self._count(one, 1)

    def put_back(self, items: Sequence[Waiting]) -> None:
        """Let these wait before the others, in their order."""
        self._items.extendleft(reversed(items))
        for one in items:
            self._count(one, 1)

    def batch(self, largest: int) -> list[Waiting]:
        """Take up to `largest` items from the head; what is too much of one user stays there, in its order.

        Where only one user's items wait nobody is held up, and the batch is filled with them.
        """
        batch: list[Waiting] = []
        later: list[Waiting] = []
        taken: Counter[tuple[str, str]] = Counter()
        while self._items and len(batch) < largest and len(later) < _MOST_PASSED_OVER:
            one = self._items.popleft()
            user = _user(one.arrival)
            if user is not None and taken[user] >= MOST_BESIDE_OTHERS:
                later.append(one)
                continue
            if user is not None:
                taken[user] += 1
            batch.append(one)
        if len(taken) == 1 and taken.total() == len(batch):
            more = largest - len(batch)
            batch += later[:more]
            later = later[more:]
        self._items.extendleft(reversed(later))
        for one in batch:
            self._count(one, -1)
        return batch

    def _count(self, one: Waiting, change: int) -> None:
        user = _user(one.arrival)
        if user is None:
            return
        self._of_user[user] += change
        if not self._of_user[user]:
            del self._of_user[user]


def _user(arrival: Arrival) -> tuple[str, str] | None:
    """Return whose event this is; None for a report, and for a name that does not exist."""
    body = arrival.body
    return (arrival.realm, body.user_id) if isinstance(body, Event) and body.user_id else None
