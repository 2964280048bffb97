"""Requests that wait become one batch; the batch goes through the engine; each gets its answer. No timer."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import copy_context
from functools import partial
from typing import Any

import structlog

from riskengine.engine.arrival import Arrival, Remedy, Ticket, receive, receive_report
from riskengine.engine.culprit import Culprit
from riskengine.engine.engine import Engine
from riskengine.engine.gate import Gate
from riskengine.engine.pace import FULL, Pace
from riskengine.engine.segment import Busy, Outcome, Repeated
from riskengine.engine.standby import Standby
from riskengine.engine.waiting import Queue, Waiting
from riskengine.errors import InvalidInput, NotFound, Overloaded, StoreUnavailable
from riskengine.event import Event, Report
from riskengine.journal import Journal
from riskengine.metrics import STORE_FAILURES, Stages, count_decisions, observe_batch
from riskengine.tracing import Tracing

DEADLINE_SECONDS = 0.5  # how long callers wait for the store before they are answered without it
PROBE_SECONDS = 1.0  # how often a store that failed is tried again; until then nobody waits for it
SLICE_SECONDS = 0.1  # how long callers wait, again and again, for a part of the journal to be saved
LEAVE_SECONDS = 10.0  # how long a stop saves what the journal holds; the next process does the rest
REFOLD_SECONDS = 60.0  # a verdict that folds a long history again has time
MOST_READS = 8  # reads and previews that may wait: each holds up the batches behind it
_log = structlog.get_logger(__name__)


def now_ms() -> int:
    """Return the time in ms since 1970: the one place where live reads the clock."""
    return time.time_ns() // 1_000_000


class Live:
    """Feeds an engine with what callers send. One batch is under way at a time, in a thread of its own.

    `deadline` is how many seconds a batch may take before its events are answered without the store, `most_waiting`
    how many items may wait at most, however fast they are answered (see riskengine/engine/pace.py).
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        *,
        deadline: float = DEADLINE_SECONDS,
        most_waiting: int = 2048,
        tracing: Tracing | None = None,
    ) -> None:
        self.engine, self.journal, self._tracing = engine, journal, tracing
        self._standby = Standby(engine, journal)
        self._deadline, self._pace = deadline, Pace(deadline, most_waiting)
        self._queue = Queue()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "engine")
        self._spare = ThreadPoolExecutor(1, "fallback")
        self._refolds = ThreadPoolExecutor(1, "refold")
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._store_failed = False
        self._stuck: asyncio.Future[Any] | None = None
        self._drained: asyncio.Task[None] | None = None
        self._at_once = FULL  # records saved at once: fewer after a slice that took too long, more after others
        self._reads = 0

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
        await self._leave()
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
        if self._standby.failed:
            # While one of them can be written logins are answered: sending them elsewhere would only lose them.
            reasons.append("neither the store nor the journal can be written")
        return reasons

    def waiting(self) -> int:
        """Return how many items wait."""
        return len(self._queue)

    def full(self) -> bool:
        """Return whether nothing more can wait just now, whatever it is."""
        return len(self._queue) >= self._pace.room()

    # --- what callers ask -----------------------------------------------------------------------------------------

    async def score(
        self, events: Sequence[Event], realm: str, reports: bool, ticket: Ticket | None = None
    ) -> list[Outcome]:
        """Decide these events, in order; return each one's full answer or the error it earned.

        A `ticket` is for a lone event.
        """
        now = now_ms()
        arrivals = [_received(event, realm, now, reports, ticket) for event in events]
        good = [arrival for arrival in arrivals if isinstance(arrival, Arrival)]
        answers = await self._in_slices(good)
        if self._tracing is not None:
            self._tracing.decided(answers)
        answered = iter(answers)
        return [next(answered) if isinstance(arrival, Arrival) else arrival for arrival in arrivals]

    def offer(
        self, event: Event, realm: str, reports: bool, tell: Callable[[Outcome], None], ticket: Ticket | None = None
    ) -> None:
        """Decide this event; its outcome is told later, in the event loop. InvalidInput where its time is out of
        bounds, Overloaded when too many wait: then nothing is told."""
        self._enqueue([receive(event, realm, now_ms(), reports, ticket)], [tell])

    async def pay(self, token: bytes) -> int:
        """Spend a one-time token on what is no event and return when; AccessDenied if it was used before."""
        now = now_ms()
        await self._in_thread(self.engine.pay, token, now)
        return now

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
            if not self._store_serves() or self._standby.waits(arrival):
                raise StoreUnavailable("the store does not answer")
            return await self._refold(arrival)
        return await self._one(arrival)

    async def remediate(self, user_id: str, realm: str, who: str) -> dict[str, Any]:
        """End a user's "at risk"; NotFound for a user never seen."""
        now = now_ms()
        return await self._one(Arrival(realm, Remedy(user_id, now), now, who=who))

    async def event(self, event_id: str, realm: str) -> dict[str, Any]:
        """Return one event with its answer and the reports on it; NotFound if there is none."""
        await self._drain_first()
        try:
            found: dict[str, Any] = await self._in_thread(self.engine.find, event_id, realm)
        except NotFound:
            if self.journal.pending():
                raise StoreUnavailable("the event may wait in the journal") from None
            raise
        return found

    async def _one(self, arrival: Arrival) -> dict[str, Any]:
        [outcome] = await self._all([arrival])
        return _raised(outcome)

    async def _refold(self, arrival: Arrival) -> dict[str, Any]:
        """Take in a confirmed compromise beside the batches: folding a long history again takes its time."""
        running = asyncio.get_running_loop().run_in_executor(self._refolds, self.engine.insist, arrival)
        try:
            return _raised(await asyncio.wait_for(asyncio.shield(running), REFOLD_SECONDS))
        except TimeoutError as error:
            raise StoreUnavailable("the store does not answer in time") from error

    async def _in_slices(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        """Queue many items a part at a time, so that they do not fill the queue; what finds it full is Overloaded."""
        found: list[Outcome] = []
        while len(found) < len(arrivals):
            size = min(self._pace.largest(), max(self._pace.room() // 2, 1))
            try:
                found += await self._all(arrivals[len(found) : len(found) + size])
            except Overloaded as error:
                if not found:
                    raise
                found += [error] * (len(arrivals) - len(found))
        return found

    async def _all(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        """Queue these items one behind the other and return their outcomes; Overloaded when too many wait."""
        loop = asyncio.get_running_loop()
        outcomes = [loop.create_future() for _ in arrivals]
        self._enqueue(arrivals, [partial(_settle, outcome) for outcome in outcomes])
        return [await outcome for outcome in outcomes]

    def _enqueue(self, arrivals: Sequence[Arrival], tells: Sequence[Callable[[Outcome], None]]) -> None:
        """Queue these items one behind the other; Overloaded when too many wait."""
        waits, room = len(self._queue) + len(arrivals), self._pace.room()
        # Under load, failed attempts are turned away first: nobody waits at the door for them.
        crowded = waits > room // 2 and all(_is_failure(arrival) for arrival in arrivals)
        if self._stopping or (crowded and arrivals) or not self._queue.has_room(arrivals, room):
            raise Overloaded
        span, now = self._tracing.current() if self._tracing is not None else None, time.monotonic()
        self._queue.add(Waiting(arrival, tell, now, span) for arrival, tell in zip(arrivals, tells, strict=True))
        self._wake.set()

    async def _in_thread(self, work: Any, *given: Any) -> Any:
        """Run a read in the engine's thread, behind the batch under way; StoreUnavailable when that takes too long."""
        if self._is_stuck():
            raise StoreUnavailable("the store does not answer")
        if self._reads >= MOST_READS:
            raise Overloaded
        self._reads += 1
        try:
            running = asyncio.get_running_loop().run_in_executor(self._thread, work, *given)
            return await asyncio.wait_for(running, 4 * self._deadline)
        except TimeoutError as error:
            raise StoreUnavailable("the store does not answer in time") from error
        finally:
            self._reads -= 1

    # --- the one task ---------------------------------------------------------------------------------------------

    async def _answer_all(self) -> None:
        """Take all that waits, answer it, and begin again, until stopped and nothing waits."""
        clock = asyncio.get_running_loop().time
        await self._drain_first()
        while True:
            if not self._queue:
                if self._stopping:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            began = clock()
            await self._drain_first()
            batch = self._queue.batch(self._pace.largest())
            try:
                await self._answer(batch)
            except Exception as error:  # the task must outlive any batch; the culprit's callers get the error
                _log.exception("batch_failed", items=len(batch))
                for one in batch:
                    _tell(one, Culprit(error))
            self._pace.saw(len(batch), clock() - began)

    async def _answer(self, batch: list[Waiting]) -> None:
        stages, tracing = Stages(batch[0].since), self._tracing
        stages.lap("queue")
        with tracing.batch([one.span for one in batch], stages) if tracing is not None else nullcontext():
            outcomes = await self._decide([one.arrival for one in batch], stages)
            stages.lap("handover" if stages.laps[-1][0] == "commit" else "fallback")
        observe_batch(len(batch), stages)
        _count(outcomes)
        now = time.monotonic()
        again: list[Waiting] = []
        overdue: list[Waiting] = []
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
            self._queue.put_back(again)
            await asyncio.sleep(0.002)  # another worker holds these users: let it finish

    async def _decide(self, arrivals: list[Arrival], stages: Stages) -> list[Outcome]:
        """Return the outcomes of a batch: by the engine, or without the store where that does not serve.

        While the journal is being saved the engine decides again what does not wait in it: so it only gets shorter.
        """
        if not self._store_serves():
            return await self._without_store(arrivals)
        waits = [self._standby.waits(arrival) for arrival in arrivals]
        if not any(waits):
            return await self._by_engine(arrivals, stages)
        late = iter(await self._without_store([a for a, wait in zip(arrivals, waits, strict=True) if wait]))
        rest = iter(await self._by_engine([a for a, wait in zip(arrivals, waits, strict=True) if not wait], stages))
        return [next(late if wait else rest) for wait in waits]

    async def _by_engine(self, arrivals: list[Arrival], stages: Stages) -> list[Outcome]:
        """Return the engine's outcomes, or those of the standby when the store fails or is too slow.

        A connection that was lost is no reason to do without the store: while there is time, it is tried once more.
        """
        gate, clock = Gate(stages), asyncio.get_running_loop().time
        began, outcomes = clock(), list[Outcome]()
        while True:
            run = copy_context().run  # so that what the thread logs bears the trace of the batch
            running = asyncio.get_running_loop().run_in_executor(self._thread, run, self.engine.run, arrivals, gate)
            await asyncio.wait([running], timeout=began + self._deadline - clock())
            if not running.done():
                self._let_go(running)
                failed = ["too slow"]
            else:
                outcomes, failed = _outcomes_of(running)
            if not failed:
                self._standby.failed = False
                if gate.sure():
                    return outcomes
                return await self._in_spare(self._standby.confirm, arrivals, outcomes, gate)
            if clock() - began > self._deadline / 2 or self._is_stuck():
                _log.warning("store_unavailable", why=failed[0])
                STORE_FAILURES.inc()
                self._store_failed = True
                return await self._in_spare(self._standby.instead, arrivals, gate)

    def _is_stuck(self) -> bool:
        return self._stuck is not None and not self._stuck.done()

    def _store_serves(self) -> bool:
        """Return whether batches go to the store: not while it fails, nor before it has what others left behind."""
        return not (self._store_failed or self._is_stuck() or self.journal.foreign())

    async def _without_store(self, arrivals: list[Arrival]) -> list[Outcome]:
        return await self._in_spare(self._standby.answer, arrivals)

    async def _in_spare(self, work: Callable[..., list[Outcome]], *given: Any) -> list[Outcome]:
        return await asyncio.get_running_loop().run_in_executor(self._spare, work, *given)

    def _let_go(self, running: "asyncio.Future[Any]") -> None:
        """Wait no longer for the engine's thread; until it is back nothing is given to it."""
        self._stuck = running
        running.add_done_callback(lambda future: future.cancelled() or future.exception())

    # --- the journal ----------------------------------------------------------------------------------------------

    async def _probe(self) -> None:
        """Every second: after a failure see what can be written again, and save what the journal holds."""
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            if self._standby.failed:
                await asyncio.get_running_loop().run_in_executor(self._spare, self._standby.prove)
            if self._store_failed or self._standby.failed:
                await self._drain()
            while self.journal.pending() and not self._queue and not (self._store_failed or self._is_stuck()):
                await self._drain()

    async def _drain_first(self) -> None:
        """Save a part of what the journal holds before anything that may speak of it, while the store takes it."""
        if self.journal.pending() and not (self._store_failed or self._is_stuck()):
            await self._drain()

    async def _leave(self) -> None:
        end = time.monotonic() + LEAVE_SECONDS
        while self.journal.pending() and not self._is_stuck() and time.monotonic() < end:
            await self._drain()
            if self._store_failed:
                return

    async def _drain(self) -> None:
        """Save a part of what the journal holds, all callers together; what goes wrong is told and tried again."""
        if self._drained is None or self._drained.done():
            self._drained = asyncio.create_task(self._drain_slice())
        await asyncio.shield(self._drained)

    async def _drain_slice(self) -> None:
        if self._is_stuck():
            return
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._drain_now)
        try:
            await asyncio.wait_for(asyncio.shield(running), SLICE_SECONDS + self._deadline)
        except TimeoutError:
            self._let_go(running)
            self._at_once = max(1, self._at_once // 2)
            _log.warning("journal_waits", why="the store is slow", pending=self.journal.pending())
        except StoreUnavailable as error:
            self._store_failed = True
            _log.warning("journal_waits", why=str(error), pending=self.journal.pending())
        except Exception:  # the tasks that call this must outlive any record
            self._store_failed = True
            _log.exception("journal_not_drained")
        else:
            self._store_failed = False
            self._at_once = min(2 * self._at_once, self._pace.largest())

    def _drain_now(self) -> None:
        self.engine.store.ping()
        if self._standby.failed:
            # A ping only reads, and a full disk can be read: "ready" must not be said before something was written.
            self.engine.store.set_meta("written", str(now_ms()).encode())
            self._standby.failed = False
        self.journal.drain(self.engine.save_journaled, SLICE_SECONDS, self._at_once)


def _outcomes_of(done: "asyncio.Future[list[Outcome]]") -> tuple[list[Outcome], list[str]]:
    """Return what a batch came to, and what the store failed with in it."""
    try:
        outcomes = done.result()
    except StoreUnavailable as error:
        return [], [str(error)]
    return outcomes, [str(outcome) for outcome in outcomes if isinstance(outcome, StoreUnavailable)]


def _raised(outcome: Outcome) -> dict[str, Any]:
    """Return an answer; raise an error."""
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _tell(one: Waiting, outcome: Outcome) -> None:
    """Tell an outcome to whoever waits for it; a second one, of a batch that failed halfway, is for nobody."""
    if one.told:
        return
    one.told = True
    try:
        one.tell(outcome)
    except Exception:  # others wait for theirs
        _log.exception("not_told")


def _settle(future: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    if not future.done():  # a caller that went away has cancelled it
        future.set_result(outcome)


def _count(outcomes: Sequence[Outcome]) -> None:
    """Count what was decided; a repeat was counted when it was first answered."""
    answers = (outcome for outcome in outcomes if isinstance(outcome, dict) and not isinstance(outcome, Repeated))
    count_decisions([answer for answer in answers if "decision" in answer])


def _is_failure(arrival: Arrival) -> bool:
    return isinstance(arrival.body, Event) and arrival.body.outcome == "failure"


def _received(
    event: Event, realm: str, now: int, reports: bool, ticket: Ticket | None = None
) -> Arrival | InvalidInput:
    try:
        return receive(event, realm, now, reports, ticket)
    except InvalidInput as error:
        return error
