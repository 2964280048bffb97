"""What changes when another policy decides the same events: the figures, as values.

A Comparison is what `riskengine replay … --compare … --json` writes: its keys are the names of the fields here and of
the classes they hold, and they stay. Pairs are counted as they come and not kept: what is held grows with users,
groups, reasons and days, never with events. What a policy decided is what it would have in observe mode.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from riskengine.check import format_time
from riskengine.compare.example import Example, Examples
from riskengine.compare.pair import Answer, Pair
from riskengine.compare.tally import ReasonTally, Tallies, Tally, ordered_reasons
from riskengine.decision import DECISIONS
from riskengine.explain import decided

NO_GROUP = "(no group)"
MOST_USERS = 20
BAND = 5  # points of score a band


@dataclass(frozen=True, slots=True)
class Decider:
    """What answered some of the events: a policy in its mode, over data, by the engine or as a fallback."""

    policy: str
    version: str
    mode: str | None
    data: str | None
    data_date: str | None
    source: str
    events: int


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the two runs decided: events by decision, step-ups of right passwords apart."""

    decisions: dict[str, int]
    step_ups_of_successes: int
    deciders: list[Decider]


@dataclass(frozen=True, slots=True)
class Change:
    """The events that went from one decision to another, with a few of them."""

    before: str
    after: str
    events: int
    examples: list[Example]


@dataclass(frozen=True, slots=True)
class UserTally:
    """One user whose decisions change."""

    user: str
    events: int
    stricter: int
    laxer: int


@dataclass(frozen=True, slots=True)
class Band:
    """How many events score from `low` to below `high` (of the last band, to 100)."""

    low: int
    high: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Day:
    """What changed on one day, UTC."""

    day: str
    events: int
    stricter: int
    laxer: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures. `rescored` events have another score, decided otherwise or not. An event counts in each group of its
    user; `users` are those with most changes, of `users_changed`."""

    events: int
    users: int
    first: str | None
    last: str | None
    changed: int
    stricter: int
    laxer: int
    rescored: int
    before: Side
    after: Side
    changes: list[Change]
    by_reason: dict[str, ReasonTally]
    by_group: dict[str, Tally]
    by_network: dict[str, Tally]
    by_outcome: dict[str, Tally]
    users_changed: int
    most_affected: list[UserTally]
    scores: list[Band]
    days: list[Day]


# What to call a pair's user; None where the account does not exist.
Naming = Callable[[Pair], str | None]


def by_name(pair: Pair) -> str | None:
    """Call a user as the log does."""
    return pair.event.user_id


def by_pseudonym(pair: Pair) -> str | None:
    """Call a user by the `user_ref` of the answer before."""
    found: str | None = pair.before["user_ref"]
    return found


def compare(pairs: Iterable[Pair], naming: Naming = by_name) -> Comparison:
    """Return the figures of pairs, whose users are called by `naming`."""
    counting = _Counting(naming)
    for pair in pairs:
        counting.add(pair)
    return counting.result()


class _Side:
    """Counts of one run."""

    def __init__(self) -> None:
        self.decisions: Counter[str] = Counter()
        self.step_ups = 0
        self.deciders: Counter[tuple[str, str, str | None, str | None, str | None, str]] = Counter()
        self.bands: Counter[int] = Counter()

    def add(self, answer: Answer, outcome: str) -> str:
        """Count one answer, and return what was decided."""
        decision, policy, data = decided(answer), answer["policy"], answer["data"]
        self.decisions[decision] += 1
        self.step_ups += decision == "step_up" and outcome == "success"
        made = (policy["name"], policy["version"], policy.get("mode"), data["source"], data["date"], answer["source"])
        self.deciders[made] += 1
        self.bands[min(int(answer["score"]), 99) // BAND] += 1
        return decision

    def result(self) -> Side:
        deciders = [Decider(*made, count) for made, count in self.deciders.items()]
        deciders.sort(key=lambda one: (-one.events, str(one)))
        return Side({name: self.decisions[name] for name in DECISIONS}, self.step_ups, deciders)


class _Counting:
    """All counts, while they grow."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        self._all, self._rescored = Tally(), 0
        self._before, self._after = _Side(), _Side()
        self._examples: dict[tuple[str, str], Examples] = {}
        self._moved: Counter[tuple[str, str]] = Counter()
        self._reasons: dict[str, ReasonTally] = {}
        self._groups, self._networks, self._outcomes = Tallies(), Tallies(), Tallies()
        self._users, self._days = Tallies(), Tallies()
        self._times: tuple[int, int] | None = None

    def add(self, pair: Pair) -> None:
        """Count one pair."""
        event, at = pair.event, pair.event.occurred_at or 0
        both = self._before.add(pair.before, event.outcome), self._after.add(pair.after, event.outcome)
        self._all.add(*both)
        self._rescored += pair.before["score"] != pair.after["score"]
        self._times = (at, at) if self._times is None else (min(at, self._times[0]), max(at, self._times[1]))
        for group in sorted(set(event.groups)) or [NO_GROUP]:
            self._groups.add(group, *both)
        self._networks.add(pair.after["network"]["kind"], *both)
        self._outcomes.add(event.outcome, *both)
        self._days.add(format_time(at)[:10], *both)
        user = self._naming(pair)
        if user is not None:
            self._users.add(user, *both)
        self._count_reasons(pair, *both)
        if both[0] != both[1]:
            self._moved[both] += 1
            self._examples.setdefault(both, Examples()).offer(pair, user)

    def _count_reasons(self, pair: Pair, before: str, after: str) -> None:
        codes = [[reason["code"] for reason in answer["reasons"]] for answer in (pair.before, pair.after)]
        had, has = set(codes[0]), set(codes[1])
        for code in had | has:
            found = self._reasons.setdefault(code, ReasonTally())
            found.before += code in had
            found.after += code in has
            if before != after:
                found.gained += code not in had
                found.lost += code not in has
        if before != after:
            stricter = DECISIONS.index(after) > DECISIONS.index(before)
            for code in codes[1 if stricter else 0][:1]:
                self._reasons[code].stricter += stricter
                self._reasons[code].laxer += not stricter

    def result(self) -> Comparison:
        """Return what was counted."""
        users = self._users.ordered()
        affected = [UserTally(name, one.events, one.stricter, one.laxer) for name, one in users.items() if one.changed]
        moved = sorted(self._moved, key=lambda both: [DECISIONS.index(decision) for decision in both])
        return Comparison(
            events=self._all.events,
            users=len(users),
            first=format_time(self._times[0]) if self._times else None,
            last=format_time(self._times[1]) if self._times else None,
            changed=self._all.changed,
            stricter=self._all.stricter,
            laxer=self._all.laxer,
            rescored=self._rescored,
            before=self._before.result(),
            after=self._after.result(),
            changes=[Change(*both, self._moved[both], self._examples[both].taken) for both in moved],
            by_reason=ordered_reasons(self._reasons),
            by_group=self._groups.ordered(),
            by_network=self._networks.ordered(),
            by_outcome=self._outcomes.ordered(),
            users_changed=len(affected),
            most_affected=affected[:MOST_USERS],
            scores=[
                Band(at * BAND, (at + 1) * BAND, self._before.bands[at], self._after.bands[at])
                for at in range(100 // BAND)
            ],
            days=[Day(day, one.events, one.stricter, one.laxer) for day, one in sorted(self._days.of.items())],
        )
