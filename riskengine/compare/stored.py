"""A store's own items through another engine, each event's new answer beside the one it was given."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice

from riskengine.compare.pair import Answer, Pair
from riskengine.engine.arrival import Arrival, Remedy, canonical
from riskengine.engine.block import block_in
from riskengine.engine.engine import Engine
from riskengine.engine.rows import unpack_item
from riskengine.engine.saved import opened, raw_of
from riskengine.errors import InvalidInput, RiskEngineError
from riskengine.event import WITHDRAWN, Event, Report, at_time, parse_event
from riskengine.replay.lines import BATCH, run_all
from riskengine.seal import Seal
from riskengine.store.contract import EventRow, ReportRow, Store

_WHO = "store"


@dataclass(slots=True)
class Retained:
    """What became of a store's items: reports that count anew, or are refused (they answer no step-up of the new
    policy, or their event is gone), and events that could not be decided again (no longer readable, or they break the
    engine)."""

    reports: int = 0
    refused_reports: int = 0
    undecided: int = 0


@dataclass(slots=True)
class _Known:
    """What later reports need to name an event or a user: kept for those alone that have any.

    `withdrawn` are events of which a verdict was: their state does not tell that there are reports.
    """

    events: dict[int, str] = field(default_factory=dict)
    users: dict[bytes, str] = field(default_factory=dict)
    withdrawn: set[int | None] = field(default_factory=set)


def decided_again(
    store: Store, seal: Seal, engine: Engine, retained: Retained, progress: Callable[[int], object]
) -> Iterator[Pair]:
    """Yield every retained event with its answer as stored and the one that `engine` gives it.

    Events and reports go through the engine as they arrived (row ids grow with arrival), from empty histories: what
    the store no longer holds is not known. What a block of an incident denied stays denied: no policy decided it. It
    taught nothing. `progress` is told how many items are done, batch by batch.
    """
    items = _items(store, seal, retained)
    while batch := list(islice(items, BATCH)):
        outcomes = run_all(engine, [arrival for arrival, _ in batch])
        for (arrival, before), after in zip(batch, outcomes, strict=True):
            refused = isinstance(after, RiskEngineError)
            if before is None:
                retained.reports += not refused
                retained.refused_reports += refused
            elif isinstance(after, RiskEngineError):
                retained.undecided += 1
            else:
                assert isinstance(arrival.body, Event)
                yield Pair(arrival.body, before, after)
        progress(len(batch))


def _items(store: Store, seal: Seal, retained: Retained) -> Iterator[tuple[Arrival, Answer | None]]:
    """Yield the items of a store in the order of their arrival, events with their answers."""
    known = _Known(withdrawn={row.event for row in store.reports() if row.result == WITHDRAWN})
    rows: Sequence[Iterator[EventRow | ReportRow]] = (store.events(), store.reports())
    for row in merge(*rows, key=lambda row: row.id):
        if isinstance(row, EventRow):
            if not row.raw:
                continue  # emptied by a purge: nobody knows any more who it was
            try:
                yield _event(row, seal, known)
            except InvalidInput:
                retained.undecided += 1
        elif (body := _report(row, known)) is None:
            retained.refused_reports += 1
        else:
            yield Arrival(row.realm, body, row.received_at, who=_WHO, bulk=row.bulk), None


def _event(row: EventRow, seal: Seal, known: _Known) -> tuple[Arrival, Answer]:
    kept = opened(row, seal)
    event = at_time(parse_event(raw_of(row, seal)), row.occurred_at)
    if row.state != "open" or row.id in known.withdrawn:
        known.events[row.id] = event.event_id or ""
    compromised = row.state == "confirmed_compromised" or row.id in known.withdrawn
    if compromised and row.user_ref is not None and event.user_id is not None:
        known.users[row.user_ref] = event.user_id
    reports = bool(unpack_item(kept["item"])["reports"][0])
    block = block_in(kept["answer"], row.realm)
    arrival = Arrival(row.realm, event, row.received_at, reports, text=canonical(event), block=block)
    return arrival, kept["answer"]


def _report(row: ReportRow, known: _Known) -> Report | Remedy | None:
    """Return a stored report; None where what it speaks of is gone."""
    if row.event is None:
        user = known.users.get(row.user_ref)
        return None if user is None else Remedy(user, row.at)
    event_id = known.events.get(row.event)
    return None if event_id is None else Report(event_id, row.result, at=row.at)
