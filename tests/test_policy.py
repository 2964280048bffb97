"""A policy is read whole or refused with the key, the line and what is wrong."""

import re
from ipaddress import IPv4Address, ip_network

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.batch import empty
from riskengine.errors import PolicyError
from riskengine.event import SENSITIVITIES
from riskengine.locate.address import number
from riskengine.network import KINDS, Kind
from riskengine.policy.odd import oddities
from riskengine.policy.parse import parse
from riskengine.policy.source import Ranges
from riskengine.settings import package_files

TEXT = (package_files("data") / "policy.toml").read_text()


def line_of(start: str) -> int:
    """Return the number of the line of the shipped policy that begins so."""
    return 1 + next(number for number, line in enumerate(TEXT.splitlines()) if line.startswith(start))


def test_the_shipped_policy_is_whole() -> None:
    policy = parse(TEXT)

    assert (policy.name, policy.mode) == ("default", "enforce")
    assert policy.networks.risk[Kind.TOR] == 1.0
    assert all(len(column) == len(KINDS) for column in (policy.networks.risk, policy.networks.radius_km))
    assert np.all(policy.networks.radius_km >= policy.networks.floor_km)
    assert policy.fallback.decision != "deny"


def test_the_version_is_that_of_the_content() -> None:
    assert parse(TEXT).version == parse(TEXT, "elsewhere.toml").version != parse(TEXT + "\n").version


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param("\nstep_up = ", "\nstep_up = 400#", "line {step_up}: thresholds.step_up must lie", id="bounds"),
        pytest.param("\nstep_up = ", "\nstep_up = nan  # ", "line {step_up}: thresholds.step_up must lie", id="nan"),
        pytest.param("\nstep_up = ", "\nstep_up = true  # ", "line {step_up}: thresholds.step_up must be", id="type"),
        pytest.param("\nstep_up = ", "\n# step_up = ", "line {[thresholds}: thresholds.step_up is missing", id="gone"),
        pytest.param("medium = 20.0", "medium = 90.0", "line {medium}: thresholds.medium must not", id="order"),
        pytest.param("new_place =", "new_plaice =", "line {new_place}: weights.new_plaice is not known", id="unknown"),
        pytest.param("half = 0.5", "half = 0", "line {half}: familiarity.half must lie between more than 0", id="zero"),
        pytest.param("[block] ", "[blok] ", "line {[block]}: blok is not known", id="unknown_table"),
        pytest.param('mode = "enforce"', 'mode = "dream"', "line {mode}: mode must be one of", id="choice"),
        pytest.param('payroll = "high"', 'payroll = "huge"', "line {payroll}: resources.payroll must be", id="level"),
        pytest.param("enrol_factor =", "fly =", "line {enrol_factor}: actions.fly is not known", id="action"),
        pytest.param("addresses = []", 'addresses = ["1.2.3"]', "line {addresses}: block.addresses holds", id="cidr"),
        pytest.param("asns = []", 'asns = ["AS1"]', "line {asns}: block.asns must be a list of numbers", id="asn"),
        pytest.param("countries = []", 'countries = ["USA"]', "line {countries}: block.countries holds", id="country"),
        pytest.param('decision = "step_up"', 'decision = "deny"', "fallback.decision must be allow", id="fallback"),
        pytest.param("[networks.tor]", "[networks.onion]", "networks.onion is not known", id="network_kind"),
        pytest.param("[networks.tor]\nrisk = 1.0", "[networks.tor]\nrisk = 2", "networks.tor.risk must lie", id="risk"),
        pytest.param("[weights]", "[weights", "policy.toml: is not TOML", id="no_toml"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(old: str, new: str, told: str) -> None:
    assert old in TEXT
    start = told.partition("{")[2].partition("}")[0]
    told = told.replace(f"{{{start}}}", str(line_of(start))) if start else told

    with pytest.raises(PolicyError) as refused:
        parse(TEXT.replace(old, new, 1), "policy.toml")

    assert "policy.toml" in str(refused.value)
    assert told in str(refused.value)


# --- what a policy may leave out ----------------------------------------------------------------------------------


def without(*tables: str) -> str:
    """Return the shipped policy without some of its tables."""
    kept, leaving = [], False
    for line in TEXT.splitlines():
        if line.startswith("["):
            leaving = line.strip("[").split("]")[0].split(".")[0] in tables
        kept += [] if leaving else [line]
    return "\n".join(kept)


def test_trust_rules_groups_cold_start_quiet_and_fatigue_may_be_absent_and_are_then_none() -> None:
    policy = parse(without("trust", "cold_start", "quiet", "fatigue"))

    assert (policy.cold_start, policy.quiet, policy.fatigue) == (None, None, None)
    assert (policy.rules, policy.groups, len(policy.trust.ranges.first)) == ((), {}, 0)
    with pytest.raises(PolicyError, match="block is missing"):
        parse(without("block"))


RULE = '[[rules]]\nname = "one"\nat_least = "deny"\nwhen = { asns = [1] }\n'


@pytest.mark.parametrize(
    ("more", "line", "told"),
    [
        pytest.param('[[rules]]\nname = "A b"', 2, "rules.1.when is missing", id="no_when"),
        pytest.param('[[rules]]\nname = "A b"\nwhen = {}', 3, "rules.1.name must be up to 40", id="name"),
        pytest.param('[[rules]]\nname = "a"\nat_most = "allow"\nwhen = {}', 5, "must state a condition", id="empty"),
        pytest.param('[[rules]]\nname = "a"\nwhen = {}', 2, "rules.1 must say either", id="no_verdict"),
        pytest.param(f'{RULE}at_most = "allow"', 2, "rules.1 must say either", id="two_verdicts"),
        pytest.param(RULE.replace("deny", "allow"), 4, "rules.1.at_least must be one of step_up, deny", id="verdict"),
        pytest.param(RULE + RULE, 7, "rules.2.name is that of an earlier rule", id="same_name"),
        pytest.param(RULE.replace("asns", "asn"), 5, "rules.1.when.asn is not known", id="unknown_condition"),
        pytest.param(RULE.replace("asns = [1]", 'networks = ["wifi"]'), 5, "networks holds 'wifi'; known", id="kind"),
        pytest.param(RULE.replace("asns = [1]", 'addresses = ["1.2.3.4/8"]'), 5, "which is not a CIDR", id="host_bits"),
        pytest.param(RULE.replace("asns = [1]", 'countries = ["P1"]'), 5, "which is not a two-letter", id="country"),
        pytest.param(RULE.replace("asns = [1]", "signals = { new = 1 }"), 5, "signals.new is not known", id="signal"),
        pytest.param(
            RULE.replace("asns = [1]", "signals = { new_device = 1.1 }"), 5, "must lie between 0 and 1", id="value"
        ),
        pytest.param(RULE.replace("asns = [1]", "score = 101"), 5, "must lie between 0 and 100", id="score"),
        pytest.param(RULE.replace("asns = [1]", "asns = 1"), 5, "asns must be a list of numbers", id="no_list"),
        pytest.param("[rules]\nname = 1", 2, "rules must be tables", id="no_array"),
        pytest.param("\n".join(RULE.replace("one", f"r{n}") for n in range(51)), None, "at most 50", id="too_many"),
        pytest.param("[groups.admins]\nstep_up = 101", 3, "groups.admins.step_up must lie", id="group_threshold"),
        pytest.param("[groups.admins]\nweights = { new = 1 }", 3, "weights.new is not known", id="group_weight"),
        pytest.param('[groups."a b".weights]\nnew_device = -1', 3, "groups.a b.weights.new_device must", id="quoted"),
        pytest.param("[groups.admins]\nstep = 1", 3, "groups.admins.step is not known", id="group_key"),
    ],
)
def test_what_is_wrong_with_rules_and_groups_is_named_with_its_line(more: str, line: int | None, told: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse(f"{TEXT}\n{more}", "policy.toml")

    assert told in str(refused.value)
    if line is not None:
        assert f"line {line + len(TEXT.splitlines())}:" in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param("hours = 12.0", "hours = 0", "quiet.hours must lie between more than 0", id="quiet"),
        pytest.param(
            "\nstep_ups = 3", "\nstep_ups = 9", "fatigue.step_ups must lie between more than 0 and 8", id="many"
        ),
        pytest.param('then = "phishing_resistant"', 'then = "deny"', "fatigue.then must be one of", id="then"),
        pytest.param("idle_days = 180\nfirst", "first", "cold_start.idle_days is missing", id="cold_days"),
        pytest.param('first = { low = "allow", ', "first = { ", "cold_start.first.low is missing", id="cold_part"),
        pytest.param('idle = { low = "step_up"', 'idle = { low = "deny"', "exposed.idle.low must be one", id="deny"),
        pytest.param("[cold_start.exposed]", "[cold_start.open]", "cold_start.open is not known", id="cold_table"),
    ],
)
def test_what_is_wrong_with_the_tables_that_may_be_absent_is_named(old: str, new: str, told: str) -> None:
    assert old in TEXT

    with pytest.raises(PolicyError, match=re.escape(told)):
        parse(TEXT.replace(old, new, 1), "policy.toml")


# --- resources ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "sensitivity"),
    [
        pytest.param("hr/wiki", "low", id="by_name"),
        pytest.param("hr/files/ana", "high", id="by_pattern"),
        pytest.param("hr/files/menu", "normal", id="by_the_longest_pattern"),
        pytest.param("a-b", "high", id="of_patterns_as_long_by_the_most_sensitive"),
        pytest.param("HR/files/ana", "normal", id="case_counts"),
        pytest.param("payroll", "normal", id="anything_else"),
        pytest.param(None, "normal", id="nothing"),
    ],
)
def test_a_resource_is_as_sensitive_as_the_most_specific_entry_says(resource: str | None, sensitivity: str) -> None:
    entries = '"hr/wiki" = "low"\n"hr/*" = "high"\n"hr/files/m*" = "normal"\n"a-?" = "low"\n"?-b" = "high"\n'
    policy = parse(TEXT.replace('payroll = "high"\nadmin = "high"\n', entries))

    assert SENSITIVITIES[policy.sensitivity_of(resource)] == sensitivity


# --- sources ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cidrs", "inside", "outside"),
    [
        pytest.param(["192.0.2.0/25"], ["192.0.2.0", "192.0.2.127"], ["192.0.1.255", "192.0.2.128"], id="v4"),
        pytest.param(["2001:db8::/48"], ["2001:db8::", "2001:db8:0:ffff::1"], ["2001:db8:1::", "192.0.2.1"], id="v6"),
        pytest.param(["::/0"], ["::", "2001:db8::1", "ffff::1"], ["0.0.0.1", "255.255.255.255"], id="all_v6_is_no_v4"),
        pytest.param(["0.0.0.0/0"], ["0.0.0.1", "255.255.255.255"], ["::1", "2001:db8::1"], id="all_v4_is_no_v6"),
        pytest.param(["::ffff:192.0.2.0/120"], ["192.0.2.7"], ["192.0.3.7"], id="v4_spelled_as_v6"),
        pytest.param(["10.0.0.0/8", "10.1.0.0/16", "9.0.0.0/8"], ["10.200.0.1", "9.1.1.1"], ["11.0.0.0"], id="nested"),
        pytest.param(["200.0.0.0/8", "1.0.0.0/8", "128.0.0.0/8"], ["1.2.3.4", "128.0.0.1"], ["2.0.0.1"], id="unsorted"),
        pytest.param([], [], ["192.0.2.1", "::"], id="none"),
    ],
)
def test_a_cidr_holds_both_its_ends_and_nothing_beside(cidrs: list[str], inside: list[str], outside: list[str]) -> None:
    ranges = Ranges.of([ip_network(cidr) for cidr in cidrs])
    items = empty(len(inside) + len(outside))
    for at, text in enumerate([*inside, *outside]):
        value = number(text) or 0
        items["address_high"][at], items["address_low"][at] = value >> 64, value & (2**64 - 1)

    assert ranges.hold(items).tolist() == [True] * len(inside) + [False] * len(outside)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=6), st.integers(0, 2**32 - 1))
def test_any_networks_hold_what_any_of_them_holds(given_networks: list[tuple[int, int]], address: int) -> None:
    networks = [ip_network((value, bits), strict=False) for value, bits in given_networks]
    items = empty(1)
    items["address_low"] = address | 0xFFFF << 32

    assert Ranges.of(networks).hold(items)[0] == any(IPv4Address(address) in network for network in networks)


# --- what is odd --------------------------------------------------------------------------------------------------


def test_the_shipped_policy_is_not_odd() -> None:
    assert oddities(parse(TEXT)) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param("new_device = ", "new_device = 0  # ", "weights.new_device is 0", id="weight"),
        pytest.param("\nstep_up = ", "\nstep_up = 0  # ", "thresholds.step_up is 0", id="threshold"),
        pytest.param("high = 70.0", "high = 30", "thresholds.high is below", id="level"),
        pytest.param('mode = "enforce"', 'mode = "observe"', "mode is observe", id="mode"),
        pytest.param('decision = "step_up"', 'decision = "allow"', "fallback.decision is allow", id="fallback"),
        pytest.param("hours = 12.0", "hours = 200.0", "quiet.hours is more", id="quiet"),
        pytest.param("[trust]", "[trust]\naddresses = ['0.0.0.0/0']\n#", "the whole internet", id="trusts_everybody"),
        pytest.param("[trust]", "[trust]\naddresses = ['10.0.0.0/8']\n#", "names private networks", id="private"),
        pytest.param("[block]", "[block]\naddresses = ['0.0.0.0/1', '128.0.0.0/1']\n#", "is denied", id="all"),
        pytest.param(
            "[quiet]", "[groups.a]\nstep_up = 50\nweights = {new_device = 1}\n[quiet]", "groups.a.step_up", id="lenient"
        ),
        pytest.param(
            "[quiet]",
            '[[rules]]\nname = "a"\nat_most = "step_up"\nwhen = {asns = [1]}\n[quiet]',
            "rules: a does nothing",
            id="at_most_step_up",
        ),
        pytest.param(
            "[quiet]",
            '[[rules]]\nname = "a"\nat_least = "deny"\nwhen = {countries = ["pt"], not_countries = ["PT"]}\n[quiet]',
            "rules: a never holds",
            id="no_country_left",
        ),
        pytest.param(
            "[quiet]",
            '[[rules]]\nname = "a"\nat_least = "deny"\nwhen = {score = 50, score_below = 50}\n[quiet]',
            "rules: a never holds",
            id="no_score_left",
        ),
        pytest.param(
            "[quiet]",
            '[[rules]]\nname = "a"\nat_most = "allow"\nwhen = {score_below = 40, signals = {new_device = 0}}\n[quiet]',
            "rules: a waives what is not asked",
            id="nothing_to_waive",
        ),
    ],
)
def test_what_is_legal_and_hardly_meant_is_told(old: str, new: str, told: str) -> None:
    text = TEXT.replace(old, new, 1)
    if "\n#" in new:  # the table states its addresses anew
        head, _, tail = text.partition(new)
        text = head + new + tail.replace("addresses = []", "#", 1)

    assert any(told in sentence for sentence in oddities(parse(text)))


def test_trust_and_block_of_one_source_are_odd() -> None:
    both = TEXT.replace("asns = []", "asns = [64500]")

    assert "trust and block name the same source: it is blocked" in oddities(parse(both))


def test_idle_without_cold_start_is_odd() -> None:
    rule = '[[rules]]\nname = "a"\nat_least = "step_up"\nwhen = { maturity = ["idle"] }\n'

    assert any("maturity idle" in sentence for sentence in oddities(parse(f"{without('cold_start')}\n{rule}")))
