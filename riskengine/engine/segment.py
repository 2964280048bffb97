"""One segment of a batch inside its transaction: lock, admit, load, assess, save."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from riskengine.assess import Assessments, assess
from riskengine.batch import Batch, Names, empty
from riskengine.counters.minutes import Span
from riskengine.decision import DECISIONS
from riskengine.engine.admit import NO_ACCOUNT, Entry, check_report, claim, standing, unanswerable
from riskengine.engine.answer import Scene, answer, journey_rows, judged, told
from riskengine.engine.arrival import Arrival, Remedy
from riskengine.engine.attempts import count_attempts, spans
from riskengine.engine.block import Block
from riskengine.engine.board import Board
from riskengine.engine.payment import give_back, spend
from riskengine.engine.rows import event_rows, pack_items, report_row, unpack_item
from riskengine.engine.saved import (
    event_row,
    history_rows,
    items_of,
    load_histories,
    made_report_row,
    opened,
)
from riskengine.engine.sharing import count_days, day_spans, shown
from riskengine.engine.tokens import Tokeniser
from riskengine.errors import Conflict, NotFound, RiskEngineError
from riskengine.event import REFOLDING, WITHDRAWN, Report
from riskengine.history.learn import fold
from riskengine.history.record import Records
from riskengine.locate.locator import Locator, Places
from riskengine.metrics import Stages
from riskengine.policy.policy import Policy
from riskengine.store.contract import Cell, CellKey, DayCell, EventRow, ReportRow, Store, Transaction

Outcome = dict[str, Any] | RiskEngineError
OTHER_BODY = "the event id was used before with another body"


class Busy(RiskEngineError):
    """Another worker holds this user just now; the item goes back to the head of the queue."""


class Repeated(dict[str, Any]):
    """The stored answer to an event that was sent before."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A report or remedy that takes part: the row it becomes, its user, and its event where there is one.

    `twin` is the index of an event of this very segment that it speaks of, -1 for one that is stored.
    """

    index: int
    arrival: Arrival
    row: np.ndarray
    user: bytes
    result: str
    at: int
    event: EventRow | None = None
    twin: int = -1


@dataclass(frozen=True, slots=True)
class Loaded:
    """A segment as the core takes it. `position` says which row of `batch` an item (by index) is, `events` those of the
    events."""

    batch: Batch
    events: list[int]
    position: dict[int, int]
    users: list[bytes]
    realm_of: dict[bytes, str]
    records: Records
    names: Names
    added: dict[CellKey, Cell]
    days: list[DayCell]


@dataclass(frozen=True, slots=True)
class Folded:
    """A history folded again, resting on the items up to `seq`."""

    seq: int
    record: Records


@dataclass(slots=True)
class Segment:
    """The items of one segment, by their index among the arrivals, and what became of each so far."""

    tokeniser: Tokeniser
    locator: Locator
    board: Board
    policy: Policy
    shadow: Policy | None
    entries: list[Entry]
    places: Places
    ids: dict[int, int]  # row id of each item
    others: dict[int, Arrival]  # reports and remedies
    keys: dict[int, bytes]  # event key of each report
    blocked: dict[int, Block] = field(default_factory=dict)  # what holds an event
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    items: dict[int, bytes] = field(default_factory=dict)  # packed ITEM row of each event decided
    days: list[DayCell] = field(default_factory=list)  # day cells that it changes
    folded: Folded | None = None
    stages: Stages = field(default_factory=Stages)

    def take(self, tx: Transaction) -> dict[int, Outcome]:
        """Decide and save the segment; return each item's outcome. What is locked elsewhere is Busy."""
        busy = self._lock(tx)
        self.outcomes |= {index: Busy("the user is held by another worker") for index in busy}
        waiting = [one for one in self.entries if one.index not in busy]
        paid = spend(waiting, tx)
        waiting = paid.entries
        self.outcomes |= paid.refused
        fresh, stored, twins = claim(waiting, self.ids, tx)
        for one in waiting:
            if one.index in stored:
                self.outcomes[one.index] = self._repeat(one, stored[one.index])
        accepted = self._admit(tx, fresh, busy)
        self.stages.lap("lock")
        alone = accepted[0] if len(accepted) == 1 and not fresh else None
        if alone is not None and alone.result in REFOLDING:
            self._refold(tx, alone)
        elif alone is not None and alone.result == "remediated":
            self._remedy(tx, alone)
        elif fresh or accepted:
            self._decide(tx, fresh, accepted)
        for repeat, first in twins:
            if first.index in stored:
                self.outcomes[repeat.index] = self._repeat(repeat, stored[first.index])
            elif repeat.tokens.fingerprint == first.tokens.fingerprint:
                self.outcomes[repeat.index] = self.outcomes[first.index]
            else:
                self.outcomes[repeat.index] = Conflict(OTHER_BODY)
        give_back(paid, self.outcomes, tx)
        return self.outcomes

    def preview(self, tx: Transaction) -> dict[int, Outcome]:
        """Return the answers to the segment's events and save nothing."""
        loaded = self._load(tx, self.entries, [])
        result = self._assess(loaded)
        return dict(self._answers(tx, self.entries, loaded, result))

    def _lock(self, tx: Transaction) -> set[int]:
        """Try to lock every user concerned; return the indexes of the items that must wait."""
        inside = {one.tokens.event_key: one.tokens.user_ref for one in self.entries}
        stored = tx.find_events(set(self.keys.values())) if self.keys else {}
        users_of = {one.index: {one.tokens.user_ref} for one in self.entries}
        for index, key in self.keys.items():
            # An event of this segment may turn out to be a repeat of another user's: then that one's history counts.
            users_of[index] = {inside.get(key), stored[key].user_ref if key in stored else None}
        for index, arrival in self.others.items():
            if isinstance(arrival.body, Remedy):
                users_of[index] = {self.tokeniser.user_ref(arrival.realm, arrival.body.user_id)}
        users = {user for some in users_of.values() for user in some if user is not None}
        held = tx.lock_users(users) if users else set()
        return {index for index, some in users_of.items() if some - {None} - held}

    def _repeat(self, one: Entry, row: EventRow | None) -> Outcome:
        """Return what an event id that was used before gets: the same answer, or a Conflict for another body."""
        if row is None:
            return Conflict("the event id was used before and its event is gone")
        if row.fingerprint != one.tokens.fingerprint:
            return Conflict(OTHER_BODY)
        return Repeated(opened(row, self.tokeniser.seal)["answer"])

    def _admit(self, tx: Transaction, fresh: Sequence[Entry], busy: set[int]) -> list[Accepted]:
        """Return the reports and remedies that take part; the outcome of the others is settled."""
        inside = {one.tokens.event_key: one for one in fresh}
        wanted = {key for index, key in self.keys.items() if index not in busy and key not in inside}
        stored = tx.find_events(wanted) if wanted else {}
        accepted = []
        for index, arrival in self.others.items():
            if index in busy:
                continue
            body = arrival.body
            if isinstance(body, Remedy):
                named = self.tokeniser.user_ref(arrival.realm, body.user_id)
                row = report_row(None, "remediated", body.at)
                accepted.append(Accepted(index, arrival, row, named, "remediated", body.at))
                continue
            assert isinstance(body, Report)
            assert body.at is not None
            twin = inside.get(self.keys[index])
            if twin is not None and twin.index < index:
                row, user = report_row(None, body.result, body.at), twin.tokens.user_ref
                if user is None:
                    self.outcomes[index] = Conflict(NO_ACCOUNT)
                else:
                    accepted.append(Accepted(index, arrival, row, user, body.result, body.at, twin=twin.index))
                continue
            try:
                found = self._admit_stored(tx, index, arrival, body, body.at, stored.get(self.keys[index]))
            except (NotFound, Conflict) as error:
                self.outcomes[index] = error
            else:
                accepted += found
        return accepted

    def _admit_stored(
        self, tx: Transaction, index: int, arrival: Arrival, body: Report, at: int, event: EventRow | None
    ) -> list[Accepted]:
        """Return a report on a stored event, or nothing where it is a repeat."""
        if not check_report(body, event, tx.reports_on(event.id) if event else [], arrival.bulk):
            self.outcomes[index] = reported(body.event_id, body.result)
            return []
        assert event is not None
        assert event.user_ref is not None
        row = self._verdict_row(event, body)
        return [Accepted(index, arrival, row, event.user_ref, body.result, at, event)]

    def _load(self, tx: Transaction, fresh: Sequence[Entry], accepted: Sequence[Accepted]) -> Loaded:
        """Return the segment as the core takes it: rows in order of arrival, histories, what others did."""
        realm_of = self._realms(fresh, accepted)
        users = sorted(realm_of)
        number = {user: index for index, user in enumerate(users)}
        records = load_histories(tx, users, realm_of, self.tokeniser.seal)
        names = Names()
        rows = self._event_rows(fresh, number, names)
        added, days = self._count(tx, fresh, rows) if fresh else ({}, [])
        order = sorted([*(one.index for one in fresh), *(a.index for a in accepted)])
        position = {index: place for place, index in enumerate(order)}
        batch, events = empty(len(order)), [position[one.index] for one in fresh]
        batch[events] = rows
        for report in accepted:
            row = report.row.copy()
            if report.twin >= 0:
                row = report_row(batch[position[report.twin] : position[report.twin] + 1], report.result, report.at)
                row["source"] = position[report.twin]
            row["user"] = number[report.user]
            batch[position[report.index]] = row[0]
        return Loaded(batch, events, position, users, realm_of, records, names, added, days)

    def _count(self, tx: Transaction, fresh: Sequence[Entry], rows: Batch) -> tuple[dict[CellKey, Cell], list[DayCell]]:
        """Fill in, in place, what the events see of the counters; return what they add to those."""
        tokens, limits, sharing = [one.tokens for one in fresh], self.policy.attempts, self.policy.sharing
        cells = tx.load_cells(spans(rows, tokens, limits.window_minutes))
        added = count_attempts(rows, tokens, cells, Span(limits.window_minutes, limits.failures_per_user))
        show = shown(rows, fresh, self.tokeniser.seal)
        return added, count_days(rows, show, self.board.load(tx, day_spans(show, sharing.days)), sharing)

    def _realms(self, fresh: Sequence[Entry], accepted: Sequence[Accepted]) -> dict[bytes, str]:
        of_events = {one.tokens.user_ref: one.arrival.realm for one in fresh if one.tokens.user_ref is not None}
        return {**of_events, **{report.user: report.arrival.realm for report in accepted}}

    def _event_rows(self, fresh: Sequence[Entry], number: Mapping[bytes, int], names: Names) -> Batch:
        """Return the rows of the events; one from the journal comes as it was decided."""
        at = {one.index: place for place, one in enumerate(self.entries)}
        users = [-1 if one.tokens.user_ref is None else number[one.tokens.user_ref] for one in fresh]
        columns = self.places.columns[[at[one.index] for one in fresh]]
        labels = [self.places.labels[at[one.index]] for one in fresh]
        rows = event_rows(fresh, users, [self.ids[one.index] for one in fresh], columns, names, labels)
        for place, one in enumerate(fresh):
            if one.journaled is not None:
                kept = unpack_item(one.journaled.item)
                kept["user"], kept["row"] = users[place], self.ids[one.index]
                rows[place] = kept[0]
        return rows

    def _assess(self, loaded: Loaded) -> Assessments:
        widening = self.locator.source().factors(loaded.batch["event_time"])
        held = np.zeros(len(loaded.batch), bool)
        held[[loaded.position[index] for index in self.blocked if index in loaded.position]] = True
        return assess(loaded.batch, loaded.names, loaded.records, self.policy, widening, self.shadow, held)

    def _decide(self, tx: Transaction, fresh: Sequence[Entry], accepted: Sequence[Accepted]) -> None:
        """Assess what was admitted, and save it."""
        loaded = self._load(tx, fresh, accepted)
        self.stages.lap("load")
        result = self._assess(loaded)
        self.stages.lap("assess")
        replies = dict(self._answers(tx, fresh, loaded, result))
        self.stages.lap("answer")
        self.outcomes |= replies
        seal = self.tokeniser.seal
        packed = pack_items(result.items[loaded.events])
        self.items |= {one.index: item for one, item in zip(fresh, packed, strict=True)}
        seqs = result.verdicts["seq"][loaded.events].tolist()
        events = [
            event_row(one, self.ids[one.index], replies[one.index], item, seq, seal)
            for one, item, seq in zip(fresh, packed, seqs, strict=True)
        ]
        reports, states = self._reports(accepted, loaded, result)
        histories = history_rows(loaded.users, loaded.records, loaded.realm_of, seal)
        tx.save(events, reports, states, histories, loaded.added)
        tx.save_days(loaded.days)
        self.days = loaded.days
        self.stages.lap("save")

    def _answers(
        self, tx: Transaction, fresh: Sequence[Entry], loaded: Loaded, result: Assessments
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (index, answer) of each event; what the journal brings was answered before."""
        scene = Scene(self.policy, self.locator.source(), self._names(tx, loaded, result), shadow=self.shadow)
        label = {one.index: self.places.labels[place] for place, one in enumerate(self.entries)}
        found = judged(result, loaded.events)
        for one, row in zip(fresh, found, strict=True):
            if one.journaled is not None:
                yield one.index, dict(one.journaled.answer)
            else:
                yield one.index, answer(told(one, self.blocked.get(one.index)), label[one.index], row, scene)

    def _names(self, tx: Transaction, loaded: Loaded, result: Assessments) -> dict[int, str | None]:
        """Return what to call the other ends of the journeys worth telling, by row id of their event."""
        names = {self.ids[one.index]: self.places.labels[at].place() for at, one in enumerate(self.entries)}
        missing = journey_rows(result, loaded.events) - names.keys()
        for row in tx.events_by_id(missing).values() if missing else ():
            where = opened(row, self.tokeniser.seal)["answer"]["location"] if row.assessment else None
            names[row.id] = where["place"] if where else None
        return names

    def _reports(
        self, accepted: Sequence[Accepted], loaded: Loaded, result: Assessments
    ) -> tuple[list[ReportRow], dict[int, str]]:
        """Return the rows of the reports that count, and the new states of their events; settle their outcome."""
        rows, states = [], {}
        for report in accepted:
            place = loaded.position[report.index]
            body = report.arrival.body
            item = result.items[place]
            took = int(item["time"] - item["event_time"])
            refusal = unanswerable(report.result, DECISIONS[item["decision"]], took) if report.twin >= 0 else None
            if refusal is not None:
                self.outcomes[report.index] = Conflict(refusal)
                continue
            event = self.ids[report.twin] if report.twin >= 0 else report.event.id if report.event else None
            seq = int(result.verdicts["seq"][place])
            row_id = self.ids[report.index]
            seal = self.tokeniser.seal
            rows.append(
                made_report_row(report.arrival, row_id, event, report.user, seq, report.result, report.at, seal)
            )
            if event is not None:
                states[event] = report.result
            if isinstance(body, Report):
                self.outcomes[report.index] = reported(body.event_id, body.result)
            else:
                self.outcomes[report.index] = remediated(report.user)
        return rows, states

    def _remedy(self, tx: Transaction, remedy: Accepted) -> None:
        """End "at risk"; NotFound for a user never seen, and nothing to do for one who is not at risk."""
        realm_of = {remedy.user: remedy.arrival.realm}
        if not tx.load_histories([remedy.user]):
            self.outcomes[remedy.index] = NotFound("there is no such user")
        elif not load_histories(tx, [remedy.user], realm_of, self.tokeniser.seal)["at_risk"][0]:
            self.outcomes[remedy.index] = remediated(remedy.user)
        else:
            self._decide(tx, [], [remedy])

    def fold_ahead(self, store: Store) -> None:
        """Fold the history that a compromise or a withdrawal changes before anything is locked: it may be long.

        What the fold rests on is checked again under the lock; if the user has moved on, it is done once more there.
        """
        if self.entries or len(self.others) != 1:
            return
        [(index, arrival)] = self.others.items()
        if not isinstance(arrival.body, Report) or arrival.body.result not in REFOLDING:
            return
        with store.transaction() as tx:
            event = tx.find_events({self.keys[index]}).get(self.keys[index])
            if event is None or event.user_ref is None:
                return
            kept, seq = tx.items_of(event.user_ref), self._seq(tx, event.user_ref)
        items = items_of(*kept, self.tokeniser.seal)
        self.folded = Folded(seq, fold(np.concatenate([items, self._verdict_row(event, arrival.body)])))

    def _seq(self, tx: Transaction, user: bytes) -> int:
        row = tx.load_histories([user]).get(user)
        return row.seq if row else 0

    def _verdict_row(self, event: EventRow, body: Report) -> np.ndarray:
        assert body.at is not None
        return report_row(unpack_item(opened(event, self.tokeniser.seal)["item"]), body.result, body.at)

    def _refold(self, tx: Transaction, report: Accepted) -> None:
        """Take in a confirmed compromise or a withdrawal: the user's history is folded again, without the event, or as
        if the verdict had never been given."""
        seal, event = self.tokeniser.seal, report.event
        assert event is not None
        assert isinstance(report.arrival.body, Report)
        seq = self._seq(tx, report.user)
        if self.folded is not None and self.folded.seq == seq:
            record = self.folded.record
        else:
            record = fold(np.concatenate([items_of(*tx.items_of(report.user), seal), report.row]))
        record["seq"] = seq + 1  # a purge may have taken items that the fold no longer counts
        realm, row_id = report.arrival.realm, self.ids[report.index]
        row = made_report_row(report.arrival, row_id, event.id, report.user, seq + 1, report.result, report.at, seal)
        histories = history_rows([report.user], record, {report.user: realm}, seal)
        state = report.result
        if state == WITHDRAWN:
            left = standing([*tx.reports_on(event.id), row])
            state = left[-1].result if left else "open"
        tx.save([], [row], {event.id: state}, histories, {})
        self.outcomes[report.index] = reported(report.arrival.body.event_id, report.result)


def reported(event_id: str, result: str) -> dict[str, Any]:
    """Return the answer to a report, new or repeated."""
    return {"event_id": event_id, "result": result}


def remediated(user: bytes) -> dict[str, Any]:
    """Return the answer to a remedy, new or repeated."""
    return {"user_ref": user.hex(), "at_risk": False}
