"""One verdict over a search: counted, given in steps, and taken back so that nothing of it is left."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from riskengine.audit import Audit
from riskengine.compare.stored import Retained, decided_again
from riskengine.engine.arrival import Arrival, Remedy
from riskengine.engine.engine import Engine
from riskengine.engine.saved import load_histories
from riskengine.errors import Conflict, InvalidInput, NotFound
from riskengine.event import VERDICTS, Event, Report
from riskengine.history.record import Records
from riskengine.inquiry.inquiry import Asker, Inquiry
from riskengine.store.memory import MemoryStore
from riskengine.store.sql import SqlStore
from riskengine.verdicts import AT_ONCE, LASTS_MS, Step, Verdicts
from tests.doors import ADDRESSES, EPOCH, SEAL, arrivals_of, engine_over
from tests.fixtures_geo import World

HOUR_MS = 3_600_000
NOW = EPOCH + 100 * HOUR_MS
ANALYST = Asker("ana-lyst", "default")
TOKYO = ADDRESSES["tokyo"]


@pytest.fixture
def engine(sql_store: SqlStore, world: World) -> Engine:
    return engine_over(sql_store, world)


@pytest.fixture
def verdicts(sql_store: SqlStore, engine: Engine) -> Verdicts:
    return verdicts_at(sql_store, engine, NOW)


def verdicts_at(store: SqlStore, engine: Engine, now: int) -> Verdicts:
    audit, times = Audit(store, SEAL), count(now)
    return Verdicts(engine, store, Inquiry(store, SEAL, audit, lambda: now), audit, lambda: next(times))


def login(hour: float, user: str | None = "ana", place: str = "new_york", **given: str) -> Event:
    at = EPOCH + round(hour * HOUR_MS)
    return Event(user, ADDRESSES[place], f"{user}-{hour:g}", at, device_id="d1", **given)  # type: ignore[arg-type]


def send(engine: Engine, items: Sequence[Event | Report]) -> None:
    for arrival in arrivals_of(items):
        [outcome] = engine.run([arrival])
        assert isinstance(outcome, dict), outcome


def to_the_end(verdicts: Verdicts, step: Step) -> Step:
    while step.confirm is not None:
        step = verdicts.step(ANALYST, step.confirm)
    return step


def history(engine: Engine, user: str = "ana") -> Records:
    """Return all that is known of a user, but for how many items taught it."""
    ref = engine.tokeniser.user_ref("default", user)
    with engine.store.transaction() as tx:
        record = load_histories(tx, [ref], {ref: "default"}, SEAL)
    record["seq"] = 0
    return record


def states(store: SqlStore) -> list[str]:
    return [row.state for row in sorted(store.events(), key=lambda row: row.id)]


LOGINS = [*(login(hour) for hour in (1, 26, 50)), login(51, place="tokyo"), login(75), login(76, place="tokyo")]


@pytest.mark.parametrize("result", VERDICTS)
def test_what_was_given_and_taken_back_leaves_nothing(
    sql_store: SqlStore, engine: Engine, verdicts: Verdicts, result: str
) -> None:
    send(engine, LOGINS)
    before = history(engine)

    counted = verdicts.count(ANALYST, {"ip": TOKYO}, result)
    assert (counted.told()["count"], states(sql_store)) == (2, ["open"] * 6), "counting changes nothing"
    given = to_the_end(verdicts, counted)

    assert (given.told()["applied"], given.told()["skipped"]) == (2, 0)
    assert states(sql_store) == ["open", "open", "open", result, "open", result]
    assert np.array_equal(history(engine), before) == (result == "dismissed")
    assert bool(history(engine)["at_risk"][0]) == (result == "confirmed_compromised")
    undone = to_the_end(verdicts, verdicts.undo(ANALYST, given.progress.id))

    assert (undone.told()["applied"], undone.told()["skipped"]) == (2, 0)
    assert states(sql_store) == ["open"] * 6
    assert np.array_equal(history(engine), before)
    assert to_the_end(verdicts, verdicts.undo(ANALYST, given.progress.id)).told()["applied"] == 0


def test_it_is_audited_once_each_with_its_count(sql_store: SqlStore, engine: Engine, verdicts: Verdicts) -> None:
    send(engine, LOGINS)
    given = to_the_end(verdicts, verdicts.count(ANALYST, {"user_id": "ana"}, "dismissed"))
    to_the_end(verdicts, verdicts.undo(ANALYST, given.progress.id))

    lines = [(line.action, line.object) for line in sql_store.audit_lines()]
    assert lines == [("verdicts.give", given.progress.id), ("verdicts.undo", given.progress.id)]


def test_many_are_judged_in_steps(sql_store: SqlStore, engine: Engine, verdicts: Verdicts) -> None:
    logins = [login(1 + n / 100, f"user-{n}") for n in range(AT_ONCE + 50)]
    engine.run(arrivals_of(logins))

    step = verdicts.step(ANALYST, verdicts.count(ANALYST, {}, "confirmed_safe").confirm or "")
    assert (step.told()["applied"], step.confirm is None) == (AT_ONCE, False)
    again = verdicts.step(ANALYST, step.confirm or "")
    repeated = verdicts.step(ANALYST, step.confirm or "")

    assert (again.told()["applied"], again.confirm) == (AT_ONCE + 50, None)
    assert repeated.told()["applied"] == AT_ONCE, "what is sent again judges nothing twice"
    undone = to_the_end(verdicts, verdicts.undo(ANALYST, step.progress.id))
    assert undone.told()["applied"] == AT_ONCE + 50
    assert set(states(sql_store)) == {"open"}


def test_what_stands_against_it_is_left(sql_store: SqlStore, engine: Engine, verdicts: Verdicts) -> None:
    logins = [*LOGINS[:3], login(52, None, outcome="failure", login="x")]
    send(engine, [*logins, Report("ana-1", "confirmed_compromised", at=NOW), Report("ana-26", "dismissed", at=NOW)])

    given = to_the_end(verdicts, verdicts.count(ANALYST, {}, "dismissed"))

    assert (given.told()["count"], given.told()["applied"], given.told()["skipped"]) == (4, 1, 3)
    assert states(sql_store) == ["confirmed_compromised", "dismissed", "dismissed", "open"]


def test_an_earlier_verdict_stands_again_and_a_later_one_is_left(
    sql_store: SqlStore, engine: Engine, verdicts: Verdicts
) -> None:
    send(engine, [*LOGINS[:2], Report("ana-1", "confirmed_safe", at=NOW), Report("ana-26", "confirmed_safe", at=NOW)])
    before = history(engine)
    given = to_the_end(verdicts, verdicts.count(ANALYST, {"user_id": "ana"}, "dismissed"))
    assert states(sql_store) == ["dismissed", "dismissed"]
    send(engine, [Report("ana-26", "confirmed_compromised", at=NOW)])

    undone = to_the_end(verdicts, verdicts.undo(ANALYST, given.progress.id))

    assert (undone.told()["applied"], undone.told()["skipped"]) == (1, 1)
    assert states(sql_store) == ["confirmed_safe", "confirmed_compromised"]
    assert history(engine)["at_risk"][0]
    assert not before["at_risk"][0]


def test_a_verdict_can_be_given_again_after_it_was_taken_back(
    sql_store: SqlStore, engine: Engine, verdicts: Verdicts
) -> None:
    send(engine, LOGINS)
    first = to_the_end(verdicts, verdicts.count(ANALYST, {"ip": TOKYO}, "confirmed_compromised"))
    to_the_end(verdicts, verdicts.undo(ANALYST, first.progress.id))

    second = to_the_end(verdicts, verdicts.count(ANALYST, {"ip": TOKYO}, "confirmed_compromised"))

    assert second.told()["applied"] == 2
    assert history(engine)["at_risk"][0]
    assert to_the_end(verdicts, verdicts.undo(ANALYST, first.progress.id)).told()["applied"] == 0
    assert to_the_end(verdicts, verdicts.undo(ANALYST, second.progress.id)).told()["applied"] == 2
    assert not history(engine)["at_risk"][0]


def test_a_comparison_with_what_is_stored_takes_verdicts_back_too(
    sql_store: SqlStore, engine: Engine, verdicts: Verdicts, world: World
) -> None:
    send(engine, LOGINS)
    given = to_the_end(verdicts, verdicts.count(ANALYST, {"ip": TOKYO}, "confirmed_compromised"))
    engine.insist(Arrival("default", Remedy("ana", NOW), NOW + 500, who="ops"))
    to_the_end(verdicts_at(sql_store, engine, NOW + 1000), verdicts.undo(ANALYST, given.progress.id))
    send(engine, [login(101)])

    retained = Retained()
    again = engine_over(MemoryStore(), world)
    pairs = list(decided_again(sql_store, SEAL, again, retained, lambda done: None))

    assert [one.after["decision"] for one in pairs] == [one.before["decision"] for one in pairs]
    assert (retained.reports, retained.refused_reports) == (5, 0)


def test_what_arrives_after_the_count_is_not_meant(sql_store: SqlStore, engine: Engine, verdicts: Verdicts) -> None:
    send(engine, LOGINS)
    counted = verdicts.count(ANALYST, {"ip": TOKYO}, "dismissed")
    [late] = arrivals_of([replace(login(77, place="tokyo"), event_id="late")])
    engine.run([replace(late, received_at=NOW + HOUR_MS)])

    assert to_the_end(verdicts, counted).told()["applied"] == 2


def test_a_note_counts_for_an_hour_and_in_its_realm(sql_store: SqlStore, engine: Engine, verdicts: Verdicts) -> None:
    send(engine, LOGINS)
    note = verdicts.count(ANALYST, {}, "dismissed").confirm or ""

    with pytest.raises(Conflict, match="count again"):
        verdicts_at(sql_store, engine, NOW + LASTS_MS + 1000).step(ANALYST, note)
    for wrong in (note[:-8] + "AAAAAAAA", "x", ""):
        with pytest.raises(InvalidInput, match="/confirm"):
            verdicts.step(ANALYST, wrong)
    with pytest.raises(InvalidInput, match="/confirm"):
        verdicts.step(Asker("eve", "other"), note)
    assert set(states(sql_store)) == {"open"}


def test_what_makes_no_sense_is_named(engine: Engine, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch) -> None:
    send(engine, LOGINS)

    with pytest.raises(InvalidInput, match="/filters/cidr"):
        verdicts.count(ANALYST, {"cidr": "x"}, "dismissed")
    with pytest.raises(InvalidInput, match="/result"):
        verdicts.count(ANALYST, {}, "step_up_passed")
    with pytest.raises(NotFound):
        verdicts.undo(ANALYST, "0123456789")
    assert verdicts.count(ANALYST, {"ip": "192.0.2.99"}, "dismissed").confirm is None
    monkeypatch.setattr("riskengine.inquiry.inquiry.COUNT_LOOKED_AT", 3)
    with pytest.raises(InvalidInput, match="too many events"):
        verdicts.count(ANALYST, {}, "dismissed")
