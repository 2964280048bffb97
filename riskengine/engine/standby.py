"""What answers while the store does not: signals that need no store, and a synced journal that keeps what was said."""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence

import structlog

from riskengine.engine.arrival import Arrival, Journaled
from riskengine.engine.culprit import halved
from riskengine.engine.engine import Engine
from riskengine.engine.gate import Doubtful, Gate
from riskengine.engine.saved import from_journal
from riskengine.engine.segment import OTHER_BODY, Busy, Outcome
from riskengine.errors import Conflict, StoreUnavailable
from riskengine.event import Event, Report
from riskengine.journal import Journal

# Answers kept so that a retry gets the same one while the store cannot tell; some kB each.
REMEMBERED = 4_096
_log = structlog.get_logger(__name__)


class Standby:
    """Answers events by an engine's fallback, each journaled before it is answered. Its calls wait for the disk.

    `failed`: the journal could not be written when it was last tried, so nobody could be answered. It remembers which
    events it answered until the journal is empty: the store must not decide those again.
    """

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine, self._journal = engine, journal
        self._told: OrderedDict[tuple[str, str], tuple[bytes, Outcome]] = OrderedDict()
        self._pending: set[int] = set()
        self.failed = False
        for record in deque(journal.waiting(), REMEMBERED):
            self._recall(record)

    def waits(self, arrival: Arrival) -> bool:
        """Return whether an item is, or speaks of, an event that was answered here and is not saved yet."""
        if not self._journal.pending():
            self._pending.clear()
            return False
        body = arrival.body
        return isinstance(body, Event | Report) and hash((arrival.realm, body.event_id)) in self._pending

    def answer(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        """Return the outcome of each item. A report is StoreUnavailable, and so is an event with a one-time token:
        only the store can take these."""
        served = [isinstance(arrival.body, Event) and arrival.ticket is None for arrival in arrivals]
        events = [arrival for arrival, may in zip(arrivals, served, strict=True) if may]
        replies = iter(self._fallback(events)) if events else iter(())
        missing = StoreUnavailable("the store does not answer")
        return [next(replies) if may else missing for may in served]

    def instead(self, arrivals: Sequence[Arrival], gate: Gate) -> list[Outcome]:
        """Return the outcomes of a batch given up on: as decided where that is or may be stored, else a fallback."""
        found, doubtful = gate.close()
        found |= self._kept(arrivals, doubtful)
        rest = [index for index in range(len(arrivals)) if index not in found]
        found |= zip(rest, self.answer([arrivals[index] for index in rest]), strict=True)
        return [found[index] for index in range(len(arrivals))]

    def confirm(self, arrivals: Sequence[Arrival], outcomes: Sequence[Outcome], gate: Gate) -> list[Outcome]:
        """Return a batch's outcomes; what waits for a commit of its own that was lost gets what that had decided."""
        _, doubtful = gate.close()
        found = self._kept(arrivals, {i: one for i, one in doubtful.items() if isinstance(outcomes[i], Busy)})
        return [found.get(index, outcome) for index, outcome in enumerate(outcomes)]

    def prove(self) -> None:
        """Find out whether the journal can be written again."""
        try:
            self._journal.prove()
        except StoreUnavailable:
            return
        self.failed = False

    def _kept(self, arrivals: Sequence[Arrival], doubtful: Mapping[int, Doubtful]) -> dict[int, Outcome]:
        """Return what was decided and perhaps stored, journaled now; StoreUnavailable where that fails."""
        kept = {index: one.record for index, one in doubtful.items() if one.record is not None}
        try:
            self._append(list(kept.values()), [_name(arrivals[index]) for index in kept])
        except StoreUnavailable as error:
            return dict.fromkeys(doubtful, error)
        return {index: one.outcome for index, one in doubtful.items()}

    def _fallback(self, events: Sequence[Arrival]) -> list[Outcome]:
        try:
            return halved(self._journaled, events)
        except StoreUnavailable as error:
            return [error] * len(events)

    def _journaled(self, events: Sequence[Arrival]) -> list[Outcome]:
        """Return the answers to events, those not answered before journaled; what came before is told again."""
        names = [_name(event) for event in events]
        fresh = {name: event for name, event in reversed([*zip(names, events, strict=True)]) if name not in self._told}
        arrivals = list(fresh.values())
        found = self._engine.fallback(arrivals, "store") if fresh else []
        self._append([record for _, record in found], fresh)
        for name, event, (reply, _) in zip(fresh, arrivals, found, strict=True):
            self._told[name] = (event.text, reply)
        replies = [_again(*self._told[name], event) for name, event in zip(names, events, strict=True)]
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return replies

    def _recall(self, record: bytes) -> None:
        """Remember an event that a process before this one answered: a retry gets that answer, which will be stored."""
        try:
            arrival = from_journal(record)
        except Exception as error:  # whoever saves it will count it as damaged
            _log.warning("journal_record_not_recalled", cause=type(error).__name__)
            return
        if isinstance(arrival.body, Journaled):
            name = arrival.realm, arrival.body.event.event_id or ""
            self._told[name] = (arrival.text, dict(arrival.body.answer))
            self._pending.add(hash(name))

    def _append(self, records: Sequence[bytes], names: Iterable[tuple[str, str]]) -> None:
        if not records:
            return
        try:
            self._journal.append(records)
        except StoreUnavailable as error:
            self.failed = True
            _log.error("journal_not_written", why=str(error))
            raise
        self.failed = False
        self._pending.update(map(hash, names))


def _name(arrival: Arrival) -> tuple[str, str]:
    """Return what an event is known by: realm and id."""
    assert isinstance(arrival.body, Event)
    return arrival.realm, arrival.body.event_id or ""


def _again(text: bytes, reply: Outcome, arrival: Arrival) -> Outcome:
    """Return the answer that was given, or a Conflict for another body."""
    return reply if text == arrival.text else Conflict(OTHER_BODY)
