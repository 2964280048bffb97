"""A store that is slow or gone holds up no caller that was seen lately, and admits none that was not."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from riskengine.access.access import STALE_MS, Access
from riskengine.access.clients import Clients
from riskengine.access.guesses import Guesses
from riskengine.access.keyring import Keyring
from riskengine.access.purse import Purse, new_secret
from riskengine.access.remembered import FRESH_MS, RENEW_MS
from riskengine.api.calls import ASK_SECONDS, SILENT_MS, Door
from riskengine.errors import AccessDenied, StoreUnavailable
from riskengine.seal import Seal
from riskengine.store.contract import AccessKeyRow, ClientRow
from riskengine.store.memory import MemoryStore

START = 1_772_615_731_500


class Faulty(MemoryStore):
    """A store that can be made to fail or to hang, and counts how often it is asked for a key or a client."""

    fault: Callable[[], None] = staticmethod(lambda: None)
    asked = 0

    def access_key(self, key_id: str) -> AccessKeyRow | None:
        self.asked += 1
        self.fault()
        return super().access_key(key_id)

    def client(self, client_id: str) -> ClientRow | None:
        self.asked += 1
        self.fault()
        return super().client(client_id)


@dataclass
class Scene:
    """A door on a faulty store, at a time that only the test moves."""

    store: Faulty = field(default_factory=Faulty)
    now: int = START

    def __post_init__(self) -> None:
        access = Access(self.store)
        token, _ = access.create("caller", ["score"], "default", START)
        self.header = f"Bearer {token}"
        self.door = Door(access, lambda: self.now, Guesses(lambda: self.now))


def gone() -> None:
    raise StoreUnavailable("gone")


def hanging() -> None:
    time.sleep(2 * ASK_SECONDS)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_a_key_is_asked_for_once_in_two_seconds_however_many_call() -> None:
    scene = Scene()

    async def work() -> None:
        callers = await asyncio.gather(*(scene.door.admit(scene.header) for _ in range(50)))
        assert {caller.name for caller in callers} == {"caller"}
        assert scene.store.asked == 1
        scene.now += FRESH_MS
        await scene.door.admit(scene.header)
        assert scene.store.asked == 2

    run(work())


async def until(true: Callable[[], bool]) -> None:
    """Wait for what happens beside; fail if it does not."""
    end = time.monotonic() + 5
    while True:
        if true():
            return
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def test_who_goes_on_calling_never_waits_for_the_store() -> None:
    scene = Scene()

    async def work() -> None:
        await scene.door.admit(scene.header)
        for turn in range(5):
            scene.now += RENEW_MS
            assert all(scene.door.recall(scene.header) for _ in range(10))
            await until(lambda turn=turn: scene.store.asked == turn + 2 and not scene.door._asked)  # type: ignore[misc]

    run(work())
    scene.door.close()


def test_what_was_revoked_is_noticed_by_that_too() -> None:
    scene = Scene()

    async def work() -> None:
        [key] = scene.store.access_keys()
        await scene.door.admit(scene.header)
        scene.store.revoke_access_key(key.id, START)
        scene.now += RENEW_MS
        assert scene.door.recall(scene.header) is not None
        await until(lambda: not scene.door._asked)
        assert scene.door.recall(scene.header) is None

    run(work())
    scene.door.close()


@pytest.mark.parametrize("fault", [gone, hanging])
def test_one_time_tokens_are_told_by_their_client_without_waiting(seal: Seal, fault: Callable[[], None]) -> None:
    scene = Scene()
    clients = Clients(scene.store)
    row, _ = clients.create("front-door", ["score"], "default", START, one_time=True)
    purse = Purse(Keyring(scene.store, seal, "one_time", new_secret), clients, scene.store)
    door = Door(Access(scene.store, purse=purse), lambda: scene.now, Guesses(lambda: scene.now))
    tokens = [f"Bearer {token}" for token in purse.issue(row, ["score"], None, 300, START)]

    async def work() -> None:
        await door.admit(tokens[0])
        for _ in range(3):
            asked = scene.store.asked
            scene.now += RENEW_MS
            assert all(door.recall(token) for token in tokens)
            await until(lambda asked=asked: scene.store.asked == asked + 1 and not door._asked)  # type: ignore[misc]
        scene.store.fault = fault
        scene.now += FRESH_MS
        assert (await door.admit(tokens[1])).ticket is not None
        asked = scene.store.asked
        assert all(door.recall(token) for token in tokens)
        assert scene.store.asked == asked

    run(work())
    door.close()


@pytest.mark.parametrize("fault", [gone, hanging])
def test_a_caller_seen_lately_is_admitted_while_the_store_is_silent(fault: Callable[[], None]) -> None:
    scene = Scene()

    async def work() -> None:
        await scene.door.admit(scene.header)
        scene.store.fault = fault
        scene.now += FRESH_MS
        assert (await scene.door.admit(scene.header)).name == "caller"
        asked = scene.store.asked
        begun = time.perf_counter()
        scene.now += SILENT_MS - 1
        assert (await scene.door.admit(scene.header)).name == "caller"
        assert time.perf_counter() - begun < ASK_SECONDS / 2
        assert scene.store.asked == asked

    run(work())
    scene.door.close()


@pytest.mark.parametrize("fault", [gone, hanging])
def test_a_caller_never_seen_is_told_that_it_cannot_be_checked(fault: Callable[[], None]) -> None:
    scene = Scene()
    scene.store.fault = fault

    async def work() -> None:
        with pytest.raises(StoreUnavailable):
            await scene.door.admit(scene.header)

    run(work())
    scene.door.close()


def test_a_caller_seen_too_long_ago_is_not_admitted_on_memory() -> None:
    scene = Scene()

    async def work() -> None:
        await scene.door.admit(scene.header)
        scene.store.fault = gone
        scene.now += STALE_MS
        with pytest.raises(StoreUnavailable):
            await scene.door.admit(scene.header)

    run(work())


def test_a_wrong_key_is_refused_also_when_many_try_it_at_once() -> None:
    scene = Scene()

    async def work() -> None:
        wrong = f"Bearer rk_{'0' * 16}_{'0' * 64}"
        refusals = await asyncio.gather(*(scene.door.admit(wrong) for _ in range(10)), return_exceptions=True)
        assert all(isinstance(refusal, AccessDenied) for refusal in refusals)

    run(work())
