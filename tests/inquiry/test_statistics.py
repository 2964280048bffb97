"""Counts over time: of every event, also of those that come late, and how far behind they say they are."""

from collections import Counter
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from riskengine.check import format_time
from riskengine.errors import InvalidInput
from riskengine.inquiry import rollup
from riskengine.inquiry.inquiry import Asker, Inquiry
from riskengine.inquiry.rollup import EVERY_MS, Rollup
from riskengine.seal import Seal
from riskengine.store import statistics
from riskengine.store.sql import SqlStore
from tests.inquiry.conftest import CROWD, NOW, OTHERS
from tests.inquiry.events import BEGIN_MS, HOUR_MS, Login, save

ASKER = Asker("tester", "default")
ALL = {"since": format_time(BEGIN_MS - HOUR_MS)}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run count all hours, and the next one be due in time, however slow the machine."""
    monkeypatch.setattr(rollup, "TURN_SECONDS", 60)
    monkeypatch.setattr(rollup, "REST", 0)


def counts(inquiry: Inquiry, dimension: str, asker: Asker = ASKER) -> dict[str, int]:
    return {one["value"]: one["events"] for one in inquiry.statistics(asker, ALL)[dimension]}


def test_every_event_of_a_realm_is_counted(
    inquiry: Inquiry, sql_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_AT_ONCE", 3)
    assert inquiry.statistics(ASKER, ALL)["lag_seconds"] is None
    assert Rollup(sql_store).run(NOW)

    assert counts(inquiry, "decision") == Counter(one.decision for one in CROWD)
    assert counts(inquiry, "reason") == Counter(code for one in CROWD for code in one.reasons)
    assert counts(inquiry, "country") == Counter(one.country for one in CROWD if one.country)
    assert counts(inquiry, "network", Asker("tester", "other")) == Counter(one.network for one in OTHERS)
    found = inquiry.statistics(ASKER, ALL)
    assert (found["lag_seconds"], found["whole_since"]) == (0.0, format_time(BEGIN_MS // HOUR_MS * HOUR_MS))
    for one in found["decision"]:
        by_hour = Counter(login.occurred_at // HOUR_MS for login in CROWD if login.decision == one["value"])
        assert [n for n in one["over_time"] if n] == [by_hour[hour] for hour in sorted(by_hour)]


def test_by_the_day_are_as_many_as_by_the_hour(inquiry: Inquiry, sql_store: SqlStore) -> None:
    Rollup(sql_store).run(NOW)
    by_hour, by_day = (inquiry.statistics(ASKER, ALL | {"step": step}) for step in ("hour", "day"))
    assert [one["events"] for one in by_hour["decision"]] == [one["events"] for one in by_day["decision"]]
    assert all(time.endswith("T00:00:00.000Z") for time in by_day["times"])


def test_what_comes_late_is_counted_by_the_next_round(inquiry: Inquiry, sql_store: SqlStore, seal: Seal) -> None:
    Rollup(sql_store).run(NOW)
    save(sql_store, seal, [Login(9_000, occurred_at=BEGIN_MS + HOUR_MS), Login(9_001, occurred_at=NOW)])
    assert not Rollup(sql_store).run(NOW + EVERY_MS - 1)
    assert sum(counts(inquiry, "decision").values()) == len(CROWD)
    assert Rollup(sql_store).run(NOW + EVERY_MS)
    assert sum(counts(inquiry, "decision").values()) == len(CROWD) + 2


def test_a_large_store_is_counted_bit_by_bit(
    inquiry: Inquiry, sql_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "TURN_SECONDS", 0)
    begin = BEGIN_MS + 52 * HOUR_MS
    found = []
    for run in range(53):
        Rollup(sql_store).run(begin + run * EVERY_MS)
        found.append(sum(counts(inquiry, "decision").values()))
    assert found == sorted(found)
    assert (found[0] < len(CROWD) / 10, found[-1]) == (True, len(CROWD))
    assert inquiry.statistics(ASKER, ALL)["whole_since"] == format_time(BEGIN_MS // HOUR_MS * HOUR_MS)


def test_hours_without_events_take_no_run(
    empty: Inquiry, sql_store: SqlStore, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "TURN_SECONDS", 0)
    save(sql_store, seal, [Login(1, occurred_at=NOW - 300 * 86_400_000), Login(2, occurred_at=NOW - 5 * HOUR_MS)])
    for run in range(2):
        Rollup(sql_store).run(NOW + run * EVERY_MS)
    found = empty.statistics(ASKER, {"since": format_time(NOW - 301 * 86_400_000), "step": "day"})
    assert [sum(one["over_time"]) for one in found["decision"]] == [2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"step": "minute"}, "/step must be one of hour, day"),
        ({"since": "now"}, "/since must be an RFC 3339 time"),
        ({"since": format_time(NOW), "until": format_time(NOW)}, "/until must be later than since"),
        ({"since": format_time(BEGIN_MS - 1_000 * HOUR_MS)}, "/since must leave at most 1,000 steps"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_by_name(empty: Inquiry, given: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        empty.statistics(ASKER, given)


def test_of_an_empty_store_there_are_no_counts(empty: Inquiry, sql_store: SqlStore) -> None:
    Rollup(sql_store).run(NOW)
    assert empty.statistics(ASKER, {})["decision"] == []


def test_an_hour_that_changes_changes_its_day_alone(inquiry: Inquiry, sql_store: SqlStore, seal: Seal) -> None:
    def by_day() -> list[int]:
        found = inquiry.statistics(ASKER, ALL | {"step": "day", "until": format_time(NOW)})
        return [sum(counts) for counts in zip(*(one["over_time"] for one in found["decision"]), strict=True)]

    Rollup(sql_store).run(NOW)
    before = by_day()
    late = BEGIN_MS + 30 * HOUR_MS
    save(sql_store, seal, [Login(9_000, occurred_at=late)])
    Rollup(sql_store).run(NOW + EVERY_MS)

    day = 86_400_000
    changed = late // day - (BEGIN_MS - HOUR_MS) // day
    assert by_day() == [count + (at == changed) for at, count in enumerate(before)]


def test_days_of_hours_that_an_older_version_counted_are_added_up(inquiry: Inquiry, sql_store: SqlStore) -> None:
    Rollup(sql_store).run(NOW)
    wanted = inquiry.statistics(ASKER, ALL | {"step": "day"})["decision"]
    sql_store.write(lambda connection: connection.execute(text("DELETE FROM statistics WHERE hour < 0")))
    Rollup(sql_store).run(NOW + EVERY_MS)
    assert inquiry.statistics(ASKER, ALL | {"step": "day"})["decision"] == wanted


def test_who_takes_long_rests_long(sql_store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup, "REST", 20)
    seconds = iter((0.0, 0.0, 5.0))  # when it begins, when it takes hours in turn, when it is done
    monkeypatch.setattr(rollup, "time", SimpleNamespace(monotonic=lambda: next(seconds, 5.0)))
    assert Rollup(sql_store).run(NOW)
    assert not Rollup(sql_store).run(NOW + rollup.REST * 5_000 - 1)
    assert Rollup(sql_store).run(NOW + rollup.REST * 5_000)
