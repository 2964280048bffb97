"""What others did at a network, as signals: shared by strangers, bad on earlier days, colleagues', under attack now."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from riskengine.batch import Batch
from riskengine.history.record import ATTRIBUTES, blank
from riskengine.network import Kind
from riskengine.policy.sheet import sheet_of
from riskengine.signals.attempts import address_attempts, failed_attempts, guessing_campaign, password_spray
from riskengine.signals.network import (
    PUBLIC_EVIDENCE,
    Shared,
    bad_address,
    colleague_bits,
    public_evidence,
    shared_address,
    sharing_class,
)
from tests.columns import signal as signal_of
from tests.doors import default_policy
from tests.test_history import TOKYO, after, login

POLICY = default_policy()
Given = dict[str, Any]
Signal = Callable[..., Any]

OFFICE: Given = {"line_regulars": 20, "line_user_days": 200, "line_attempts": 210}
CAFE: Given = {"line_regulars": 20, "line_user_days": 25, "line_attempts": 27}
GUESSED: Given = {"line_attempts": 42, "line_failures": 40, "line_failed_users": 40}
QUIET: Given = {"line_attempts": 4}


def value(signal: Signal, item: Batch, *before: Batch) -> float:
    """Return a signal of an item after a history."""
    records = after(*before) if before else blank(1)
    return float(signal_of(signal, item, records)[0])


def home(**given: Any) -> list[Batch]:
    """Return the history of a user who is trusted at home."""
    return [login(day, mfa=1, **given) for day in range(3)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(OFFICE, Shared.WORKPLACE, id="the_same_people_day_after_day"),
        pytest.param(CAFE, Shared.VENUE, id="many_people_each_seldom"),
        pytest.param({"line_regulars": 5, "line_user_days": 10}, Shared.WORKPLACE, id="at_both_limits"),
        pytest.param({"line_regulars": 5, "line_user_days": 9}, Shared.VENUE, id="below_the_days"),
        pytest.param({"line_regulars": 4, "line_user_days": 4}, Shared.NONE, id="below_the_users"),
        pytest.param({}, Shared.NONE, id="nobody_else"),
        pytest.param({**OFFICE, "kind": Kind.MOBILE}, Shared.CGNAT, id="a_carriers_gateway"),
        pytest.param({**CAFE, "kind": Kind.MOBILE}, Shared.CGNAT, id="a_carriers_gateway_seldom_used"),
        pytest.param({**CAFE, "kind": Kind.VPN}, Shared.NONE, id="a_vpn_is_shared_because_it_is_one"),
        pytest.param({**OFFICE, "kind": Kind.HOSTING}, Shared.WORKPLACE, id="an_egress_in_a_data_centre"),
        pytest.param({**CAFE, "kind": Kind.HOSTING}, Shared.NONE, id="a_rented_server_is_no_cafe"),
        pytest.param({"kind": Kind.CORPORATE_PROXY}, Shared.WORKPLACE, id="a_company_gateway_by_evidence"),
    ],
)
def test_what_shares_an_address(given: Given, expected: Shared) -> None:
    assert value(sharing_class, login(**given)) == expected


@pytest.mark.parametrize(
    ("given", "expected", "evidence"),
    [
        pytest.param(CAFE, 1.0, "learned", id="a_venue"),
        pytest.param({"line_regulars": 5, "line_user_days": 5}, 0.5, "learned", id="a_venue_of_few"),
        pytest.param({"kind": Kind.PUBLIC_WIFI}, 1.0, "listed", id="a_database_says_so"),
        pytest.param(
            {"kind": Kind.PUBLIC_WIFI, "listed": Kind.PUBLIC_WIFI, "listed_confidence": 0.4}, 0.4, "listed", id="a_hint"
        ),
        pytest.param({"kind": Kind.INFLIGHT}, 1.0, "listed", id="a_cabin"),
        pytest.param({"claimed": Kind.PUBLIC_WIFI}, 1.0, "client", id="the_client_says_so"),
        pytest.param({**OFFICE, "claimed": Kind.PUBLIC_WIFI}, 1.0, "client", id="an_offices_guest_wifi"),
        pytest.param(OFFICE, 0.0, "", id="a_workplace"),
        pytest.param({**OFFICE, "kind": Kind.PUBLIC_WIFI}, 0.0, "", id="an_office_of_a_hotspot_operator"),
        pytest.param({**CAFE, "kind": Kind.MOBILE}, 0.0, "", id="a_carriers_gateway"),
        pytest.param(QUIET, 0.0, "", id="a_household"),
        pytest.param({}, np.nan, "", id="nobody_else_was_ever_there"),
    ],
)
def test_strangers_share_the_address(given: Given, expected: float, evidence: str) -> None:
    item = login(**given)

    assert value(shared_address, item) == pytest.approx(expected, nan_ok=True, abs=1e-6)
    assert PUBLIC_EVIDENCE[int(value(public_evidence, item))] == evidence


@pytest.mark.parametrize(
    ("given", "before", "expected"),
    [
        pytest.param(GUESSED, [], 1.0, id="forty_users_in_vain"),
        pytest.param({**GUESSED, "line_failed_users": 5}, [], 0.5, id="half_as_many_as_alarm"),
        pytest.param({"line_attempts": 10, "line_failures": 8, "line_failed_users": 8}, [], 0.8, id="at_the_share"),
        pytest.param({"line_attempts": 10, "line_failures": 7, "line_failed_users": 7}, [], 0.0, id="below_the_share"),
        pytest.param({"line_attempts": 2, "line_failures": 2, "line_failed_users": 2}, [], 0.0, id="a_household"),
        pytest.param({**OFFICE, "line_failures": 60, "line_failed_users": 20}, [], 0.0, id="an_office_mistypes"),
        pytest.param(GUESSED, home(), 0.0, id="the_owner_at_home"),
        pytest.param({}, [], np.nan, id="nobody_else_was_ever_there"),
    ],
)
def test_the_address_was_bad_on_earlier_days(given: Given, before: list[Batch], expected: float) -> None:
    assert value(bad_address, login(9, **given), *before) == pytest.approx(expected, nan_ok=True)


COLLEAGUES: Given = {
    **{f"{name}_regulars": 10 for name in ("prefix", "network", "place", "country")},
    "prefix_user_days": 50,
}
FULL = {
    "prefix": POLICY.sharing.prefix_bits,
    "network": POLICY.sharing.network_bits,
    "place": POLICY.sharing.place_bits,
    "country": POLICY.sharing.country_bits,
}
NONE = dict.fromkeys(FULL, 0.0)


def bits_of(item: Batch) -> dict[str, float]:
    """Return what colleagues are worth to an item, by attribute."""
    bits = np.full(len(ATTRIBUTES), np.nan)
    colleague_bits(item[0], sheet_of(POLICY)[0], bits)
    return {name: float(bits[ATTRIBUTES.index(name)]) for name in FULL}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(COLLEAGUES, FULL, id="ten_colleagues"),
        pytest.param({**COLLEAGUES, "country_regulars": 300}, FULL, id="more_say_no_more"),
        pytest.param({**COLLEAGUES, "prefix_user_days": 19}, {**FULL, "prefix": 0.0}, id="who_do_not_come_again"),
        pytest.param({**COLLEAGUES, **CAFE}, {**FULL, "prefix": 0.0}, id="in_a_cafe"),
        pytest.param({**COLLEAGUES, "kind": Kind.MOBILE}, {**FULL, "prefix": 0.0}, id="behind_a_carrier"),
        pytest.param({**COLLEAGUES, "kind": Kind.PUBLIC_WIFI}, NONE, id="on_public_wifi"),
        pytest.param({**COLLEAGUES, "claimed": Kind.PUBLIC_WIFI}, NONE, id="on_open_wifi_as_the_client_admits"),
        pytest.param({**COLLEAGUES, "kind": Kind.VPN}, NONE, id="behind_a_vpn"),
        pytest.param({**COLLEAGUES, "kind": Kind.HOSTING}, NONE, id="in_a_data_centre"),
        pytest.param({**COLLEAGUES, "kind": Kind.TOR}, NONE, id="behind_tor"),
        pytest.param({**COLLEAGUES, "kind": Kind.PRIVATE}, NONE, id="at_an_address_that_anybody_can_claim"),
        pytest.param({**COLLEAGUES, **GUESSED}, NONE, id="where_others_were_tried_in_vain"),
        pytest.param({**COLLEAGUES, "country_regulars": 2}, {**FULL, "country": 0.0}, id="two_say_nothing"),
        pytest.param({}, NONE, id="nobody"),
    ],
)
def test_colleagues_speak_for_a_login(given: Given, expected: dict[str, float]) -> None:
    assert bits_of(login(**given)) == expected


def test_the_more_colleagues_the_more_they_say() -> None:
    bits = [bits_of(login(country_regulars=count))["country"] for count in range(13)]

    assert bits[:3] == [0.0, 0.0, 0.0]
    assert 0 < bits[3] < bits[5] < bits[10] == bits[12] == POLICY.sharing.country_bits


LIMITS = POLICY.attempts
FEW: Given = {"address_attempts": 10, "address_failures": 10}
STUFFED: Given = {"address_attempts": 30, "address_failures": 29, "address_users": 15}


@pytest.mark.parametrize(
    ("signal", "given", "expected"),
    [
        pytest.param(failed_attempts, {"user_failures": LIMITS.mistypes}, 0.0, id="a_user_mistypes"),
        pytest.param(failed_attempts, {"user_failures": LIMITS.mistypes + 4}, 0.5, id="a_user_is_being_guessed"),
        pytest.param(failed_attempts, {"user_failures": 10_000}, 1.0, id="a_burst_before_this_login"),
        pytest.param(failed_attempts, {"user": -1, "user_failures": 50}, np.nan, id="no_account"),
        pytest.param(address_attempts, {"address_attempts": 15, "address_failures": 15}, 0.5, id="an_address_fails"),
        pytest.param(address_attempts, {"prefix_attempts": 120, "prefix_failures": 120}, 1.0, id="a_prefix_fails"),
        pytest.param(address_attempts, {**FEW, "address_users": 2}, 0.0, id="two_users_fail"),
        pytest.param(address_attempts, {**FEW, "address_users": 3}, 1 / 3, id="three_users_fail"),
        pytest.param(address_attempts, {"address_attempts": 50, "address_failures": 30}, 0.0, id="most_get_in"),
        pytest.param(password_spray, STUFFED, 1.0, id="many_users_at_an_address"),
        pytest.param(password_spray, {**STUFFED, "address_users": 2}, 0.0, id="a_household"),
        pytest.param(password_spray, {**STUFFED, "address_attempts": 60}, 0.0, id="an_office_mistypes"),
        pytest.param(
            password_spray,
            {"prefix_attempts": 45, "prefix_failures": 45, "prefix_users": 45},
            1.0,
            id="one_try_from_each_of_many_addresses",
        ),
        pytest.param(password_spray, {}, 0.0, id="nobody_tried"),
    ],
)
def test_somebody_is_guessing(signal: Signal, given: Given, expected: float) -> None:
    assert value(signal, login(9, TOKYO, **given)) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("signal", [failed_attempts, address_attempts, password_spray])
def test_failures_elsewhere_do_not_touch_a_user_at_home(signal: Signal) -> None:
    under_attack = login(9, user_failures=10_000, **STUFFED)

    assert value(signal, under_attack, *home()) == 0.0
    assert value(signal, login(9, device=99, user_failures=10_000, **STUFFED), *home()) > 0.0


def test_a_campaign_needs_many_users() -> None:
    campaign: Given = {"address_attempts": 110, "address_failures": 105, "address_users": 21}

    assert signal_of(guessing_campaign, login(**campaign), blank(1)).tolist() == [True]
    assert signal_of(guessing_campaign, login(**{**campaign, "address_users": 19}), blank(1)).tolist() == [False]
    assert signal_of(guessing_campaign, login(**{**campaign, "address_attempts": 120}), blank(1)).tolist() == [False]
