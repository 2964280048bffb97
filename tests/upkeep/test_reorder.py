"""After an import of what happened before: users known live have their histories folded again in order of time."""

from collections.abc import Iterator
from random import Random

import numpy as np
import pytest

from riskengine.engine.engine import Engine
from riskengine.engine.saved import items_of, load_histories
from riskengine.event import DAY_MS, Event, Report
from riskengine.history.learn import fold
from riskengine.replay.lines import REALM
from riskengine.store.database import Database, opened
from riskengine.store.sql import SqlStore
from riskengine.upkeep.reorder import Reordering
from tests.doors import SEAL, arrivals_of, default_policy, locator_of
from tests.fixtures_geo import World

START = 1_772_582_400_000
HOME, AWAY = "192.0.2.1", "198.51.100.10"


def login(day: float, ip: str = HOME, user: str = "ana") -> Event:
    return Event(user, ip, event_id=f"{user}-{day}", occurred_at=START + round(day * DAY_MS), device_id="d1")


def report(day: float, of: float, result: str = "step_up_passed") -> Report:
    return Report(f"ana-{of}", result, at=START + round(day * DAY_MS))


@pytest.fixture
def engine(store_url: str, world: World) -> Iterator[Engine]:
    store = SqlStore(store_url)
    yield Engine(store, locator_of(world), default_policy(), SEAL)
    store.close()


@pytest.fixture
def order(store_url: str, engine: Engine) -> Iterator[Reordering]:
    database: Database = opened(store_url, 5.0)
    yield Reordering(database, SEAL, REALM)
    database.close()


def take(engine: Engine, items: list[Event | Report]) -> None:
    for arrival in arrivals_of(items):
        engine.run([arrival])


def kept(engine: Engine, user: str = "ana") -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the ids of a user's items in their sequence, the history that is stored, and the one that they fold to."""
    ref = engine.tokeniser.user_ref(REALM, user)
    with engine.store.transaction() as tx:
        events, reports = tx.items_of(ref)
        stored = load_histories(tx, [ref], {ref: REALM}, SEAL)
    folded = fold(items_of(events, reports, SEAL))
    folded["seq"] = stored["seq"]
    numbers = [(row.user_seq, (row.occurred_at - START) / DAY_MS, "event") for row in events]
    numbers += [(row.user_seq, (row.at - START) / DAY_MS, "report") for row in reports]
    return [f"{what} {day:g}" for _, day, what in sorted(numbers)], stored, folded


def test_what_an_import_brought_late_stands_where_it_happened(engine: Engine, order: Reordering) -> None:
    ref = engine.tokeniser.user_ref(REALM, "ana")
    take(engine, [login(20), login(21), login(30, AWAY), report(30, 30)])
    take(engine, [login(1), login(2), login(25)])
    before, stored, _ = kept(engine)
    assert before == ["event 20", "event 21", "event 30", "report 30", "event 1", "event 2", "event 25"]

    assert order.reorder(ref)

    after, again, folded = kept(engine)
    assert after == ["event 1", "event 2", "event 20", "event 21", "event 25", "event 30", "report 30"]
    assert again.tobytes() == folded.tobytes() != stored.tobytes()
    assert again["seq"] == stored["seq"]
    assert not order.reorder(ref), "nothing is left to do"


def test_who_was_in_order_is_left_alone(engine: Engine, order: Reordering) -> None:
    take(engine, [login(1), login(2, user="ben"), login(3)])
    refs = [engine.tokeniser.user_ref(REALM, user) for user in ("ana", "ben", "nobody")]
    assert sorted(order.known(refs)) == sorted(refs[:2])
    assert not any(order.reorder(ref) for ref in refs)


def test_a_compromise_stays_known_and_its_event_taught_nothing(engine: Engine, order: Reordering) -> None:
    take(engine, [login(20), login(21, AWAY), report(21.5, 21, "confirmed_compromised"), login(3)])
    assert order.reorder(engine.tokeniser.user_ref(REALM, "ana"))
    _, stored, folded = kept(engine)
    assert stored["at_risk"][0]
    assert stored.tobytes() == folded.tobytes()


def test_any_arrival_ends_as_order_of_time_would(engine: Engine, order: Reordering) -> None:
    random = Random(5)
    for number in range(6):
        user = f"u{number}"
        items = [login(day + random.random(), random.choice((HOME, AWAY)), user) for day in range(12)]
        take(engine, random.sample(items, len(items)))
        order.reorder(engine.tokeniser.user_ref(REALM, user))
        told, stored, folded = kept(engine, user)
        assert told == sorted(told, key=lambda one: float(one.split()[1]))
        assert stored.tobytes() == folded.tobytes()
