"""Examples of each change: a few events with both answers, each of another user where there are so many."""

from dataclasses import dataclass, field
from typing import Any

from riskengine.check import format_time
from riskengine.compare.pair import Answer, Pair
from riskengine.explain import decided

MOST = 5  # examples a change


@dataclass(frozen=True, slots=True)
class Told:
    """One of the two answers: `step_up_at` is the score from which that policy asks for a second factor (None in what
    an early version stored), `reasons` are code, points and message, strongest first."""

    decision: str
    score: float
    step_up_at: float | None
    reasons: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Example:
    """One event with both answers; `log` and `line` are where it stood, None in the store. `user` is None where the
    account does not exist."""

    event_id: str
    occurred_at: str
    user: str | None
    log: str | None
    line: int | None
    outcome: str
    network: str
    place: str | None
    before: Told
    after: Told


@dataclass(slots=True)
class Examples:
    """Examples of one change, as they come: the first event of each user."""

    taken: list[Example] = field(default_factory=list)
    _users: set[str | None] = field(default_factory=set)

    def offer(self, pair: Pair, user: str | None) -> None:
        """Take an event where there is room and nothing of its user yet."""
        if len(self.taken) < MOST and user not in self._users:
            self._users.add(user)
            self.taken.append(example(pair, user))


def example(pair: Pair, user: str | None) -> Example:
    """Return a pair as an example, its user called so."""
    event, after = pair.event, pair.after
    return Example(
        event_id=event.event_id or "",
        occurred_at=format_time(event.occurred_at or 0),
        user=user,
        log=after.get("log"),
        line=after.get("line"),
        outcome=event.outcome,
        network=after["network"]["kind"],
        place=(after["location"] or {}).get("place"),
        before=_told(pair.before),
        after=_told(after),
    )


def _told(answer: Answer) -> Told:
    reasons = [{name: reason[name] for name in ("code", "points", "message")} for reason in answer["reasons"]]
    return Told(decided(answer), answer["score"], answer["policy"].get("step_up_at"), reasons)
