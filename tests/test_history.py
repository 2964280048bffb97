"""What logins teach, row by row of the trust table, and that a fold can be done again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.batch import Batch, Decision, Located, Role, country_code, empty
from riskengine.event import DAY_MS, OUTCOMES, REPORT_RESULTS
from riskengine.history.learn import PASS_MS, WAIT_MS, fold
from riskengine.history.record import (
    ATTRIBUTES,
    HABITS,
    RECORD,
    SCHEMA,
    Records,
    Status,
    blank,
    pack,
    place_key,
    place_of,
    unpack,
)
from riskengine.history.sparse import restored
from riskengine.history.stays import NO_TIME, neighbours
from riskengine.network import Kind
from tests.columns import look_at, take_in

START = 1_772_582_400_000
NEW_YORK, TOKYO = (40.7128, -74.006), (35.6895, 139.6917)


def login(day: float = 0, place: tuple[float, float] = NEW_YORK, **given: object) -> Batch:
    """Return one login that was allowed, of a caller who reports."""
    item = empty(1)
    item["time"] = item["event_time"] = START + round(day * DAY_MS)
    item["event"] = item["row"] = item["time"]
    item["latitude"], item["longitude"] = place
    item["located"], item["radius"], item["kind"] = Located.PLACE, 25.0, Kind.BROADBAND
    item["country"], item["asn"], item["prefix"] = country_code("US"), 701, round(place[0] * 100)
    item["device"], item["agent"], item["reports"] = 11, 21, True
    item["user"], item["decision"] = 0, Decision.ALLOW
    for name, value in given.items():
        item[name] = value
    return item


def report(event: Batch, result: str, minutes: float = 1) -> Batch:
    """Return a report on an event."""
    item = event.copy()
    item["role"], item["result"] = Role.REPORT, REPORT_RESULTS.index(result)
    item["time"] = event["event_time"] + round(minutes * 60_000)
    return item


def after(*items: Batch) -> Records:
    """Return the history that these items leave behind."""
    return fold(np.concatenate(items))


def status(record: Records, item: Batch) -> dict[str, int]:
    """Return the standing of each attribute that an item shows."""
    return dict(zip(ATTRIBUTES, look_at(record, item)["status"][0].tolist(), strict=True))


ASKED: dict[str, object] = {"decision": Decision.STEP_UP}


def test_an_allowed_login_makes_what_was_new_provisional() -> None:
    other = login(1, TOKYO, device=99, agent=98, asn=97, country=96)
    record = after(login(), other)

    assert set(status(record, login()).values()) == {Status.FOUNDING}
    assert set(status(record, other).values()) == {Status.PROVISIONAL}


def test_an_allowed_login_strengthens_what_was_trusted() -> None:
    record = after(login(mfa=1), login(1))

    assert set(status(record, login()).values()) == {Status.TRUSTED}
    assert record["device"]["count"][0, 0] == 2
    assert record["device"]["days"][0, 0] == 2


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param([login(0, TOKYO, **ASKED)], Status.NONE, id="not_yet_reported"),
        pytest.param(
            [login(0, TOKYO, **ASKED), report(login(0, TOKYO, **ASKED), "step_up_passed")], Status.TRUSTED, id="passed"
        ),
        pytest.param(
            [login(0, TOKYO, **ASKED), report(login(0, TOKYO, **ASKED), "step_up_failed")], Status.NONE, id="failed"
        ),
        pytest.param(
            [login(0, TOKYO, **ASKED), report(login(0, TOKYO, **ASKED), "step_up_abandoned")],
            Status.NONE,
            id="abandoned",
        ),
        pytest.param(
            [login(0, TOKYO, **ASKED), report(login(0, TOKYO, **ASKED), "step_up_passed", 31)],
            Status.NONE,
            id="passed_too_late",
        ),
        pytest.param(
            [login(0, TOKYO, **ASKED), report(login(0, TOKYO, **ASKED), "confirmed_safe")], Status.TRUSTED, id="safe"
        ),
        pytest.param(
            [login(0, TOKYO, **ASKED), report(login(0, TOKYO, **ASKED), "dismissed")], Status.NONE, id="dismissed"
        ),
        pytest.param([login(0, TOKYO, mfa=1)], Status.TRUSTED, id="a_second_factor_passed_with_the_login"),
        pytest.param([login(0, TOKYO, mfa=2)], Status.NONE, id="a_second_factor_failed_with_the_login"),
        pytest.param(
            [login(0, TOKYO, mfa=1, kind=Kind.VPN)], Status.PROVISIONAL, id="passed_on_a_vpn_is_provisional_at_most"
        ),
        pytest.param([login(0, TOKYO, reports=False, **ASKED)], Status.PROVISIONAL, id="a_caller_that_never_reports"),
        pytest.param([login(0, TOKYO, decision=Decision.DENY)], Status.NONE, id="denied"),
        pytest.param([login(0, TOKYO, outcome=OUTCOMES.index("failure"))], Status.NONE, id="a_wrong_password"),
        pytest.param([login(0, TOKYO, outcome=OUTCOMES.index("unknown"))], Status.NONE, id="an_unknown_outcome"),
        pytest.param([login(0, TOKYO, action=2)], Status.NONE, id="a_refreshed_token"),
        pytest.param([login(0, TOKYO, fallback=True, **ASKED)], Status.NONE, id="answered_without_the_store"),
        pytest.param(
            [
                login(0, TOKYO, fallback=True, **ASKED),
                report(login(0, TOKYO, fallback=True, **ASKED), "step_up_passed"),
            ],
            Status.TRUSTED,
            id="answered_without_the_store_but_passed",
        ),
    ],
)
def test_the_trust_table(items: list[Batch], expected: int) -> None:
    founded = login(-5, (51.5, 0.0))

    assert status(after(founded, *items), login(0, TOKYO))["prefix"] == expected


def test_a_step_up_nobody_reported_is_abandoned_by_the_next_event() -> None:
    waiting = login(0, TOKYO, **ASKED)
    soon, late = login(WAIT_MS / DAY_MS), login((WAIT_MS + 1000) / DAY_MS)

    assert after(waiting, soon)["ignored"][0] == 0
    assert after(waiting, late)["ignored"][0] == 1


def test_a_pass_still_counts_after_the_wait_while_it_is_in_time() -> None:
    waiting = login(0, TOKYO, **ASKED)
    record = after(waiting, login(20 / 1440), report(waiting, "step_up_passed", PASS_MS / 60_000))

    assert status(record, login(0, TOKYO))["place"] == Status.TRUSTED
    assert record["ignored"][0] == 0


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        pytest.param((1, 4, 8), Status.TRUSTED, id="three_days_that_span_seven"),
        pytest.param((1, 2, 3), Status.PROVISIONAL, id="three_days_that_span_two"),
        pytest.param((1, 8), Status.PROVISIONAL, id="two_days_that_span_seven"),
        pytest.param((1, 1.1, 8), Status.PROVISIONAL, id="three_logins_on_two_days"),
    ],
)
def test_provisional_ripens_beside_what_is_trusted(days: tuple[float, ...], expected: int) -> None:
    beside = [login(day, TOKYO) for day in days]  # the device is trusted, the rest of it is new

    assert status(after(login(mfa=1), *beside), login(0, TOKYO))["prefix"] == expected


def test_provisional_does_not_ripen_beside_nothing_trusted() -> None:
    strange = [login(day, TOKYO, device=99, agent=99, asn=9, country=country_code("JP")) for day in (1, 4, 8, 12)]

    assert status(after(login(mfa=1), *strange), strange[0])["prefix"] == Status.PROVISIONAL


def test_a_first_history_ripens_on_its_own() -> None:
    record = after(login(0), login(3), login(7))

    assert set(status(record, login()).values()) == {Status.TRUSTED}


def test_a_thief_beside_nothing_of_the_first_login_does_not_ripen() -> None:
    thief = [login(day, TOKYO, device=0, agent=0, asn=9, country=country_code("JP")) for day in (1, 4, 9, 12)]

    assert status(after(login(0), *thief), thief[0])["place"] == Status.PROVISIONAL


def test_a_second_factor_that_did_not_let_the_login_in_proves_nothing() -> None:
    refused = login(1, TOKYO, mfa=1, **ASKED)

    assert status(after(login(0), refused), refused)["place"] == Status.NONE


def test_a_pass_counts_also_when_later_step_ups_took_its_slot() -> None:
    asked = login(1, TOKYO, **ASKED)
    others = [login(1 + i / 10_000, (i, i), **ASKED) for i in range(1, 10)]
    record = after(login(0), asked, *others, report(asked, "step_up_passed", 2))

    assert status(record, asked)["place"] == Status.TRUSTED
    assert record["ignored"][0] == 0


def test_step_ups_that_lose_their_slot_count_as_not_given() -> None:
    others = [login(1 + i / 10_000, (i, i), **ASKED) for i in range(1, 11)]

    assert after(login(0), *others)["ignored"][0] == 2


def test_a_second_factor_with_the_login_makes_up_for_ignored_step_ups() -> None:
    asked = login(1, TOKYO, **ASKED)
    record = after(login(0), asked, report(asked, "step_up_abandoned"), login(1.01, TOKYO, mfa=1))

    assert record["ignored"][0] == 0


def test_a_vpn_passed_on_three_days_ripens() -> None:
    days = [login(day, mfa=1, kind=Kind.VPN, prefix=77, asn=78, device=0) for day in (1, 4, 9)]

    assert status(after(login(0), *days), days[0])["prefix"] == Status.TRUSTED


def test_a_failed_step_up_sets_ripening_back() -> None:
    other = login(2, (51.5, 0.0), **ASKED)
    record = after(login(0), login(1), other, report(other, "step_up_failed"), login(8))

    assert status(record, login())["prefix"] == Status.FOUNDING


def test_what_contradicts_itself_sets_ripening_back() -> None:
    elsewhere = login(2, TOKYO, contradicted=True, mfa=1)
    record = after(login(0), login(1), elsewhere, login(8))

    assert status(record, login())["prefix"] == Status.FOUNDING


def test_a_compromise_is_undone_and_puts_the_user_at_risk_until_remediated() -> None:
    bad = login(1, TOKYO, mfa=1, device=66)
    verdict = report(bad, "confirmed_compromised", 60)
    remedy = report(empty(1), "remediated")
    remedy["time"] = START + 3 * DAY_MS

    record = after(login(0), bad, verdict)
    assert status(record, bad)["device"] == Status.NONE
    assert record["at_risk"][0] == 1
    assert record["seq"][0] == 3
    assert after(login(0), bad, verdict, remedy)["at_risk"][0] == 0


def test_a_flood_of_one_attribute_does_not_push_out_another() -> None:
    flood = [login(1 + i / 100, prefix=1000 + i, device=0) for i in range(60)]
    record = after(login(mfa=1), *flood)

    assert status(record, login())["device"] == Status.TRUSTED
    assert status(record, login())["prefix"] == Status.TRUSTED, "trusted values outlive provisional ones"


def test_a_record_fits_two_to_a_page_and_comes_back_as_it_was() -> None:
    record = after(login(mfa=1), login(1, TOKYO))
    [stored] = pack(record)

    assert len(stored) + 33 <= 1950
    assert unpack([stored, None])[0] == record[0]
    assert unpack([None])[0] == blank(1)[0]


def test_what_a_record_leaves_empty_takes_no_room() -> None:
    [stored] = pack(after(login(mfa=1), login(1, TOKYO)))

    assert len(stored) < RECORD.itemsize // 4


def test_a_record_stored_whole_by_an_earlier_version_is_read() -> None:
    record = after(login(mfa=1), login(1, TOKYO))
    earlier = record.copy()
    earlier["schema"] = 2

    assert unpack([earlier.tobytes(), *pack(record)]).tobytes() == 2 * record.tobytes()


@given(st.lists(st.binary(min_size=RECORD.itemsize, max_size=RECORD.itemsize), max_size=4), st.integers(0, 1800))
def test_any_record_comes_back_and_is_never_longer_than_it_is(drawn: list[bytes], empty_bytes: int) -> None:
    records = np.frombuffer(b"".join(drawn), np.uint8).reshape(len(drawn), RECORD.itemsize).copy()
    records[:, :empty_bytes] = 0
    records[:, 0] = SCHEMA
    stored = pack(records.reshape(-1).view(RECORD))

    assert all(len(data) <= RECORD.itemsize for data in stored)
    assert unpack(stored).tobytes() == records.tobytes()


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"\x80\x00" * 60])
def test_rows_that_do_not_fit_are_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r"reshape|words|buffer"):
        restored([damaged], RECORD.itemsize)


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_a_place_key_keeps_a_hundredth_of_a_degree(latitude: float, longitude: float) -> None:
    key = place_key(latitude, longitude)
    north, east = place_of(key)

    assert 0 < key < 2**32
    assert abs(north - latitude) <= 0.0051
    assert min(abs(east - longitude), 360 - abs(east - longitude)) <= 0.0051


def test_neighbours_are_found_on_both_sides() -> None:
    record = after(login(0), login(2, TOKYO))
    earlier, before, later, after_it = neighbours(record["stays"][0], START + DAY_MS // 2)

    assert [before, after_it] == [DAY_MS // 2, DAY_MS + DAY_MS // 2]
    assert earlier != later


def test_a_time_within_a_stay_is_measured_to_the_logins_that_bound_it() -> None:
    record = after(login(0), login(0.4))
    _, before, _, after_it = neighbours(record["stays"][0], START + DAY_MS // 10)

    assert [before, after_it] == [DAY_MS // 10, round(0.3 * DAY_MS)]


def test_without_stays_there_are_no_neighbours() -> None:
    _, before, _, after_it = neighbours(blank(1)["stays"][0], START)

    assert [before, after_it] == [NO_TIME, NO_TIME]


@st.composite
def sequences(draw: st.DrawFn) -> Batch:
    """Return one user's items, late ones and reports included."""
    items: list[Batch] = []
    for _ in range(draw(st.integers(1, 25))):
        events = [item for item in items if item["role"][0] == Role.EVENT]
        reports: bool = draw(st.booleans())
        if events and reports:
            items.append(report(draw(st.sampled_from(events)), draw(st.sampled_from(REPORT_RESULTS[:-1])), 5))
        else:
            items.append(
                login(
                    draw(st.floats(0, 30)),
                    draw(st.sampled_from([NEW_YORK, TOKYO, (0.0, 0.0)])),
                    decision=draw(st.sampled_from([0, 0, 1, 2])),
                    mfa=draw(st.sampled_from([0, 0, 1, 2])),
                    device=draw(st.integers(0, 12)),
                    contradicted=draw(st.booleans()),
                )
            )
    return np.concatenate(items)


@given(sequences())
def test_learning_one_by_one_is_the_fold(items: Batch) -> None:
    kept = items[items["result"] != REPORT_RESULTS.index("confirmed_compromised")]
    record = blank(1)
    for index in range(len(kept)):
        take_in(record, kept[index : index + 1])

    assert record.dtype == RECORD
    assert record.tobytes() == fold(kept).tobytes() if len(kept) else True


@given(sequences())
def test_many_users_at_once_learn_as_each_alone(items: Batch) -> None:
    together = blank(3)
    for index in range(len(items)):
        take_in(together, np.concatenate([items[index : index + 1]] * 3))
    alone = blank(1)
    for index in range(len(items)):
        take_in(alone, items[index : index + 1])

    assert all(record == alone[0] for record in together)


def test_a_neighbour_does_not_make_a_user_look_changeable_in_an_afternoon() -> None:
    home = [login(day, mfa=1) for day in range(5)]
    strangers = [login(5 + minute / 1440, device=1000 + minute) for minute in range(20)]
    device = HABITS.index("device")

    assert after(*home, *strangers)["news"][0, device] - after(*home)["news"][0, device] == 1


def test_what_nothing_vouches_for_is_no_habit() -> None:
    home = [login(day, mfa=1, agent=21) for day in range(5)]
    alone = [login(6, TOKYO, device=77, prefix=7, asn=4713, agent=21, country=1) for _ in range(4)]
    before, then = after(*home), after(*home, *alone)

    assert [then[name][0] for name in ("learned", "days", "last_day")] == [
        before[name][0] for name in ("learned", "days", "last_day")
    ]
    assert then["agent"]["count"].max() == before["agent"]["count"].max()


def test_counts_that_fade_do_not_wrap() -> None:
    record = after(*[login(day, mfa=1) for day in range(3)])
    record["agent"]["count"][0, 0], record["shown"][:] = 65535, 255
    take_in(record, login(9))

    assert record["agent"]["count"][0, 0] > 30_000
