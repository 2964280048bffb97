"""What a store retains, decided again: the same policy gives what was answered, another one what it would have."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from riskengine.compare.comparison import compare
from riskengine.compare.pair import Pair
from riskengine.compare.stored import Retained, decided_again
from riskengine.engine.arrival import Arrival, Remedy
from riskengine.event import DAY_MS, Event, Report
from riskengine.policy.policy import Policy
from riskengine.store.contract import EventRow, Store
from riskengine.store.memory import MemoryStore
from tests.doors import ADDRESSES, EPOCH, SEAL, Case, arrivals_of, default_policy, engine_over, load_cases
from tests.fixtures_geo import World

CASES = load_cases()
HOUR_MS = 3_600_000
Item = Event | Report | Remedy
Again = Callable[..., tuple[list[Pair], Retained]]


@pytest.fixture
def again(world: World) -> Again:
    """Decide what a store holds again, by a policy."""

    def run(store: Store, policy: Policy | None = None) -> tuple[list[Pair], Retained]:
        retained = Retained()
        engine = engine_over(MemoryStore(), world, policy)
        return list(decided_again(store, SEAL, engine, retained, lambda done: None)), retained

    return run


def filled(store: Store, world: World, items: Sequence[Item], reports: bool = True) -> Store:
    """Send items one by one, as live would."""
    engine = engine_over(store, world)
    for item in items:
        if isinstance(item, Remedy):
            engine.run([Arrival("default", item, item.at, who="test")])
        else:
            engine.run(arrivals_of([item], reports))
    return store


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_same_policy_gives_every_case_the_answers_it_was_given(case: Case, world: World, again: Again) -> None:
    store = filled(MemoryStore(), world, [step.item for step in case.steps])
    pairs, retained = again(store)

    assert len(pairs) == store.counts()["events"]
    assert (retained.undecided, retained.refused_reports) == (0, 0)
    assert retained.reports == store.counts()["reports"]
    assert [one.after for one in pairs] == [one.before for one in pairs]


def login(hour: float, place: str, user: str = "ana") -> Event:
    return Event(user, ADDRESSES[place], f"{user}-{hour:g}", EPOCH + int(hour * HOUR_MS))


def told(hour: float, of: Event, result: str) -> Report:
    return Report(of.event_id or "", result, at=EPOCH + int(hour * HOUR_MS))


HOME, AWAY, LATER = login(0, "new_york"), login(0.2, "tokyo"), login(0.6, "tokyo")


def test_a_store_of_any_kind_gives_its_items_in_the_order_in_which_they_came(
    store: Store, world: World, again: Again
) -> None:
    late = replace(login(0.1, "new_york"), event_id="late")
    items: list[Item] = [HOME, AWAY, told(0.3, AWAY, "step_up_passed"), LATER, late, login(30, "lisbon", "ben")]
    pairs, retained = again(filled(store, world, items))

    assert [one.event.event_id for one in pairs] == ["ana-0", "ana-0.2", "ana-0.6", "late", "ben-30"]
    assert [one.before["decision"] for one in pairs[:3]] == ["allow", "step_up", "allow"]
    assert compare(pairs).rescored == 0
    assert retained == Retained(reports=1)


def test_a_compromise_and_its_end_count_again(world: World, again: Again) -> None:
    items: list[Item] = [
        HOME,
        AWAY,
        told(1, AWAY, "confirmed_compromised"),
        login(2, "new_york"),
        Remedy("ana", EPOCH + 3 * HOUR_MS),
        login(4, "new_york"),
    ]
    pairs, retained = again(filled(MemoryStore(), world, items))

    assert [one.before["decision"] for one in pairs] == ["allow", "step_up", "step_up", "allow"]
    assert compare(pairs).rescored == compare(pairs).changed == 0
    assert retained.reports == 2


def test_a_caller_that_never_reports_is_still_one(world: World, again: Again) -> None:
    """What a step-up teaches that nobody reports depends on whether its caller would have."""
    days = [replace(login(0.2, "tokyo"), event_id=f"d{day}", occurred_at=EPOCH + day * DAY_MS) for day in range(1, 20)]
    for reports in (True, False):
        pairs, _ = again(filled(MemoryStore(), world, [HOME, *days], reports))

        assert compare(pairs).rescored == 0


def test_a_report_counts_only_where_the_other_policy_steps_up_too(world: World, again: Again) -> None:
    store = filled(MemoryStore(), world, [HOME, AWAY, told(0.3, AWAY, "step_up_passed"), LATER])
    lax = replace(default_policy(), thresholds=replace(default_policy().thresholds, step_up=100.0))
    pairs, retained = again(store, lax)

    assert compare(pairs).laxer == 1
    assert retained == Retained(refused_reports=1)


def test_an_event_that_can_no_longer_be_read_is_counted_and_passed_over(world: World, again: Again) -> None:
    class Older(MemoryStore):
        """A store whose first event was kept in a form that is refused today."""

        def events(self) -> Iterator[EventRow]:
            for at, row in enumerate(super().events()):
                yield _spoiled(row) if at == 0 else row

    store = filled(Older(), world, [HOME, AWAY, told(0.3, AWAY, "step_up_passed")])
    pairs, retained = again(store)

    assert [one.event.event_id for one in pairs] == ["ana-0.2"]
    assert retained.undecided == 1


def _spoiled(row: EventRow) -> EventRow:
    raw = SEAL.seal(b'{"user_id": "ana", "ip": "192.0.2.10", "shoe_size": 43}', row.realm, "raw", row.id)
    return row._replace(raw=raw)


def test_users_of_two_realms_do_not_share_a_history(world: World, again: Again) -> None:
    store = MemoryStore()
    engine = engine_over(store, world)
    for realm, item in (("default", HOME), ("other", AWAY)):
        [arrival] = arrivals_of([item])
        engine.run([replace(arrival, realm=realm)])
    pairs, _ = again(store)

    assert [one.after["decision"] for one in pairs] == ["allow", "allow"]
    assert compare(pairs).rescored == 0


def test_progress_is_told_of_every_item(world: World) -> None:
    store = filled(MemoryStore(), world, [HOME, AWAY, told(0.3, AWAY, "step_up_passed")])
    done: list[int] = []
    list(decided_again(store, SEAL, engine_over(MemoryStore(), world), Retained(), done.append))

    assert sum(done) == 3
