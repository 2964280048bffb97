"""Is this when the user comes? Hours of their own week, and accounts left idle."""

from math import nan

import numpy as np
import pytest

from riskengine.batch import Batch
from riskengine.event import ACTIONS
from riskengine.history.record import NO_OFFSET, Records, blank, day_at
from riskengine.network import Kind
from riskengine.signals.timing import idle_account, tell, unusual_hour
from tests.columns import signal, told
from tests.doors import default_policy
from tests.test_habits import JAPAN, WINTER, at

MINIMUM = default_policy().timing.logins
IDLE, FULL = default_policy().timing.idle_days, default_policy().timing.idle_full_days
WEEKDAYS, EVERY_DAY = range(5), range(7)


def user(days: range, slots: tuple[int, ...], each: int, zone: float = 0.0) -> Records:
    """Return a user with so many logins in each of these three-hour slots of each of these days."""
    record = blank(1)
    for day in days:
        for slot in slots:
            record["hours"][0, 8 * day + slot] = each
    record["zone"] = zone
    return record


OFFICE = user(WEEKDAYS, (3, 4, 5), 8)
OWL = user(EVERY_DAY, (7, 0), 8)
SUNDAYS = user(range(6, 7), (7,), 60)


def unusual(record: Records, item: Batch) -> float:
    return float(np.round(signal(unusual_hour, item, record), 6)[0])


@pytest.mark.parametrize(
    ("record", "day", "hour", "least", "most"),
    [
        pytest.param(OFFICE, 1, 10, 0.0, 0.0, id="an_office_worker_in_the_morning"),
        pytest.param(OFFICE, 2, 18.5, 0.0, 0.3, id="staying_a_little_late"),
        pytest.param(OFFICE, 5, 10, 0.0, 0.3, id="on_a_saturday_morning_at_the_usual_hour"),
        pytest.param(OFFICE, 2, 3, 0.9, 1.0, id="in_the_middle_of_the_night"),
        pytest.param(OFFICE, 6, 23, 0.9, 1.0, id="on_a_sunday_night"),
        pytest.param(OWL, 2, 1, 0.0, 0.0, id="a_night_owl_at_night"),
        pytest.param(OWL, 2, 12, 0.9, 1.0, id="a_night_owl_at_noon"),
        pytest.param(OWL, 0, 0.5, 0.0, 0.0, id="a_night_owl_as_sunday_turns_to_monday"),
        pytest.param(SUNDAYS, 6, 23, 0.0, 0.0, id="somebody_who_comes_on_sunday_nights"),
        pytest.param(SUNDAYS, 7, 0.5, 0.0, 0.0, id="half_an_hour_late_it_is_monday"),
        pytest.param(SUNDAYS, 2, 23, 0.0, 0.3, id="on_another_night"),
    ],
)
def test_ordinary_hours_are_nothing_and_others_are_graded(
    record: Records, day: int, hour: float, least: float, most: float
) -> None:
    value = unusual(record, at(day, hour, offset=0.0))

    assert least <= value <= most


def test_few_logins_say_little_and_more_say_more() -> None:
    night = at(2, 3, offset=0.0)
    values = [unusual(user(WEEKDAYS, (3, 4), each), night) for each in (2, 5, 20)]

    assert values == sorted(values)
    assert 0.3 < values[0] < 0.7
    assert values[-1] == 1.0


@pytest.mark.parametrize(
    ("count", "expected"), [pytest.param(MINIMUM - 1, nan, id="below"), pytest.param(MINIMUM, 0.0, id="at_the_limit")]
)
def test_before_enough_logins_no_hour_is_unusual(count: int, expected: float) -> None:
    record = user(range(1), (3,), count)

    np.testing.assert_equal(unusual(record, at(0, 10, offset=0.0)), expected)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"offset": nan}, id="no_clock_is_known"),
        pytest.param({"offset": 0.0, "kind": Kind.TOR}, id="only_that_of_a_gateway"),
    ],
)
def test_an_hour_that_cannot_be_told_is_unknown(given: dict[str, object]) -> None:
    record = OFFICE.copy()
    record["zone"] = NO_OFFSET

    assert np.isnan(unusual(record, at(2, 3, **given)))


def test_no_person_is_there_when_a_token_is_refreshed() -> None:
    assert np.isnan(unusual(OFFICE, at(2, 3, offset=0.0, action=ACTIONS.index("token_refresh"))))


def test_behind_a_tunnel_the_users_own_clock_counts() -> None:
    home = user(WEEKDAYS, (3, 4, 5), 8, zone=WINTER)

    assert unusual(home, at(1, 15, offset=JAPAN, kind=Kind.VPN)) == 0.0
    assert unusual(home, at(1, 8, offset=JAPAN, kind=Kind.VPN)) > 0.9


def test_who_lands_elsewhere_may_keep_their_hours_or_take_up_the_new_ones() -> None:
    home = user(WEEKDAYS, (3, 4, 5), 8, zone=WINTER)

    assert unusual(home, at(1, 15, offset=JAPAN)) == 0.0, "ten in the morning at home, midnight in Tokyo"
    assert unusual(home, at(1, 1, offset=JAPAN)) == 0.0, "ten in the morning in Tokyo, eight in the evening at home"
    assert unusual(home, at(1, 9.5, offset=0.0)) < unusual(home, at(1, 8, offset=WINTER)), "London is up before"


def test_the_sentence_has_its_numbers() -> None:
    home = user(WEEKDAYS, (3, 4, 5), 8, zone=WINTER)
    night = told(tell, at(1, 8, offset=WINTER), home)

    assert night["minute_of_week"].tolist() == [24 * 60 + 3 * 60], "three in the morning of a Tuesday in New York"
    assert night["logins_then"].tolist() == [0]
    assert night["logins_of"].tolist() == [120]
    assert night["idle_days"].tolist() == [-1]
    assert night["logins_near"].tolist() == [0]
    morning = told(tell, at(1, 14, offset=WINTER), home)
    assert morning["logins_then"].tolist() == [80]
    assert morning["logins_near"].tolist() == [16]


def seen_last(days: int) -> tuple[Records, Batch]:
    """Return a user who was seen so many days before a login, and the login."""
    record, item = blank(1), at(0, 12)
    record["learned"], record["last_day"] = 3, day_at(int(item["event_time"][0])) - days
    return record, item


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        pytest.param(0, 0.0, id="the_same_day"),
        pytest.param(IDLE, 0.0, id="at_the_limit"),
        pytest.param((IDLE + FULL) // 2, 0.5, id="half_way"),
        pytest.param(FULL, 1.0, id="idle_for_long"),
        pytest.param(3 * FULL, 1.0, id="and_longer"),
        pytest.param(-FULL, 0.0, id="an_event_that_comes_late_is_no_absence"),
    ],
)
def test_an_account_left_idle(days: int, expected: float) -> None:
    record, item = seen_last(days)

    assert signal(idle_account, item, record).tolist() == [expected]
    assert told(tell, item, record)["idle_days"].tolist() == [max(days, 0)]


def test_an_account_never_seen_is_not_idle_but_unknown() -> None:
    item = at(0, 12)

    assert np.isnan(signal(idle_account, item, blank(1))).all()


def test_a_crowd_is_judged_as_each_alone() -> None:
    records = np.concatenate([OFFICE, OWL, SUNDAYS, blank(1)])
    items = np.concatenate([at(day, 3 * day, offset=60.0 * day) for day in range(4)])
    together = signal(unusual_hour, items, records)
    apart = [signal(unusual_hour, items[i : i + 1], records[i : i + 1]) for i in range(4)]

    np.testing.assert_array_equal(together, np.concatenate(apart))
