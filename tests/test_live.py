"""Live: what callers get when all is well, when the store is held by another, and when it is gone."""

import asyncio
import sqlite3
import threading
from collections.abc import Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from riskengine.engine.arrival import receive
from riskengine.engine.engine import Engine
from riskengine.engine.gate import Gate
from riskengine.engine.segment import Outcome
from riskengine.engine.waiting import MOST_BESIDE_OTHERS, Queue, Waiting
from riskengine.errors import Conflict, InvalidInput, NotFound, Overloaded, RiskEngineError, StoreUnavailable
from riskengine.event import DAY_MS, Event, Report
from riskengine.journal import Journal
from riskengine.live import Live, now_ms
from riskengine.store.memory import MemoryStore
from riskengine.store.sql import SqlStore, upgrade
from tests.doors import ADDRESSES, SEAL, engine_over
from tests.fixtures_geo import World

HOME, AWAY = ADDRESSES["new_york"], ADDRESSES["tokyo"]


def login(event_id: str, ip: str = HOME, user: str = "ana", **given: Any) -> Event:
    return Event(user, ip, event_id=event_id, **given)


def told(outcome: Outcome) -> dict[str, Any]:
    """Return an answer, which it must be."""
    assert isinstance(outcome, dict)
    return outcome


def play(live: Live, scene: Coroutine[Any, Any, Any]) -> Any:
    """Run a scene between start and stop."""

    async def whole() -> Any:
        await live.start()
        try:
            return await scene
        finally:
            await live.stop()

    return asyncio.run(whole())


@pytest.fixture
def database(tmp_path: Path) -> Path:
    upgrade(f"sqlite:///{tmp_path}/live.db")
    return tmp_path / "live.db"


@pytest.fixture
def engine(database: Path, world: World) -> Engine:
    return engine_over(SqlStore(f"sqlite:///{database}"), world)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal", SEAL)


def test_many_at_once_are_each_answered_in_order(world: World, journal: Journal) -> None:
    live = Live(engine_over(MemoryStore(), world), journal)

    async def scene() -> list[Any]:
        return await asyncio.gather(
            *(live.score([login(f"e{i}", user=f"u{i % 7}")], "default", True) for i in range(99))
        )

    answers = play(live, scene())
    assert [answer[0]["event_id"] for answer in answers] == [f"e{i}" for i in range(99)]


def test_one_wrong_event_does_not_fail_its_batch(world: World, journal: Journal) -> None:
    live = Live(engine_over(MemoryStore(), world), journal)
    events = [login("a"), login("b", occurred_at=now_ms() + 3 * DAY_MS), login("c")]

    first, wrong, last = play(live, live.score(events, "default", True))
    assert first["decision"] == last["decision"] == "allow"
    assert isinstance(wrong, InvalidInput)


def test_a_clock_that_runs_ahead_is_set_back_and_said_so(world: World, journal: Journal) -> None:
    live = Live(engine_over(MemoryStore(), world), journal)

    [answer] = play(live, live.score([login("a", occurred_at=now_ms() + DAY_MS // 2)], "default", True))
    assert answer["degraded"] == ["clock"]


def test_the_same_event_again_is_the_same_answer_without_a_time_and_with_a_wrong_one(
    engine: Engine, journal: Journal
) -> None:
    live = Live(engine, journal)
    ahead = now_ms() + DAY_MS // 2

    async def scene() -> list[Any]:
        found = []
        for event in (login("a"), login("a"), login("b", occurred_at=ahead), login("b", occurred_at=ahead)):
            found += await live.score([event], "default", True)
            await asyncio.sleep(0.005)
        return [*found, *await live.score([login("a", ip=AWAY)], "default", True)]

    a, again, b, b_again, other = play(live, scene())
    assert a == again
    assert b == b_again
    assert isinstance(other, Conflict)
    assert engine.store.counts()["events"] == 2


def test_a_preview_saves_and_teaches_nothing(engine: Engine, journal: Journal) -> None:
    live = Live(engine, journal)

    async def scene() -> Any:
        await live.score([login("a")], "default", True)
        return await live.preview([login("b", ip=AWAY), login("c")], "default", True)

    away, home = play(live, scene())
    assert away["decision"] == "step_up"
    assert home["decision"] == "allow"
    assert engine.store.counts() == {"events": 1, "reports": 0, "users": 1}


def test_realms_do_not_see_each_other(engine: Engine, journal: Journal) -> None:
    live = Live(engine, journal)

    async def scene() -> Any:
        await live.score([login("a")], "one", True)
        [other] = await live.score([login("a", ip=AWAY)], "two", True)
        with pytest.raises(NotFound):
            await live.event("a", "three")
        with pytest.raises(NotFound):
            await live.report(Report("a", "step_up_passed"), "three", "test")
        return other

    assert play(live, scene())["maturity"] == "none"


def test_while_another_holds_the_store_logins_are_answered_and_kept(
    database: Path, engine: Engine, journal: Journal
) -> None:
    live = Live(engine, journal, deadline=0.2)

    async def scene() -> dict[str, Any]:
        await live.score([login("a", user="ben")], "default", True)
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            began = asyncio.get_running_loop().time()
            [held] = await live.score([login("b")], "default", True)
            took = asyncio.get_running_loop().time() - began
            with pytest.raises(StoreUnavailable):
                await live.report(Report("a", "confirmed_safe"), "default", "test")
            assert live.ready() == [], "logins are still answered here"
            assert journal.pending() == 1
        assert took < 1.0
        seen = {name: told(held)[name] for name in ("decision", "source", "degraded")}
        assert seen == {"decision": "step_up", "source": "fallback", "degraded": ["store"]}
        await _until(lambda: not live.ready() and not journal.pending())
        [again] = await live.score([login("b")], "default", True)
        assert again == held, "a retry gets the answer that was given, now from the store"
        await _reported(live, Report("b", "step_up_passed"))
        [known] = await live.score([login("c", ip=HOME)], "default", True)
        return told(known)

    assert play(live, scene())["maturity"] == "learning", "a fallback that was reported passed has taught"
    assert engine.store.counts()["events"] == 3


async def _reported(live: Live, report: Report) -> None:
    """Report as callers do: again, where the store does not answer yet."""
    for _ in range(100):
        try:
            await live.report(report, "default", "test")
        except StoreUnavailable:
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError("the report was never taken")


async def _until(done: Any) -> None:
    for _ in range(200):
        if done():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never came to be")


def test_what_a_dead_process_journaled_the_next_one_saves(engine: Engine, journal: Journal, tmp_path: Path) -> None:
    [(answer, record)] = engine.fallback([receive(login("left"), "default", now_ms(), True)], "store")
    journal.append([record])
    journal.close()
    live = Live(engine, Journal(tmp_path / "journal", SEAL))

    found = play(live, live.event("left", "default"))
    assert found["answer"] == answer
    assert live.journal.pending() == 0


def test_without_store_and_journal_nobody_is_answered(engine: Engine, journal: Journal) -> None:
    live = Live(engine, journal)

    async def scene() -> Any:
        engine.store.close()
        journal.close()
        return await live.score([login("a")], "default", True)

    [answer] = play(live, scene())
    assert isinstance(answer, StoreUnavailable)


def test_too_many_that_wait_are_turned_away_at_once(world: World, journal: Journal) -> None:
    live = Live(engine_over(MemoryStore(), world), journal, most_waiting=3)

    async def scene() -> list[Any]:
        logins = [live.score([login(f"e{i}", user=f"user{i}")], "default", True) for i in range(4)]
        return await asyncio.gather(*logins, return_exceptions=True)

    *answered, refused = play(live, scene())
    assert [told(answer[0])["decision"] for answer in answered] == ["allow"] * 3
    assert isinstance(refused, Overloaded)


def test_many_events_of_one_caller_take_turns_and_fill_no_queue(world: World, journal: Journal) -> None:
    live = Live(engine_over(MemoryStore(), world), journal, most_waiting=4)

    async def scene() -> tuple[list[Any], list[Any]]:
        many = asyncio.create_task(live.score([login(f"e{i}") for i in range(20)], "default", True))
        await asyncio.sleep(0)
        return await live.score([login("one", user="ben")], "default", True), await many

    one, many = play(live, scene())
    assert told(one[0])["decision"] == "allow"
    assert [told(answer)["event_id"] for answer in many] == [f"e{i}" for i in range(20)]


def test_what_waits_at_the_stop_is_answered(world: World, journal: Journal) -> None:
    live = Live(engine_over(MemoryStore(), world), journal)

    async def scene() -> Any:
        waiting = [asyncio.create_task(live.score([login(f"e{i}")], "default", True)) for i in range(5)]
        await asyncio.sleep(0)
        await live.stop()
        return [told((await task)[0])["decision"] for task in waiting]

    assert play(live, scene()) == ["allow"] * 5


def test_a_caller_that_went_away_does_not_stop_the_others(engine: Engine, journal: Journal) -> None:
    live = Live(engine, journal)

    async def scene() -> Any:
        gone = asyncio.create_task(live.score([login("gone")], "default", True))
        await asyncio.sleep(0)
        gone.cancel()
        answered = await live.score([login("here")], "default", True)
        return answered, await live.event("gone", "default")

    answered, stored = play(live, scene())
    assert answered[0]["decision"] == "allow"
    assert stored["event"]["user_id"] == "ana", "its event is stored once all the same"


def test_one_event_that_breaks_the_engine_fails_alone(world: World, journal: Journal) -> None:
    """An action that does not exist is what no validated event can bring: it stands for a defect of ours."""
    engine = engine_over(MemoryStore(), world)
    live = Live(engine, journal)
    broken = login("bad", action="nonsense")

    answers = play(live, live.score([login("a"), broken, login("b")], "default", True))
    assert [answer["decision"] for answer in answers if isinstance(answer, dict)] == ["allow", "allow"]
    assert isinstance(answers[1], RiskEngineError)


class SlowStore(MemoryStore):
    """A store whose transactions from the second on wait: a database that hangs cannot be had without a network of
    its own, and what is tested is that nobody waits for it."""

    def __init__(self, fast: int = 1) -> None:
        super().__init__()
        self.go_on, self.fast = threading.Event(), fast

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        self.fast -= 1
        if self.fast < 0:
            self.go_on.wait(5)
        with super().transaction() as tx:
            yield tx


def test_a_store_that_hangs_holds_up_neither_answers_nor_the_stop(world: World, journal: Journal) -> None:
    store = SlowStore()
    live = Live(engine_over(store, world), journal, deadline=0.2)

    async def scene() -> list[Any]:
        clock = asyncio.get_running_loop().time
        began = clock()
        answers = [(await live.score([login(f"e{i}")], "default", True))[0] for i in range(4)]
        assert clock() - began < 2
        began = clock()
        await live.stop()
        assert clock() - began < 2
        return answers

    answers = play(live, scene())
    store.go_on.set()
    assert [answer["source"] for answer in answers] == ["engine", "fallback", "fallback", "fallback"]
    assert journal.pending() == 3
    assert store.counts()["events"] == 1, "what was given up on is not committed behind its callers' backs"


def test_what_was_committed_keeps_its_answer_when_the_rest_is_given_up(world: World, journal: Journal) -> None:
    store = SlowStore(fast=1)
    live = Live(engine_over(store, world), journal, deadline=0.3)

    async def scene() -> tuple[Any, Any, Any]:
        first = live.score([login("a")], "default", True)
        remedy = live.remediate("ana", "default", "test")  # stands in a transaction of its own
        last = live.score([login("b")], "default", True)
        return tuple(await asyncio.gather(first, remedy, last, return_exceptions=True))

    first, remedy, last = play(live, scene())
    store.go_on.set()
    assert first[0]["source"] == "engine"
    assert isinstance(remedy, StoreUnavailable)
    assert last[0]["source"] == "fallback"


def test_a_journal_record_that_breaks_the_engine_is_kept_aside(engine: Engine, tmp_path: Path) -> None:
    left = Journal(tmp_path / "journal", SEAL)
    [(_, good)] = engine.fallback([receive(login("good"), "default", now_ms(), True)], "store")
    left.append([b"not a record of ours", good])
    left.close()
    journal = Journal(tmp_path / "journal", SEAL)
    live = Live(engine, journal)

    found = play(live, live.event("good", "default"))
    assert found["answer"]["source"] == "fallback"
    assert (journal.pending(), journal.damaged) == (0, 1)
    assert list((tmp_path / "journal").glob("*.damaged"))


def test_one_users_flood_lets_others_pass(world: World, journal: Journal) -> None:
    live = Live(engine_over(MemoryStore(), world), journal)
    done: list[str] = []

    async def one(event: Event) -> None:
        await live.score([event], "default", True)
        done.append(event.event_id or "")

    async def scene() -> None:
        flood = [one(login(f"flood{i:03d}")) for i in range(120)]
        await asyncio.gather(*flood, one(login("other", user="ben")))

    play(live, scene())
    assert done.index("other") <= MOST_BESIDE_OTHERS, "in the first batch"
    assert [event for event in done if event != "other"] == [f"flood{i:03d}" for i in range(120)], "in their order"


def test_one_user_fills_no_more_than_half_of_the_queue(world: World, journal: Journal) -> None:
    live = Live(engine_over(MemoryStore(), world), journal, most_waiting=10)

    async def scene() -> list[Any]:
        flood = [live.score([login(f"flood{i}")], "default", True) for i in range(8)]
        others = [live.score([login(f"other{i}", user=f"user{i}")], "default", True) for i in range(5)]
        return await asyncio.gather(*flood, *others, return_exceptions=True)

    found = play(live, scene())
    assert [isinstance(one, Overloaded) for one in found[:8]] == [False] * 5 + [True] * 3
    assert [told(one[0])["decision"] for one in found[8:]] == ["allow"] * 5


def test_a_user_alone_has_whole_batches() -> None:
    queue = Queue()
    queue.add(Waiting(receive(login(f"e{i}"), "default", now_ms(), True), print, 0.0) for i in range(20))

    assert [len(queue.batch(16)), len(queue.batch(16)), len(queue)] == [16, 4, 0]


def test_what_is_put_back_comes_first_and_counts_as_its_users() -> None:
    queue, arrivals = Queue(), [receive(login(f"e{i}"), "default", now_ms(), True) for i in range(4)]
    queue.add(Waiting(arrival, print, 0.0) for arrival in arrivals)
    assert not queue.has_room(arrivals[:1], 8)

    batch = queue.batch(2)
    assert queue.has_room(arrivals[:2], 8)
    queue.put_back(batch)
    assert not queue.has_room(arrivals[:1], 8)
    assert [one.arrival.body.event_id for one in queue.batch(9)] == ["e0", "e1", "e2", "e3"]  # type: ignore[union-attr]


def test_failures_are_turned_away_before_others(world: World, journal: Journal) -> None:
    live = Live(engine_over(MemoryStore(), world), journal, most_waiting=10)

    async def scene() -> list[Any]:
        waiting = [asyncio.create_task(live.score([login(f"e{i}", user=f"u{i}")], "default", True)) for i in range(6)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await live.score([login("f", outcome="failure")], "default", True)
        waiting.append(asyncio.create_task(live.score([login("last")], "default", True)))
        return await asyncio.gather(*waiting)

    assert len(play(live, scene())) == 7


def test_a_compromise_of_a_long_history_does_not_hold_up_others(engine: Engine, journal: Journal) -> None:
    live = Live(engine, journal, deadline=0.3)
    arrivals = [receive(login(f"e{i}"), "default", now_ms(), True) for i in range(600)]
    engine.run(arrivals)

    async def scene() -> list[Any]:
        verdict = asyncio.create_task(live.report(Report("e5", "confirmed_compromised"), "default", "test"))
        others: list[Any] = []
        while not verdict.done():
            others += await live.score([login(f"o{len(others)}", user="ben")], "default", True)
        await verdict
        [after] = await live.score([login("after")], "default", True)
        return [after, *others]

    after, *others = play(live, scene())
    assert {answer["source"] for answer in others} == {"engine"}
    assert [reason["code"] for reason in after["reasons"]] == ["user_at_risk"]


def test_a_split_batch_gives_each_caller_its_own_outcome_when_time_runs_out(world: World, journal: Journal) -> None:
    """Two items of a broken batch are committed one by one, the next hangs: nobody may get another's answer."""
    store = SlowStore(fast=3)  # the batch that breaks, then the first two by themselves
    live = Live(engine_over(store, world), journal, deadline=0.4)
    events = [login("a"), login("b", user="ben"), login("c", user="eve"), login("bad", user="dan", action="nonsense")]

    answers = [told(answer) for answer in play(live, live.score(events, "default", True))[:3]]
    store.go_on.set()
    assert [answer["event_id"] for answer in answers] == ["a", "b", "c"]
    assert [answer["source"] for answer in answers] == ["engine", "engine", "fallback"]


class LostStore(MemoryStore):
    """A store whose connection is lost in the first COMMIT: the caller cannot tell whether it `arrived`."""

    def __init__(self, arrived: bool) -> None:
        super().__init__()
        self.arrived, self.lost, self.gone = arrived, False, False

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        if self.gone:
            raise StoreUnavailable("gone")
        first, self.lost = not self.lost, True
        with super().transaction() as tx:
            yield tx
            if first and not self.arrived:
                raise StoreUnavailable("lost on the way there")
        if first:
            raise StoreUnavailable("lost on the way back")

    def ping(self) -> None:
        if self.gone:
            raise StoreUnavailable("gone")


@pytest.mark.parametrize("arrived", [True, False])
def test_a_commit_that_was_lost_is_asked_about_again(world: World, journal: Journal, arrived: bool) -> None:
    store = LostStore(arrived)
    live = Live(engine_over(store, world), journal)

    async def scene() -> Any:
        first = await live.score([login("a")], "default", True)
        return first + await live.score([login("a")], "default", True)

    answer, again = play(live, scene())
    assert answer == again
    assert answer["source"] == "engine"
    assert (store.counts()["events"], journal.pending()) == (1, 0)


@pytest.mark.parametrize("arrived", [True, False])
def test_what_a_lost_commit_had_decided_is_what_is_told(world: World, journal: Journal, arrived: bool) -> None:
    """With the store gone for good nobody knows whether the commit arrived; a fallback could contradict it."""
    store = LostStore(arrived)
    live = Live(engine_over(store, world), journal)
    run = live.engine.run

    def gone_afterwards(*given: Any) -> list[Outcome]:
        try:
            return run(*given)
        finally:
            store.gone = True

    async def scene() -> tuple[Any, Any, Any]:
        live.engine.run = gone_afterwards  # type: ignore[method-assign, assignment]
        [answer] = await live.score([login("a")], "default", True)
        [later] = await live.score([login("b", user="ben")], "default", True)
        pending = journal.pending()
        live.engine.run, store.gone = run, False  # type: ignore[method-assign]
        await _until(lambda: not journal.pending())
        return (answer, later, pending), await live.event("a", "default"), await live.event("b", "default")

    (answer, later, pending), stored, stored_later = play(live, scene())
    assert pending == 2, "what may not be stored is kept, whatever it was decided by"
    assert (answer["source"], answer["decision"]) == ("engine", "allow")
    assert stored["answer"] == answer
    assert stored_later["answer"] == later
    assert later["source"] == "fallback"
    assert store.counts()["events"] == 2


def test_a_batch_is_either_committed_or_given_up(world: World) -> None:
    early, late = Gate(), Gate()
    segment = SimpleNamespace(outcomes={0: {"decision": "allow"}}, others={}, items={}, entries=[])
    early.commit(segment)  # type: ignore[arg-type]

    assert not early.sure()
    assert {index: one.outcome for index, one in early.close()[1].items()} == {0: {"decision": "allow"}}
    early.committed({0: {"decision": "allow"}})
    assert early.sure()
    assert early.close() == ({0: {"decision": "allow"}}, {})
    assert late.close() == ({}, {})
    with pytest.raises(StoreUnavailable):
        late.commit(segment)  # type: ignore[arg-type]


class GoneStore(MemoryStore):
    """A store that never answers."""

    def transaction(self) -> Any:
        raise StoreUnavailable("gone")

    def ping(self) -> None:
        raise StoreUnavailable("gone")


def test_what_a_process_answered_from_its_journal_the_next_one_answers_alike(tmp_path: Path, world: World) -> None:
    answers = []
    for _ in range(2):
        journal = Journal(tmp_path / "journal", SEAL)
        live = Live(engine_over(GoneStore(), world), journal)
        [answer] = play(live, live.score([login("a")], "default", True))
        answers.append(told(answer))
        journal.close()
    first, again = answers
    assert first["source"] == "fallback"
    assert again == first

    journal = Journal(tmp_path / "journal", SEAL)
    live = Live(engine_over(GoneStore(), world), journal)
    [other] = play(live, live.score([login("a", ip=AWAY)], "default", True))
    assert isinstance(other, Conflict)
    journal.close()
