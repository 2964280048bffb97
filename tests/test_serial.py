"""One user at a time, anywhere: two places at once through several workers, and one user's flood beside others.

With TESTS_LONG=1 in the environment: a thousand pairs, a flood of 500 requests/s instead of 100, and bounds without
leeway for a shared machine.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from riskengine.app import clock
from riskengine.check import format_time
from riskengine.event import DAY_MS
from riskengine.store.partitions import keep
from riskengine.store.sql import SqlStore
from tests.conftest import PostgresServer
from tests.fixtures_geo import World
from tests.served import Caller, Served, serving, settings_of

LONG = bool(os.environ.get("TESTS_LONG"))
NEW_YORK, TOKYO = "192.0.2.{}", "198.51.100.{}"
WORKERS, CALLERS = 4, 12
PAIRS = 1000 if LONG else 200
# A shared machine may stop for as long as a batch may take; then a worker answers without the store for a second,
# and a user that another worker holds for as long gets such an answer too.
MOST_PAUSES, FEWEST_WHOLE = (0, 1.0) if LONG else (3, 0.5)
HOUR_MS = 3_600_000
# When users were last at home. From the first no journey to Tokyo is possible; from the second it is, and only what the
# one of the two logins taught tells of the other.
LATELY, LONG_AGO = HOUR_MS, 3 * DAY_MS

FLOOD_PER_SECOND, FLOOD_CALLERS = (500, 32) if LONG else (100, 8)
BLOCKS, BLOCK_REQUESTS, OTHERS = (10, 400, 8) if LONG else (3, 60, 4)
LEEWAY_SECONDS = 0.0 if LONG else 0.5

pytestmark = pytest.mark.timeout(1800 if LONG else 240)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Served]:
    """Four workers over a database of each kind in turn; each test has users of its own."""
    home = tmp_path_factory.mktemp("home")
    if request.param == "sqlite":
        with serving(settings_of(home, world, workers=WORKERS)) as served:
            yield served
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.fresh_migrated()
    keep(server.url(name), clock(), None)
    with serving(settings_of(home, world, workers=WORKERS, database_url=server.url(name))) as served:
        yield served
    server.drop(name)


def login(user: int, address: str, at: int, **given: Any) -> dict[str, Any]:
    return {
        "user_id": f"user-{user}",
        "ip": address.format(10 + user % 50),
        "device_id": f"device-{user}",
        "occurred_at": format_time(at),
        **given,
    }


async def settle(served: Served, users: range, last: int) -> None:
    """Give users a home in New York, where they were last so many ms ago."""
    caller = await Caller(served).connect()
    for ago in (12 * DAY_MS, 8 * DAY_MS, 5 * DAY_MS, last):
        for first in range(users.start, users.stop, 100):
            some = range(first, min(first + 100, users.stop))
            events = [login(user, NEW_YORK, clock() - ago, mfa="passed") for user in some]
            status, answered = await caller.post("/score/batch", {"events": events})
            assert status == 200, answered
            assert all(answer["source"] == "engine" for answer in answered["answers"])
    caller.close()


async def pairs(served: Served, users: range) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Send each user's login from New York and from Tokyo at the same instant, over two connections."""
    callers: asyncio.Queue[tuple[Caller, Caller]] = asyncio.Queue()
    for _ in range(CALLERS // 2):
        callers.put_nowait((await Caller(served).connect(), await Caller(served).connect()))

    async def pair(user: int) -> tuple[dict[str, Any], dict[str, Any]]:
        one, other = await callers.get()
        at = clock()
        home, away = await asyncio.gather(one.score(login(user, NEW_YORK, at)), other.score(login(user, TOKYO, at)))
        callers.put_nowait((other, one) if user % 2 else (one, other))
        return home, away

    answers = await asyncio.gather(*(pair(user) for user in users))
    while not callers.empty():
        for caller in callers.get_nowait():
            caller.close()
    return list(answers)


def travelled(answer: dict[str, Any]) -> bool:
    """Return whether an answer speaks of an impossible journey."""
    return "impossible_travel" in [reason["code"] for reason in answer["reasons"]]


def with_store(answers: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the pairs of which neither was answered without the store."""
    return [pair for pair in answers if all(a["source"] == "engine" and not a["degraded"] for a in pair)]


def test_of_two_places_at_once_exactly_one_is_allowed(served: Served) -> None:
    at_home, flown = range(PAIRS), range(PAIRS, PAIRS + PAIRS // 4)
    asyncio.run(settle(served, at_home, LATELY))
    asyncio.run(settle(served, flown, LONG_AGO))

    answers = with_store(asyncio.run(pairs(served, at_home)))
    either = with_store(asyncio.run(pairs(served, flown)))

    for home, away in answers:
        assert (home["decision"], away["decision"]) == ("allow", "step_up"), (home, away)
        assert travelled(away)
    # Whichever came first saw nothing of the other, and whichever came second did.
    assert {(travelled(home), travelled(away)) for home, away in either} == {(True, False), (False, True)}
    _assert_numbered(served, [home["user_ref"] for home, _ in (answers + either)[::10]])
    pauses = [line["why"] for line in served.lines("store_unavailable")]
    assert len(pauses) <= MOST_PAUSES
    assert set(pauses) <= {"too slow"}  # nobody is kept from the store by another worker
    assert len(answers) >= FEWEST_WHOLE * PAIRS
    assert len(either) >= FEWEST_WHOLE * (PAIRS // 4)


def _assert_numbered(served: Served, users: list[str]) -> None:
    """Assert that each user's events are numbered one after the other: no two rest on the same history."""
    store = SqlStore(served.settings.database_url)
    with store.transaction() as tx:
        for user in users:
            events, _ = tx.items_of(bytes.fromhex(user))
            assert [event.user_seq for event in events] == [1, 2, 3, 4, 5, 6]
    store.close()


def test_one_users_flood_does_not_double_the_others_p99(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    p99s = asyncio.run(_blocks(served))

    alone, beside = (statistics.median(p99s[flooded]) for flooded in (False, True))
    with capsys.disabled():
        if LONG:
            print(f"\nothers' p99: {1000 * alone:.0f} ms alone, {1000 * beside:.0f} ms beside a flood")
    assert beside <= 2 * alone + LEEWAY_SECONDS


async def _blocks(served: Served) -> dict[bool, list[float]]:
    """Return the others' p99, in seconds, of alternating blocks without and with a flood."""
    found: dict[bool, list[float]] = {False: [], True: []}
    flooders = [await Caller(served).connect() for _ in range(FLOOD_CALLERS)]
    others = [await Caller(served).connect() for _ in range(OTHERS)]
    await _waits(others)
    for _ in range(BLOCKS):
        for flooded in (False, True):
            flood = asyncio.create_task(_flood(flooders)) if flooded else None
            waits = sorted(await _waits(others))
            found[flooded].append(waits[int(len(waits) * 0.99)])
            if flood is not None:
                flood.cancel()
                with suppress(asyncio.CancelledError):
                    await flood
    for caller in (*flooders, *others):
        caller.close()
    return found


_users = count(10_000)


async def _waits(others: list[Caller]) -> list[float]:
    """Return how long each of BLOCK_REQUESTS logins of different users waited for its answer."""

    async def call(caller: Caller) -> list[float]:
        found = []
        for _ in range(BLOCK_REQUESTS // len(others)):
            began = time.perf_counter()
            await caller.score(login(next(_users), NEW_YORK, clock()))
            found.append(time.perf_counter() - began)
            await asyncio.sleep(0.02)
        return found

    return [wait for waits in await asyncio.gather(*map(call, others)) for wait in waits]


async def _flood(callers: list[Caller]) -> None:
    """Send one user's logins at FLOOD_PER_SECOND until cancelled; what is turned away is turned away."""
    free: asyncio.Queue[Caller] = asyncio.Queue()
    for caller in callers:
        free.put_nowait(caller)

    async def send(caller: Caller) -> None:
        await caller.post("/score", login(9_999, NEW_YORK, clock()))
        free.put_nowait(caller)

    sent: set[asyncio.Task[None]] = set()
    try:
        while True:
            task = asyncio.create_task(send(await free.get()))
            sent.add(task)
            task.add_done_callback(sent.discard)
            await asyncio.sleep(1 / FLOOD_PER_SECOND)
    finally:
        await asyncio.gather(*sent)
