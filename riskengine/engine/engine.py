"""Locate, lock, admit, load, assess, save: one batch of the sequence against one store."""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import structlog

from riskengine.assess import assess
from riskengine.batch import Names
from riskengine.check import format_time
from riskengine.decision import DECISIONS
from riskengine.engine.admit import entry, segments
from riskengine.engine.answer import Scene, answer, judged, stricter, told
from riskengine.engine.arrival import Arrival, Journaled, receive
from riskengine.engine.blocks import Blocks
from riskengine.engine.board import Board
from riskengine.engine.culprit import Culprit, halves
from riskengine.engine.gate import Gate
from riskengine.engine.payment import SPENT
from riskengine.engine.rows import event_rows
from riskengine.engine.saved import from_journal, journal_record, opened, raw_of, report_detail
from riskengine.engine.segment import Busy, Outcome, Segment
from riskengine.engine.tokens import Tokeniser
from riskengine.errors import AccessDenied, NotFound, StoreUnavailable
from riskengine.event import Event, Report
from riskengine.explain import explain
from riskengine.history.record import blank
from riskengine.locate.locator import Locator
from riskengine.policy.policy import Policy
from riskengine.seal import Seal
from riskengine.store.contract import Store

_log = structlog.get_logger(__name__)
_SEQUENCE_BITS = 12
_WORKERS = 1024
_ERA_MS = 1_577_836_800_000  # 2020-01-01 …
# … to 2089: what row ids can count within 63 bits, with room behind it for a log of 10^12 lines
_LAST_MS = 2**41 - 2**32
PATIENCE = 200  # how often, and after what pause, a journaled event's user is tried again
PAUSE_SECONDS = 0.01


class Engine:
    """Decides and saves batches against one store, one locator and one set of keys, by a policy that may be replaced.

    One feeder, one engine; a verdict that folds a history again may run beside it in a thread of its own. Every method
    that reaches the store may raise StoreUnavailable, and has then changed nothing.
    """

    def __init__(self, store: Store, locator: Locator, policy: Policy, seal: Seal) -> None:
        self.store, self.locator, self.policy, self.seal = store, locator, policy, seal
        self.shadow: Policy | None = None
        self.blocks = Blocks()
        self.tokeniser, self._board = Tokeniser(seal), Board()
        self._last_id = 0
        self._numbering = threading.Lock()

    def adopt(self, policy: Policy, shadow: Policy | None) -> None:
        """Decide by another policy from the next segment on, with another one, or none, alongside.

        What is under way ends by the policy it began with.
        """
        self.policy, self.shadow = policy, shadow

    def heed(self, blocks: Blocks) -> None:
        """Deny what these blocks hold, from the next segment on, and nothing that former ones did."""
        self.blocks = blocks

    def run(self, arrivals: Sequence[Arrival], gate: Gate | None = None) -> list[Outcome]:
        """Decide, learn and save; return each item's answer, or the error it earned, in order.

        It passes `gate` around each commit. Busy marks items whose user another worker holds, and all that came after
        such a one. When the store fails after a part was committed, the rest gets that StoreUnavailable. An item that
        breaks the engine is a Culprit, and fails alone.
        """
        outcomes: list[Outcome] = [Busy("its turn has not come")] * len(arrivals)
        gate = gate or Gate()
        gate.stages.lap("handover")
        for indexes in segments(arrivals):
            try:
                done = self._take_or_split({index: arrivals[index] for index in indexes}, gate)
            except StoreUnavailable as error:
                if not gate.outcomes:
                    raise
                done = {index: gate.outcomes.get(index, error) for index in range(indexes[0], len(arrivals))}
            for index, outcome in done.items():
                outcomes[index] = outcome
            if any(isinstance(outcome, Busy | StoreUnavailable) for outcome in done.values()):
                break
        return outcomes

    def _take_or_split(self, arrivals: Mapping[int, Arrival], gate: Gate) -> dict[int, Outcome]:
        """Take one segment; if something in it breaks the engine, take its halves."""
        try:
            return self._take(arrivals, gate)
        except StoreUnavailable:
            raise
        except Exception as error:
            _log.exception("segment_broken", items=len(arrivals))
            if len(arrivals) == 1:
                return dict.fromkeys(arrivals, Culprit(error))
        done: dict[int, Outcome] = {}
        for half in halves(list(arrivals)):
            done |= self._take_or_split({index: arrivals[index] for index in half}, gate)
            if any(isinstance(outcome, Busy) for outcome in done.values()):
                break
        return done

    def _take(self, arrivals: Mapping[int, Arrival], gate: Gate) -> dict[int, Outcome]:
        """Take one segment through its transaction and the gate."""
        ids = {index: self._next_id(arrival.received_at) for index, arrival in arrivals.items()}
        segment = self._segment(arrivals, ids)
        segment.stages = gate.stages
        segment.stages.lap("locate")
        segment.fold_ahead(self.store)
        done: dict[int, Outcome] = {}
        try:
            with self.store.transaction() as tx:
                segment.take(tx)
                gate.commit(segment)
            segment.stages.lap("commit")
            self._board.took(segment.days)
            done = segment.outcomes
        finally:
            gate.committed(done)
        return done

    def insist(self, arrival: Arrival) -> Outcome:
        """Return the outcome of one report or remedy, tried again while another worker holds the user."""
        for _ in range(PATIENCE):
            [outcome] = self.run([arrival])
            if not isinstance(outcome, Busy):
                return outcome
            time.sleep(PAUSE_SECONDS)
        return StoreUnavailable("another worker holds the user")

    def preview(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        """Return what `run` would answer to each of these events by itself, and change nothing."""
        outcomes = []
        for arrival in arrivals:
            segment = self._segment({0: arrival}, {0: 0})
            with self.store.transaction() as tx:
                outcomes.append(segment.preview(tx)[0])
        return outcomes

    def pay(self, token: bytes, at: int) -> None:
        """Spend a one-time token on what is no event; AccessDenied if it was used before."""
        with self.store.transaction() as tx:
            if tx.spend([(token, os.urandom(16), at)]):
                raise AccessDenied(SPENT, error="invalid_token")

    def rehearse(self) -> None:
        """Answer a made-up login and forget it, so that nobody waits for what is slow only once."""
        nobody = Event("nobody", "192.0.2.1", device_id="none", user_agent="none")
        self.preview([receive(nobody, "rehearsal", 0, False)])

    def fallback(self, arrivals: Sequence[Arrival], missing: str) -> list[tuple[dict[str, Any], bytes]]:
        """Return, without any store, each event's answer and the journal record that makes it last.

        The answer is the stricter of the policy's fallback and every signal that needs no store; `missing` is what
        `degraded` names.
        """
        segment = self._segment(dict(enumerate(arrivals)), {})
        names, places = Names(), segment.places
        users = [-1 if one.tokens.user_ref is None else one.index for one in segment.entries]
        batch = event_rows(segment.entries, users, [0] * len(users), places.columns, names, places.labels)
        source = self.locator.source()
        widening = source.factors(batch["event_time"])
        held = np.array([one.index in segment.blocked for one in segment.entries], bool)
        result = assess(batch, names, blank(len(users)), segment.policy, widening, segment.shadow, held)
        scene = Scene(segment.policy, source, {}, (missing,), "fallback", segment.shadow)
        found = []
        rows = judged(result, range(len(users)))
        for index, one in enumerate(segment.entries):
            block = segment.blocked.get(one.index)
            reply = stricter(answer(told(one, block), places.labels[index], rows[index], scene), scene)
            item = result.items[index : index + 1]
            item["decision"], item["fallback"] = DECISIONS.index(reply["decision"]), True
            found.append((reply, journal_record(one, reply, item)))
        return found

    def save_journaled(self, records: Sequence[bytes]) -> None:
        """Save events that were answered without the store, as they were answered; repeats are passed over."""
        arrivals = [from_journal(record) for record in records]
        for _ in range(PATIENCE):
            outcomes = self.run(arrivals)
            for outcome in outcomes:
                if isinstance(outcome, StoreUnavailable | Culprit):
                    raise outcome
            arrivals = [a for a, outcome in zip(arrivals, outcomes, strict=True) if isinstance(outcome, Busy)]
            if not arrivals:
                return
            time.sleep(PAUSE_SECONDS)
        raise StoreUnavailable("another worker holds the users of journaled events")

    def find(self, event_id: str, realm: str) -> dict[str, Any]:
        """Return one event as it was sent, its full answer, and the reports on it; NotFound if there is none."""
        found = self.store.read_event(self.tokeniser.event_key(realm, event_id))
        if found is None:
            raise NotFound("there is no such event")
        row, reports = found
        found_answer = opened(row, self.seal)["answer"]
        return {
            "event": {**raw_of(row, self.seal), "received_at": format_time(row.received_at)},
            "answer": found_answer,
            "explanation": explain(found_answer),
            "state": row.state,
            "reports": [
                {"result": report.result, "at": format_time(report.at), **report_detail(report, self.seal)}
                for report in reports
            ],
        }

    def _segment(self, arrivals: Mapping[int, Arrival], ids: dict[int, int]) -> Segment:
        """Return a segment with its events located and tokenised, before anything is locked."""
        events = {i: a for i, a in arrivals.items() if isinstance(a.body, Event | Journaled)}
        entries = [entry(index, arrival, self.tokeniser) for index, arrival in events.items()]
        places = self.locator.locate([one.event.ip for one in entries])
        return Segment(
            self.tokeniser,
            self.locator,
            self._board,
            self.policy,
            self.shadow,
            entries,
            places,
            blocked=self.blocks.holding(entries, places.columns),
            ids=ids,
            others={index: arrival for index, arrival in arrivals.items() if index not in events},
            keys={
                index: self.tokeniser.event_key(arrival.realm, arrival.body.event_id)
                for index, arrival in arrivals.items()
                if isinstance(arrival.body, Report)
            },
        )

    def _next_id(self, received_at: int) -> int:
        """Return a row id: ms since 1970, worker, and a running number; each greater than the one before."""
        moment = min(max(received_at - _ERA_MS, 0), _LAST_MS)  # a replayed log may be of any year
        first = (moment << 10 | self.store.worker % _WORKERS) << _SEQUENCE_BITS
        with self._numbering:
            following = self._last_id + 1
            if following % (1 << _SEQUENCE_BITS) == 0:  # the numbers of this ms are used up: borrow the next one's
                following = ((following >> _SEQUENCE_BITS) - 1 + _WORKERS) << _SEQUENCE_BITS
            self._last_id = max(first, following)
            return self._last_id
