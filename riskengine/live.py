"""Requests that wait become one batch; the batch goes through the engine; each gets its answer. No timer."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import structlog
from opentelemetry.trace import Span

from riskengine.engine.arrival import Arrival, Remedy, receive, receive_report
from riskengine.engine.culprit import one_by_one
from riskengine.engine.engine import PATIENCE, PAUSE_SECONDS, Engine
from riskengine.engine.gate import Gate
from riskengine.engine.segment import Busy, Outcome, Repeated
from riskengine.errors import InvalidInput, Overloaded, StoreUnavailable
from riskengine.event import Event, Report
from riskengine.journal import Journal
from riskengine.metrics import STORE_FAILURES, Stages, count_decisions, observe_batch
from riskengine.tracing import Tracing

LARGEST_BATCH = 256
RETRY_SECONDS = 1.0  # how long a store that failed is left alone
PROBE_SECONDS = 2.0
MOST_OF_ONE_USER = 16  # items of one user in a batch: each is a round of its own, which everybody else waits for
DRAIN_SECONDS = 10.0
REFOLD_SECONDS = 60.0  # a verdict that folds a long history again has time
COMMIT_SECONDS = 2.0  # how long a commit that has begun is waited for beyond the deadline
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Waiting:
    """An item in the queue, and where its outcome goes."""

    arrival: Arrival
    outcome: "asyncio.Future[Outcome]"
    since: float
    span: Span | None


def now_ms() -> int:
    """Return the time in ms since 1970: the one place where live reads the clock."""
    return time.time_ns() // 1_000_000


class Live:
    """Feeds an engine with what callers send. One batch is under way at a time, in a thread of its own.

    `deadline` is how many seconds a batch may take before its events are answered without the store, `most_waiting`
    how many items may wait before further ones are turned away.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        *,
        deadline: float = 0.5,
        most_waiting: int = 2048,
        tracing: Tracing | None = None,
    ) -> None:
        self.engine, self.journal, self._tracing = engine, journal, tracing
        self._deadline, self._most_waiting = deadline, most_waiting
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "engine")
        self._spare = ThreadPoolExecutor(1, "fallback")
        self._refolds = ThreadPoolExecutor(1, "refold")
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._store_failed_at: float | None = None
        self._journal_failed = False
        self._stuck: asyncio.Future[list[Outcome]] | None = None

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to answer; what an earlier process left in the journal is saved first, if the store takes it."""
        self._tasks = [asyncio.create_task(self._answer_all()), asyncio.create_task(self._probe())]

    async def stop(self) -> None:
        """Answer what waits, save what the journal holds if the store takes it, and let go of the threads."""
        if self._stopping:
            return
        self._stopping = True
        self._wake.set()
        if self._tasks:
            await self._tasks[0]
            self._tasks[1].cancel()
            await asyncio.gather(self._tasks[1], return_exceptions=True)
        await self._drain()
        hangs = self._is_stuck()
        for pool in (self._thread, self._spare, self._refolds):
            pool.shutdown(wait=not hangs, cancel_futures=True)

    def ready(self) -> list[str]:
        """Return why this process should not be sent requests just now; nothing when it may."""
        reasons = []
        if self._stopping:
            reasons.append("stopping")
        elif not self._tasks:
            reasons.append("starting")
        if self._store_failed_at is not None:
            reasons.append("the store does not answer")
            if self._journal_failed:
                reasons.append("the journal cannot be written")
        return reasons

    def waiting(self) -> int:
        """Return how many items wait."""
        return len(self._queue)

    # --- what callers ask -----------------------------------------------------------------------------------------

    async def score(self, events: Sequence[Event], realm: str, reports: bool) -> list[Outcome]:
        """Decide these events, in order; return each one's full answer or the error it earned."""
        now = now_ms()
        arrivals = [_received(event, realm, now, reports) for event in events]
        good = [arrival for arrival in arrivals if isinstance(arrival, Arrival)]
        answers = await self._all(good)
        if self._tracing is not None:
            self._tracing.decided(answers)
        answered = iter(answers)
        return [next(answered) if isinstance(arrival, Arrival) else arrival for arrival in arrivals]

    async def preview(self, events: Sequence[Event], realm: str, reports: bool) -> list[Outcome]:
        """Return what `score` would answer now to each event by itself; nothing is saved or learnt."""
        now = now_ms()
        found: list[Outcome] = []
        for event in events:
            arrival = _received(event, realm, now, reports)
            if isinstance(arrival, Arrival):
                found += await self._in_thread(self.engine.preview, [arrival])
            else:
                found.append(arrival)
        return found

    async def report(self, report: Report, realm: str, who: str) -> dict[str, Any]:
        """Take in a report; NotFound or Conflict where it does not belong, StoreUnavailable when it cannot be kept."""
        arrival = receive_report(report, realm, now_ms(), who)
        await self._drain_first()
        if report.result == "confirmed_compromised":
            return await self._refold(arrival)
        return await self._one(arrival)

    async def remediate(self, user_id: str, realm: str, who: str) -> dict[str, Any]:
        """End a user's "at risk"; NotFound for a user never seen."""
        now = now_ms()
        return await self._one(Arrival(realm, Remedy(user_id, now), now, who=who))

    async def event(self, event_id: str, realm: str) -> dict[str, Any]:
        """Return one event with its answer and the reports on it; NotFound if there is none."""
        await self._drain_first()
        return await self._in_thread(self.engine.find, event_id, realm)

    async def _one(self, arrival: Arrival) -> dict[str, Any]:
        [outcome] = await self._all([arrival])
        return _raised(outcome)

    async def _refold(self, arrival: Arrival) -> dict[str, Any]:
        """Take in a confirmed compromise beside the batches: folding a long history again takes its time."""

        def work() -> Outcome:
            for _ in range(PATIENCE):
                [outcome] = self.engine.run([arrival])
                if not isinstance(outcome, Busy):
                    return outcome
                time.sleep(PAUSE_SECONDS)
            return StoreUnavailable("another worker holds the user")

        running = asyncio.get_running_loop().run_in_executor(self._refolds, work)
        try:
            return _raised(await asyncio.wait_for(asyncio.shield(running), REFOLD_SECONDS))
        except TimeoutError as error:
            raise StoreUnavailable("the store does not answer in time") from error

    async def _all(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        """Queue these items one behind the other and return their outcomes; Overloaded when too many wait."""
        waits = len(self._queue) + len(arrivals)
        # Under load, failed attempts are turned away first: nobody waits at the door for them.
        crowded = waits > self._most_waiting // 2 and all(_is_failure(arrival) for arrival in arrivals)
        if self._stopping or waits > self._most_waiting or (crowded and arrivals):
            raise Overloaded
        loop = asyncio.get_running_loop()
        span = self._tracing.current() if self._tracing is not None else None
        waiting = [_Waiting(arrival, loop.create_future(), time.monotonic(), span) for arrival in arrivals]
        self._queue.extend(waiting)
        self._wake.set()
        return [await one.outcome for one in waiting]

    async def _in_thread(self, work: Any, *given: Any) -> Any:
        """Run a read in the engine's thread, behind the batch under way; StoreUnavailable when that takes too long."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, work, *given)
        try:
            return await asyncio.wait_for(running, 4 * self._deadline)
        except TimeoutError as error:
            raise StoreUnavailable("the store does not answer in time") from error

    # --- the one task ---------------------------------------------------------------------------------------------

    async def _answer_all(self) -> None:
        """Take all that waits, answer it, and begin again, until stopped and nothing waits."""
        await self._drain_first()
        while True:
            if not self._queue:
                if self._stopping:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._drain_first()
            batch = self._next_batch()
            try:
                await self._answer(batch)
            except Exception as error:  # the task must outlive any batch; the culprit's callers get the error
                _log.exception("batch_failed", items=len(batch))
                for one in batch:
                    if not one.outcome.done():
                        one.outcome.set_exception(error)

    def _next_batch(self) -> list[_Waiting]:
        """Take from the head of the queue; what is too much of one user waits there, in its order."""
        batch: list[_Waiting] = []
        later: list[_Waiting] = []
        taken: Counter[tuple[str, str]] = Counter()
        while self._queue and len(batch) < LARGEST_BATCH and len(later) < LARGEST_BATCH:
            one = self._queue.popleft()
            body = one.arrival.body
            user = (one.arrival.realm, body.user_id) if isinstance(body, Event) and body.user_id else None
            if user is not None and taken[user] >= MOST_OF_ONE_USER:
                later.append(one)
                continue
            if user is not None:
                taken[user] += 1
            batch.append(one)
        self._queue.extendleft(reversed(later))
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        gate = Gate(Stages(batch[0].since))
        gate.stages.lap("queue")
        tracing = self._tracing
        with tracing.batch([one.span for one in batch], gate.stages) if tracing is not None else nullcontext():
            outcomes = await self._decide([one.arrival for one in batch], gate)
            gate.stages.lap("handover" if gate.stages.laps[-1][0] == "commit" else "fallback")
        observe_batch(len(batch), gate.stages)
        _count(outcomes)
        now = time.monotonic()
        again: list[_Waiting] = []
        overdue: list[_Waiting] = []
        for one, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Busy):
                (again if now - one.since < self._deadline else overdue).append(one)
            else:
                _tell(one, outcome)
        if overdue:
            outcomes = await self._without_store([one.arrival for one in overdue])
            _count(outcomes)
            for one, outcome in zip(overdue, outcomes, strict=True):
                _tell(one, outcome)
        if again:
            self._queue.extendleft(reversed(again))
            await asyncio.sleep(0.002)  # another worker holds these users: let it finish

    async def _decide(self, arrivals: list[Arrival], gate: Gate) -> list[Outcome]:
        """Return the outcomes of a batch: by the engine, or without the store when that fails or is too slow."""
        if self._store_rests():
            return await self._without_store(arrivals)
        run = copy_context().run  # so that what the thread logs bears the trace of the batch
        running = asyncio.get_running_loop().run_in_executor(self._thread, run, self.engine.run, arrivals, gate)
        try:
            outcomes = await asyncio.wait_for(asyncio.shield(running), self._deadline)
        except TimeoutError:
            if not gate.abandon():
                # A commit has begun: what it decided will probably last, so it is waited for a little longer.
                await asyncio.wait([running], timeout=COMMIT_SECONDS)
                gate.abandon()
            return await self._give_up(running, arrivals, gate, "too slow")
        except StoreUnavailable as error:
            return await self._give_up(running, arrivals, gate, str(error))
        if any(isinstance(outcome, StoreUnavailable) for outcome in outcomes):
            return await self._give_up(running, arrivals, gate, "failed half way")
        self._store_failed_at = None
        return outcomes

    def _is_stuck(self) -> bool:
        return self._stuck is not None and not self._stuck.done()

    def _store_rests(self) -> bool:
        if self._is_stuck():
            return True
        failed = self._store_failed_at
        return failed is not None and time.monotonic() - failed < RETRY_SECONDS

    async def _give_up(
        self, running: "asyncio.Future[list[Outcome]]", arrivals: list[Arrival], gate: Gate, why: str
    ) -> list[Outcome]:
        """Answer without the store what the batch has not committed."""
        self._let_go(running, why)
        rest = [index for index in range(len(arrivals)) if index not in gate.outcomes]
        answered = await self._without_store([arrivals[index] for index in rest])
        found = gate.outcomes | dict(zip(rest, answered, strict=True))
        return [found[index] for index in range(len(arrivals))]

    def _let_go(self, running: "asyncio.Future[Any]", why: str) -> None:
        self._stuck = running
        running.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._store_failed_at = time.monotonic()
        STORE_FAILURES.inc()
        _log.warning("store_unavailable", why=why)

    async def _without_store(self, arrivals: list[Arrival]) -> list[Outcome]:
        """Answer events from what needs no store and journal them; reports have to be sent again."""
        events = [arrival for arrival in arrivals if isinstance(arrival.body, Event)]
        loop = asyncio.get_running_loop()
        replies: list[Outcome]
        try:
            replies = list(await loop.run_in_executor(self._spare, self._journal_them, events)) if events else []
        except StoreUnavailable as error:
            self._journal_failed = True
            replies = [error] * len(events)
        else:
            self._journal_failed = False
        answered = iter(replies)
        missing = StoreUnavailable("the store does not answer")
        return [next(answered) if isinstance(arrival.body, Event) else missing for arrival in arrivals]

    def _journal_them(self, arrivals: list[Arrival]) -> list[Outcome]:
        try:
            return self._journal_all(arrivals)
        except StoreUnavailable:
            raise
        except Exception:
            _log.exception("batch_split", items=len(arrivals))
        return one_by_one(lambda arrival: self._journal_all([arrival])[0], arrivals)

    def _journal_all(self, arrivals: list[Arrival]) -> list[Outcome]:
        found = self.engine.fallback(arrivals, "store")
        self.journal.append([record for _, record in found])
        return [reply for reply, _ in found]

    # --- the journal ----------------------------------------------------------------------------------------------

    async def _probe(self) -> None:
        """Every few seconds: after a failure see whether the store is back, and save what the journal holds."""
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            if self._store_failed_at is not None or self.journal.pending():
                await self._drain()

    async def _drain_first(self) -> None:
        """Save what the journal holds before anything that may speak of it, while the store takes it."""
        if self.journal.pending() and not self._store_rests():
            await self._drain()

    async def _drain(self) -> None:
        """Save what the journal holds; whatever goes wrong is told and tried again later."""
        if self._is_stuck():
            return
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._drain_now)
        try:
            await asyncio.wait_for(asyncio.shield(running), DRAIN_SECONDS)
        except TimeoutError:
            self._let_go(running, "the journal cannot be drained in time")
        except StoreUnavailable as error:
            self._store_failed_at = time.monotonic()
            STORE_FAILURES.inc()
            _log.warning("journal_waits", why=str(error), pending=self.journal.pending())
        except Exception:  # the tasks that call this must outlive any record
            self._store_failed_at = time.monotonic()
            _log.exception("journal_not_drained")
        else:
            self._store_failed_at = None

    def _drain_now(self) -> None:
        self.engine.store.ping()
        self.journal.drain(self.engine.save_journaled)


def _raised(outcome: Outcome) -> dict[str, Any]:
    """Return an answer; raise an error."""
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _tell(one: _Waiting, outcome: Outcome) -> None:
    if not one.outcome.done():  # a caller that went away has cancelled it
        one.outcome.set_result(outcome)


def _count(outcomes: Sequence[Outcome]) -> None:
    """Count what was decided; a repeat was counted when it was first answered."""
    answers = (outcome for outcome in outcomes if isinstance(outcome, dict) and not isinstance(outcome, Repeated))
    count_decisions([answer for answer in answers if "decision" in answer])


def _is_failure(arrival: Arrival) -> bool:
    return isinstance(arrival.body, Event) and arrival.body.outcome == "failure"


def _received(event: Event, realm: str, now: int, reports: bool) -> Arrival | InvalidInput:
    try:
        return receive(event, realm, now, reports)
    except InvalidInput as error:
        return error
