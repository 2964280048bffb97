"""What is learned of a user's hours, of the clock they live by and of what their client tells."""

from datetime import UTC, datetime
from math import nan
from typing import Any

import numpy as np
import pytest

from riskengine.batch import Batch
from riskengine.event import DAY_MS, NETWORK_TYPES
from riskengine.history.habits import CLAIMS_MOST, HOURS_MOST, ROUGH_KM, bin_of, own_offset, take, told
from riskengine.history.record import CLAIMS, FLAT, Records, blank
from riskengine.network import Kind
from tests.columns import signal
from tests.test_history import TOKYO, after, login

WINTER, JAPAN = -300.0, 540.0  # minutes east of UTC in New York and Tokyo
MONDAY = datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1000


def at(day: int, hour: float, **given: Any) -> Batch:
    """Return a login so many days and hours (UTC) after a Monday's midnight, in New York unless given otherwise."""
    item = login(**{"offset": WINTER, **given})
    item["time"] = item["event_time"] = round(MONDAY + day * DAY_MS + hour * 3_600_000)
    return item


def habits(*items: Batch) -> Records:
    """Return the record of one user after these logins, each vouched for."""
    record = blank(1)
    for item in items:
        take(record.view(FLAT)[0], item[0])
    return record


def clock(record: Records) -> float:
    """Return the clock that a user lives by."""
    return own_offset(record.view(FLAT)[0])


@pytest.mark.parametrize(
    ("moment", "offset", "expected"),
    [
        pytest.param(datetime(2026, 3, 2, 0, 0, tzinfo=UTC), 0.0, 0, id="the_week_begins_on_monday"),
        pytest.param(datetime(2026, 3, 1, 23, 59, tzinfo=UTC), 0.0, 55, id="and_ends_on_sunday"),
        pytest.param(datetime(2026, 3, 1, 23, 59, tzinfo=UTC), 60.0, 0, id="further_east_it_has_begun"),
        pytest.param(datetime(2026, 3, 2, 4, 59, tzinfo=UTC), -300.0, 55, id="further_west_it_has_not"),
        pytest.param(datetime(2026, 3, 4, 14, 0, tzinfo=UTC), -330.0, 18, id="half_an_hour_is_an_offset_too"),
        pytest.param(datetime(1969, 12, 29, 0, 0, tzinfo=UTC), 0.0, 0, id="a_monday_before_1970"),
    ],
)
def test_three_hours_of_the_week(moment: datetime, offset: float, expected: int) -> None:
    assert bin_of(round(moment.timestamp() * 1000), offset) == expected


def test_a_login_is_counted_by_the_clock_of_its_place_when_no_other_is_known() -> None:
    record = habits(at(0, 14))  # nine in the morning in New York

    assert np.flatnonzero(record["hours"][0]).tolist() == [3]
    assert record["zone"][0] == WINTER


def test_a_journey_does_not_make_day_of_night_at_once() -> None:
    record = habits(at(0, 14), at(7, 14, offset=JAPAN), at(14, 14, offset=JAPAN))

    assert record["hours"][0, 3] == 2, "the first login abroad is still told by the clock of home"
    assert record["hours"][0, 7] == 1, "the second by that of Tokyo, eleven at night"
    assert clock(record) == JAPAN


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"offset": JAPAN}, JAPAN, id="where_the_address_is"),
        pytest.param({"offset": WINTER, "client_offset": JAPAN}, JAPAN, id="the_clock_of_a_client_that_is_vouched_for"),
        pytest.param({"offset": nan, "client_offset": JAPAN}, JAPAN, id="the_clock_alone"),
        pytest.param({"offset": JAPAN, "kind": Kind.VPN}, nan, id="a_tunnel_says_nothing"),
        pytest.param({"offset": JAPAN, "kind": Kind.INFLIGHT}, nan, id="nor_does_a_cabin"),
        pytest.param({"offset": JAPAN, "kind": Kind.SATELLITE}, nan, id="nor_a_ground_station"),
        pytest.param({"offset": JAPAN, "radius": ROUGH_KM}, JAPAN, id="a_place_just_known_well_enough"),
        pytest.param({"offset": JAPAN, "radius": ROUGH_KM + 1}, nan, id="a_place_known_too_roughly"),
        pytest.param({"offset": nan}, nan, id="nothing_known"),
        pytest.param({"offset": 0.0}, 0.0, id="greenwich_is_a_zone"),
    ],
)
def test_whose_clock_a_user_lives_by(given: dict[str, object], expected: float) -> None:
    record = habits(at(0, 14, **given))

    np.testing.assert_equal(clock(record), expected)


def test_an_hour_no_clock_tells_is_not_counted() -> None:
    assert habits(at(0, 14, offset=nan), at(1, 14, kind=Kind.VPN))["hours"].sum() == 0


def test_what_is_not_known_leaves_the_clock_as_it_was() -> None:
    record = habits(at(0, 14), at(1, 14, offset=JAPAN, kind=Kind.VPN))

    assert clock(record) == WINTER
    assert record["hours"][0, [3, 11]].tolist() == [1, 1], "a login through a tunnel is told by the user's own clock"


def test_only_what_is_vouched_for_is_learned() -> None:
    first = at(0, 14, client_offset=WINTER)
    stranger = at(0, 2, place=TOKYO, client_offset=JAPAN, device=99, agent=98, asn=97, prefix=96, country=95)
    vouched, then = after(first), after(first, stranger)

    assert (vouched["hours"].sum(), then["hours"].sum()) == (1, 1)
    assert (vouched["claims_of"].tolist(), then["claims_of"].tolist()) == ([1], [1])
    for name in ("hours", "zone", "claims", "claims_of"):
        assert then[name].tobytes() == vouched[name].tobytes(), name


def test_users_taken_together_are_as_taken_one_by_one() -> None:
    items = np.concatenate([at(day, 3 * day, offset=60.0 * day, rtt=1.0 * day) for day in range(8)])
    together, apart = blank(8), blank(8)
    for _ in range(50):
        for row in range(8):
            take(together.view(FLAT)[row], items[row])
    for row in range(8):
        for _ in range(50):
            take(apart[row : row + 1].view(FLAT)[0], items[row])

    assert together.tobytes() == apart.tobytes()


def test_hours_given_up_fade() -> None:
    mornings, evenings = [at(day, 14) for day in range(300)], [at(day, 26) for day in range(300, 600)]
    record = habits(*mornings, *evenings)
    hours = record["hours"].astype(int).reshape(7, 8).sum(axis=0)

    assert 20 < hours.sum() < HOURS_MOST
    assert hours[7] > 3 * hours[3] > 0


def test_what_a_client_tells_is_counted() -> None:
    all_told = at(0, 14, client_offset=0.0, client_latitude=0.0, rtt=0.0, claimed_type=NETWORK_TYPES.index("wifi"))
    record = habits(all_told, at(1, 14, rtt=12.0), at(2, 14))

    assert dict(zip(CLAIMS, record["claims"][0].tolist(), strict=True)) == {
        "client_offset": 1,
        "client_latitude": 1,
        "rtt": 2,
        "claimed_type": 1,
    }
    assert record["claims_of"].tolist() == [3]
    assert signal(told, np.concatenate([all_told, at(0, 14)]), blank(2)).tolist() == [0b1111, 0]


def test_counts_of_what_a_client_tells_fade_and_keep_their_share() -> None:
    record = habits(*[at(day, 14, client_offset=0.0, **({"rtt": 9.0} if day % 2 else {})) for day in range(1000)])

    assert CLAIMS_MOST / 2 <= record["claims_of"][0] < CLAIMS_MOST
    assert record["claims"][0, 0] == record["claims_of"][0]
    assert record["claims"][0, 2] / record["claims_of"][0] == pytest.approx(0.5, abs=0.02)
    assert record["hours"].sum() < HOURS_MOST
