"""From score and rules to a decision: what asks, what waives, what demands whatever was waived, what denies."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import numpy as np
import pytest

from riskengine.assess import VERDICT
from riskengine.batch import Batch, Located, Names, country_code
from riskengine.compiled import compiled
from riskengine.decision import CASE, DECISIONS, LEVELS, decide, maturity, rule_reasons, step_up_terms
from riskengine.event import ACTIONS, SENSITIVITIES
from riskengine.history.record import FLAT, Records, Wait, blank, day_at
from riskengine.network import Kind
from riskengine.policy.parse import parse
from riskengine.policy.policy import SIGNALS, Policy, Thresholds
from riskengine.policy.rule import MATURITY, MOST
from riskengine.policy.source import sources
from riskengine.policy.terms import Terms, stated, terms
from riskengine.settings import package_files
from tests.columns import look_at, signal
from tests.doors import default_policy
from tests.test_history import NEW_YORK, START, login

TEXT = (package_files("data") / "policy.toml").read_text()
HOUR_MS = 3_600_000
HIGH = SENSITIVITIES.index("high")
HERE = ip_network("192.0.2.0/24")
NOTHING = replace(default_policy(), thresholds=Thresholds(40, 20, 70), cold_start=None, quiet=None, fatigue=None)
NO_MFA_METHOD = "urn:riskengine:acr:mfa"


def with_rules(text: str, **more: object) -> Policy:
    """Return a policy without anything but these rules, written as TOML."""
    return replace(NOTHING, rules=parse(f"{TEXT}\n{text}").rules, **more)  # type: ignore[arg-type]


def rule(when: str, verdict: str = 'at_least = "step_up"', name: str = "one") -> str:
    return f'[[rules]]\nname = "{name}"\nwhy = "Because."\n{verdict}\nwhen = {{ {when} }}\n'


def history(**given: object) -> Records:
    """Return the record of somebody known for long, seen yesterday."""
    record = blank(1)
    record["learned"], record["days"] = 50, 30
    record["last_day"] = day_at(START) - 1
    for name, value in given.items():
        record[name] = value
    return record


def passed(hours_ago: float = 1, **given: object) -> Records:
    """Return the record of somebody who passed a step-up on the usual device and prefix."""
    record = history()
    usual = login()
    slot = record["passes"][0, 0:1]
    slot["passed_at"], slot["passed_for"] = START - round(hours_ago * HOUR_MS), 1
    slot["passed_prefix"], slot["passed_device"] = usual["prefix"], usual["device"]
    for name, value in given.items():
        slot[name] = value
    return record


def pestered(*minutes_ago: float, origin: int | None = None, state: Wait = Wait.FAILED) -> Records:
    """Return the record of somebody who was asked so many minutes ago and never passed."""
    record = history()
    for at, minutes in enumerate(minutes_ago):
        slot = record["pending"][0, at : at + 1]
        slot["time"], slot["state"] = START - round(minutes * 60_000), state
        slot["origin"] = login()["prefix"] if origin is None else origin
    return record


def from_address(address: str, **given: object) -> Batch:
    """Return a login from an address."""
    value = int(ip_address(address))
    mapped = value | 0xFFFF << 32 if "." in address else value
    return login(0, NEW_YORK, address_high=mapped >> 64, address_low=mapped & (2**64 - 1), **given)


def case_of(score: float, sensitivity: int, contradicted: bool) -> np.ndarray:
    """Return one CASE row; the score in points."""
    case = np.zeros(1, CASE)
    case["score"], case["sensitivity"], case["contradicted"] = round(score * 10), sensitivity, contradicted
    return case


def all_decided(
    policy: Policy, items: Batch, records: Records, signals: np.ndarray, cases: np.ndarray, names: Names
) -> np.ndarray:
    """Return the verdicts on logins, one a row; signals are in order of SIGNALS."""
    found, said = np.zeros(len(items), VERDICT), stated(policy, items, names)
    seen, by = look_at(records, items), terms(policy, names)
    _decide_all(items, records.view(FLAT), seen, signals, cases.copy(), said, by, found)
    return found


@compiled
def _decide_all(
    items: Batch,
    records: Records,
    seen: np.ndarray,
    signals: np.ndarray,
    cases: np.ndarray,
    said: np.ndarray,
    by: Terms,
    found: np.ndarray,
) -> None:
    for at in range(len(items)):
        decide(items[at], records[at], seen[at], signals[at], cases[at], said[at], by, found[at])


def decided(
    policy: Policy,
    item: Batch | None = None,
    record: Records | None = None,
    *,
    score: float = 60,
    sensitivity: int = 1,
    names: Names | None = None,
    contradicted: bool = False,
    **signals: float,
) -> np.void:
    """Return the verdict on one login; signals not given are unknown."""
    items, records = login() if item is None else item, history() if record is None else record
    values = np.array([[signals.get(name, np.nan) for name in SIGNALS]])
    case = case_of(score, sensitivity, contradicted)
    return all_decided(policy, items, records, values, case, names or Names())[0]


def told(verdict: np.void, policy: Policy) -> tuple[str, list[str]]:
    """Return the decision and the codes of what brought it about."""
    return DECISIONS[verdict["decision"]], [reason["code"] for reason in rule_reasons(verdict, policy)]


# --- the score ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "decision", "level"),
    [(39.9, "allow", "medium"), (40.0, "step_up", "medium"), (70.0, "step_up", "high"), (19.9, "allow", "low")],
)
def test_the_score_asks_from_the_threshold_on_and_never_denies(score: float, decision: str, level: str) -> None:
    verdict = decided(NOTHING, score=score)

    assert (DECISIONS[verdict["decision"]], LEVELS[verdict["level"]], verdict["rules"]) == (decision, level, 0)


def test_a_second_factor_satisfies_a_step_up_unless_it_failed_or_the_user_is_at_risk() -> None:
    assert told(decided(NOTHING, login(mfa=1)), NOTHING) == ("allow", [])
    assert told(decided(NOTHING, login(mfa=2), score=0), NOTHING) == ("step_up", ["second_factor_failed"])
    assert told(decided(NOTHING, login(mfa=1), history(at_risk=1), score=0), NOTHING) == ("step_up", [])


def test_observing_answers_allow_and_keeps_what_would_have_been() -> None:
    verdict = decided(replace(NOTHING, mode="observe"))

    assert (DECISIONS[verdict["decision"]], DECISIONS[verdict["would_be"]]) == ("allow", "step_up")


# --- groups -------------------------------------------------------------------------------------------------------

GROUPS = """
[groups.admins]
step_up = 25.0
weights = { new_device = 60.0 }
[groups.finance]
step_up = 30.0
weights = { new_device = 55.0, unusual_hour = 90.0 }
[groups.guests]
step_up = 70.0
"""


@pytest.mark.parametrize(
    ("groups", "limit"),
    [
        pytest.param((), 40, id="none"),
        pytest.param(("staff",), 40, id="without_an_own_threshold"),
        pytest.param(("admins",), 25, id="stricter"),
        pytest.param(("admins", "finance"), 25, id="the_lowest_of_several"),
        pytest.param(("guests",), 70, id="more_lenient"),
        pytest.param(("guests", "staff"), 70, id="a_group_without_one_says_nothing"),
    ],
)
def test_a_group_has_a_threshold_of_its_own(groups: tuple[str, ...], limit: int) -> None:
    policy = replace(NOTHING, groups=parse(TEXT + GROUPS).groups)
    names = Names(groups={("others",): 0, groups: 1}) if groups else Names(groups={("admins",): 0})
    item = login(groups=1 if groups else -1)

    assert decided(policy, item, names=names)["limit"] == limit * 10
    assert told(decided(policy, item, names=names, score=limit - 0.1), policy)[0] == "allow"
    assert told(decided(policy, item, names=names, score=limit), policy)[0] == "step_up"


def test_of_several_groups_the_highest_weight_counts_and_elsewhere_the_policy_s() -> None:
    policy = parse(TEXT + GROUPS)
    names = Names(groups={("admins", "finance"): 0, ("guests",): 1})

    items = np.concatenate([login(groups=0), login(groups=1), login(groups=-1)])
    rows = terms(policy, names).weights[stated(policy, items, names)["group"]]
    weights = dict(zip(SIGNALS, rows.T.tolist(), strict=True))

    usual = policy.weights
    assert weights["new_device"] == [60, usual.new_device, usual.new_device]
    assert weights["unusual_hour"] == [90, usual.unusual_hour, usual.unusual_hour]
    assert weights["new_agent"] == [usual.new_agent] * 3


# --- trusted networks ---------------------------------------------------------------------------------------------

OFFICE = replace(NOTHING, trust=sources([HERE], [64500], [country_code("PT")]))


@pytest.mark.parametrize(
    ("item", "decision"),
    [
        pytest.param(from_address("192.0.2.9"), "allow", id="address"),
        pytest.param(from_address("192.0.3.1"), "step_up", id="next_address"),
        pytest.param(login(asn=64500), "allow", id="operator"),
        pytest.param(login(country=country_code("PT")), "allow", id="country"),
        pytest.param(login(country=0, asn=0), "step_up", id="unknown"),
    ],
)
def test_a_trusted_network_waives_what_the_score_alone_asks(item: Batch, decision: str) -> None:
    verdict = decided(OFFICE, item)

    assert told(verdict, OFFICE) == (decision, ["trusted_network"] if decision == "allow" else [])


@pytest.mark.parametrize(
    "louder",
    [
        pytest.param({"contradicted": True}, id="travel"),
        pytest.param({"failed_attempts": 0.1}, id="failures_on_the_user"),
        pytest.param({"password_spray": 0.1}, id="spraying"),
        pytest.param({"ignored_step_ups": 1.0}, id="ignored_step_ups"),
        pytest.param({"sensitivity": HIGH}, id="something_sensitive"),
        pytest.param({"record": history(at_risk=1)}, id="user_at_risk"),
    ],
)
def test_trust_does_not_outweigh(louder: dict[str, object]) -> None:
    assert told(decided(OFFICE, from_address("192.0.2.9"), **louder), OFFICE)[0] == "step_up"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cidr", "decision"),
    [
        pytest.param("10.0.0.0/8", "allow", id="by_name"),
        pytest.param("0.0.0.0/0", "step_up", id="not_by_the_whole_internet"),
        pytest.param("8.0.0.0/5", "step_up", id="not_by_a_wider_network"),
    ],
)
def test_a_private_address_is_trusted_by_a_private_cidr_only(cidr: str, decision: str) -> None:
    policy = replace(NOTHING, trust=sources([ip_network(cidr)], [], []))
    spoofed = from_address("10.1.2.3", located=Located.PRIVATE, country=0, asn=0)

    assert told(decided(policy, spoofed), policy)[0] == decision


def test_the_block_list_wins_over_trust_and_over_every_waiver() -> None:
    waiver = parse(TEXT + rule("asns = [701]", 'at_most = "allow"')).rules
    policy = replace(OFFICE, block=sources([HERE], [], []), rules=waiver)

    assert told(decided(policy, from_address("192.0.2.9", mfa=1), score=0), policy)[0] == "deny"


# --- rules --------------------------------------------------------------------------------------------------------

NAMES = Names(resources={"finance/payroll": 0, "wiki": 1}, groups={("admins", "staff"): 0, ("staff",): 1})
CONDITIONS = [
    # what the rule says, a login it holds for, one it does not, one of which it is unknown
    ('groups = ["admins", "owners"]', {"groups": 0}, {"groups": 1}, {"groups": -1}),
    ('resources = ["finance/*", "hr"]', {"resource": 0}, {"resource": 1}, {"resource": -1}),
    ('countries = ["PT", "us"]', {}, {"country": country_code("JP")}, {"country": 0}),
    ('not_countries = ["PT"]', {}, {"country": country_code("PT")}, {"country": 0}),
    ("asns = [701, 702, 0]", {}, {"asn": 703}, {"asn": 0}),
    ('networks = ["tor", "vpn"]', {"kind": Kind.TOR}, {}, {"kind": Kind.UNKNOWN}),
    ('actions = ["password_reset"]', {"action": ACTIONS.index("password_reset")}, {}, {}),
]


@pytest.mark.parametrize(("when", "holds", "fails", "unknown"), CONDITIONS, ids=[one[0] for one in CONDITIONS])
def test_a_condition_holds_or_fails_and_unknown_fulfils_none(
    when: str, holds: dict[str, object], fails: dict[str, object], unknown: dict[str, object]
) -> None:
    policy = with_rules(rule(when))

    for given, decision in ((holds, "step_up"), (fails, "allow"), (unknown or fails, "allow")):
        assert told(decided(policy, login(0, NEW_YORK, **given), names=NAMES, score=0), policy)[0] == decision


def test_conditions_on_what_is_not_in_the_item() -> None:
    for when, holds, fails in (
        ('sensitivity = ["high"]', {"sensitivity": HIGH}, {"sensitivity": 1}),
        ('maturity = ["none", "learning"]', {"record": blank(1)}, {"record": history()}),
        ("signals = { new_device = 0.5 }", {"new_device": 0.5}, {"new_device": 0.49}),
        ("signals = { new_device = 0.0 }", {"new_device": 0.0}, {}),  # unknown is not even 0
        ("score = 20", {"score": 20}, {"score": 19.9}),
        ("score_below = 20", {"score": 19.9}, {"score": 20}),
        ('addresses = ["192.0.2.0/25"]', {"item": from_address("192.0.2.1")}, {"item": from_address("192.0.2.200")}),
        ('addresses = ["2001:db8::/32"]', {"item": from_address("2001:db8::1")}, {"item": from_address("1.2.3.4")}),
    ):
        policy = with_rules(rule(when))
        assert told(decided(policy, **{"score": 0, **holds}), policy)[0] == "step_up", when  # type: ignore[arg-type]
        assert told(decided(policy, **{"score": 0, **fails}), policy)[0] == "allow", when  # type: ignore[arg-type]


def test_all_conditions_of_a_rule_must_hold() -> None:
    policy = with_rules(rule('asns = [701], countries = ["PT"]'))

    assert told(decided(policy, score=0), policy)[0] == "allow"
    assert told(decided(policy, login(country=country_code("PT")), score=0), policy)[0] == "step_up"


def test_what_the_client_claims_of_its_network_may_demand_and_never_waive() -> None:
    claims = login(claimed=Kind.PUBLIC_WIFI)
    demand = with_rules(rule('networks = ["public_wifi"]'))
    waiver = with_rules(rule('networks = ["public_wifi"]', 'at_most = "allow"'))

    assert told(decided(demand, claims, score=0), demand)[0] == "step_up"
    assert told(decided(waiver, claims), waiver)[0] == "step_up"


def test_a_spoofed_private_address_waives_nothing_that_was_not_said_of_it() -> None:
    policy = with_rules(rule('addresses = ["0.0.0.0/0"]', 'at_most = "allow"'))

    assert told(decided(policy, from_address("10.1.2.3", located=Located.PRIVATE)), policy)[0] == "step_up"
    assert told(decided(policy, from_address("192.0.2.9")), policy)[0] == "allow"


@pytest.mark.parametrize(
    ("more", "decision", "codes"),
    [
        pytest.param({}, "allow", ["rule.one"], id="the_score"),
        pytest.param({"record": history(at_risk=1)}, "step_up", ["rule.one"], id="not_a_user_at_risk"),
        pytest.param({"item": login(mfa=2)}, "step_up", ["second_factor_failed", "rule.one"], id="not_a_wrong_factor"),
        pytest.param({"score": 0}, "allow", [], id="nothing_where_nothing_was_asked"),
        pytest.param({"item": login(mfa=1)}, "allow", [], id="nothing_where_it_was_proved"),
    ],
)
def test_at_most_waives_what_the_score_asks_and_nothing_else(
    more: dict[str, object], decision: str, codes: list[str]
) -> None:
    policy = with_rules(rule("asns = [701]", 'at_most = "allow"'))

    assert told(decided(policy, **more), policy) == (decision, codes)  # type: ignore[arg-type]


def test_a_demand_wins_over_a_waiver_whatever_their_order() -> None:
    waiver, demand = rule("asns = [701]", 'at_most = "allow"', "waiver"), rule("asns = [701]", name="demand")

    for text in (waiver + demand, demand + waiver):
        policy = with_rules(text)
        decision, codes = told(decided(policy), policy)
        assert (decision, set(codes)) == ("step_up", {"rule.waiver", "rule.demand"})


def test_a_second_factor_satisfies_a_demand_but_not_a_denial() -> None:
    demand, denial = with_rules(rule("asns = [701]")), with_rules(rule("asns = [701]", 'at_least = "deny"'))

    assert told(decided(demand, login(mfa=1)), demand) == ("allow", [])
    assert told(decided(demand, login(mfa=1), history(at_risk=1)), demand) == ("step_up", ["rule.one"])
    assert told(decided(denial, login(mfa=1)), denial) == ("deny", ["rule.one"])


def test_a_rule_about_a_resource_is_recognised_in_its_reason() -> None:
    policy = with_rules(rule('resources = ["wiki"]') + rule("asns = [701]", name="two"))
    verdict = decided(policy, login(resource=1), names=NAMES)

    assert rule_reasons(verdict, policy) == [
        {"code": "rule.one", "message": "Because.", "points": 0.0, "evidence": {"resource": True}},
        {"code": "rule.two", "message": "Because.", "points": 0.0, "evidence": {"resource": False}},
    ]


def test_the_last_of_as_many_rules_as_there_may_be_is_told() -> None:
    policy = with_rules("".join(rule("asns = [701]", name=f"r{number}") for number in range(MOST)))

    assert told(decided(policy), policy)[1] == [f"rule.r{number}" for number in range(MOST)]


# --- cold start ---------------------------------------------------------------------------------------------------

COLD = replace(NOTHING, cold_start=default_policy().cold_start)


def idle(days: int) -> Records:
    return history(last_day=day_at(START) - days)


@pytest.mark.parametrize(
    ("record", "stage"),
    [
        pytest.param(blank(1), "none", id="first"),
        pytest.param(history(learned=1, days=1), "learning", id="second"),
        pytest.param(history(learned=9), "learning", id="few_logins"),
        pytest.param(history(days=6), "learning", id="few_days"),
        pytest.param(history(learned=10, days=7), "ripe", id="ripe"),
        pytest.param(idle(179), "ripe", id="almost_idle"),
        pytest.param(idle(180), "idle", id="idle"),
        pytest.param(idle(-3), "ripe", id="late_events_are_not_idle"),
    ],
)
def test_maturity(record: Records, stage: str) -> None:
    assert MATURITY[signal(maturity, login(), record, COLD)[0]] == stage


@pytest.mark.parametrize(
    ("record", "kind", "sensitivity", "decision"),
    [
        pytest.param(blank(1), Kind.BROADBAND, 0, "allow", id="a_first_login"),
        pytest.param(blank(1), Kind.BROADBAND, 1, "allow", id="a_first_login_at_something_normal"),
        pytest.param(blank(1), Kind.BROADBAND, 2, "step_up", id="a_first_login_at_something_sensitive"),
        pytest.param(blank(1), Kind.PUBLIC_WIFI, 1, "allow", id="a_first_login_on_a_public_wifi"),
        pytest.param(history(learned=3), Kind.BROADBAND, 2, "allow", id="an_unripe_history"),
        pytest.param(history(learned=3), Kind.PUBLIC_WIFI, 2, "step_up", id="an_unripe_history_on_a_public_wifi"),
        pytest.param(history(), Kind.TOR, 2, "allow", id="a_ripe_history_is_left_to_the_score"),
        pytest.param(idle(200), Kind.BROADBAND, 0, "allow", id="a_dormant_account"),
        pytest.param(idle(200), Kind.BROADBAND, 1, "step_up", id="a_dormant_account_at_something_normal"),
        pytest.param(idle(200), Kind.VPN, 0, "step_up", id="a_dormant_account_over_a_vpn"),
    ],
)
def test_cold_start_asks_by_maturity_network_and_sensitivity(
    record: Records, kind: Kind, sensitivity: int, decision: str
) -> None:
    verdict = decided(COLD, login(kind=kind), record, score=0, sensitivity=sensitivity)

    assert told(verdict, COLD) == (decision, ["cold_start"] if decision == "step_up" else [])


def test_a_second_factor_satisfies_cold_start_and_a_rule_can_waive_it() -> None:
    waiving = replace(COLD, rules=parse(TEXT + rule("asns = [701]", 'at_most = "allow"')).rules)

    assert told(decided(COLD, login(mfa=1), idle(200), score=0), COLD) == ("allow", [])
    assert told(decided(waiving, login(), idle(200), score=0), waiving) == ("allow", ["rule.one"])


def test_cold_start_may_ask_for_what_is_normal_and_not_for_what_is_sensitive() -> None:
    odd = TEXT.replace('first = { low = "allow", normal = "allow", high = "step_up" }',
                       'first = { low = "allow", normal = "step_up", high = "allow" }')  # fmt: skip
    policy = replace(NOTHING, cold_start=parse(odd).cold_start)

    found = [told(decided(policy, login(), blank(1), score=0, sensitivity=at), policy)[0] for at in range(3)]

    assert found == ["allow", "step_up", "allow"]


def test_cold_start_says_whether_only_the_resource_asked() -> None:
    for sensitivity, record, resource, sentence in (
        (2, blank(1), True, "Nothing is known of this user yet"),
        (2, idle(200), False, "The account was not used for 180 days or longer"),
    ):
        [reason] = rule_reasons(decided(COLD, login(), record, score=0, sensitivity=sensitivity), COLD)
        assert (reason["evidence"]["resource"], reason["message"]) == (resource, sentence)


def test_a_trusted_network_is_not_an_exposed_one() -> None:
    policy = replace(COLD, trust=sources([], [64500], []))

    assert told(decided(policy, login(kind=Kind.HOSTING, asn=64500), idle(200), score=0, sensitivity=0), policy) == (
        "allow",
        [],
    )


# --- quiet --------------------------------------------------------------------------------------------------------

QUIET = replace(NOTHING, quiet=default_policy().quiet)


@pytest.mark.parametrize(
    ("more", "decision"),
    [
        pytest.param({"record": passed(1)}, "allow", id="an_hour_ago"),
        pytest.param({"record": passed(12)}, "allow", id="at_the_end"),
        pytest.param({"record": passed(12.01)}, "step_up", id="too_long_ago"),
        pytest.param({"record": passed(-0.1)}, "step_up", id="passed_after_this_login"),
        pytest.param({"record": passed(1, passed_prefix=9)}, "step_up", id="another_prefix"),
        pytest.param({"record": passed(1, passed_device=9)}, "step_up", id="another_device"),
        pytest.param({"record": passed(1), "sensitivity": 2}, "step_up", id="for_something_less_sensitive"),
        pytest.param({"record": passed(1, passed_for=2), "sensitivity": 2}, "allow", id="for_something_as_sensitive"),
        pytest.param({"record": passed(1, passed_for=255)}, "step_up", id="for_nobody_knows_what"),
        pytest.param({"record": passed(1), "contradicted": True}, "step_up", id="an_impossible_journey"),
        pytest.param({"record": history()}, "step_up", id="never_passed"),
        pytest.param(
            {"record": passed(1, passed_device=0), "item": login(device=0)}, "step_up", id="without_a_device_id"
        ),
        pytest.param({"record": passed(1, passed_prefix=0), "item": login(prefix=0)}, "step_up", id="without_a_prefix"),
    ],
)
def test_the_score_alone_does_not_ask_again_what_was_just_passed(more: dict[str, object], decision: str) -> None:
    verdict = decided(QUIET, **more)  # type: ignore[arg-type]

    assert told(verdict, QUIET) == (decision, ["quiet"] if decision == "allow" else [])


def test_quiet_answers_a_cold_start_too() -> None:
    policy = replace(QUIET, cold_start=default_policy().cold_start)
    record, item = passed(1, passed_for=HIGH), login(kind=Kind.PUBLIC_WIFI)
    record["learned"] = 2

    assert told(decided(policy, item, record, score=0, sensitivity=HIGH), policy) == ("allow", ["quiet"])
    assert told(decided(policy, item, history(learned=2), score=0, sensitivity=HIGH), policy)[1] == ["cold_start"]


def test_quiet_does_not_silence_a_rule_or_a_user_at_risk() -> None:
    ruled = replace(QUIET, rules=parse(TEXT + rule("asns = [701]")).rules)
    risky = passed(1)
    risky["at_risk"] = 1

    assert told(decided(ruled, record=passed(1)), ruled) == ("step_up", ["quiet", "rule.one"])
    assert told(decided(QUIET, record=risky), QUIET)[0] == "step_up"


# --- step-up fatigue ----------------------------------------------------------------------------------------------

TIRED = replace(NOTHING, fatigue=default_policy().fatigue)
assert TIRED.fatigue is not None
COOLING = replace(TIRED, fatigue=replace(TIRED.fatigue, then="cool_down"))
PHISHING_RESISTANT = TIRED.fatigue.acr_values


@pytest.mark.parametrize(
    ("record", "asked"),
    [
        pytest.param(pestered(5, 10, 15), PHISHING_RESISTANT, id="three_in_a_row"),
        pytest.param(pestered(5, 10, 15, state=Wait.WAITING), PHISHING_RESISTANT, id="that_still_wait"),
        pytest.param(pestered(*range(1, 9)), PHISHING_RESISTANT, id="as_many_as_are_remembered"),
        pytest.param(pestered(5, 10), NO_MFA_METHOD, id="two_are_a_mistake"),
        pytest.param(pestered(5, 10, 15, origin=9), NO_MFA_METHOD, id="asked_at_another_source"),
        pytest.param(pestered(5, 10, 24 * 60 + 1), NO_MFA_METHOD, id="one_too_long_ago"),
        pytest.param(pestered(5, 10, -1), NO_MFA_METHOD, id="one_of_the_future"),
    ],
)
def test_many_step_ups_that_nobody_passes_ask_for_what_cannot_be_phished(record: Records, asked: str) -> None:
    verdict = decided(TIRED, record=record)

    worn = asked == PHISHING_RESISTANT
    assert told(verdict, TIRED) == ("step_up", ["step_up_fatigue"] if worn else [])
    assert step_up_terms(verdict, TIRED)["acr_values"] == asked


def test_a_source_without_a_prefix_is_no_source() -> None:
    assert told(decided(TIRED, login(prefix=0), pestered(1, 2, 3, origin=0)), TIRED) == ("step_up", [])


def test_a_source_that_has_to_cool_down_is_denied_and_the_user_elsewhere_is_not() -> None:
    run = pestered(5, 10, 15)

    assert told(decided(COOLING, record=run), COOLING) == ("deny", ["step_up_fatigue"])
    assert told(decided(COOLING, login(prefix=9), run), COOLING) == ("step_up", [])
    assert told(decided(COOLING, login(prefix=9), run, score=0), COOLING) == ("allow", [])


def test_a_source_has_cooled_down_after_its_time_and_then_still_asks_for_more() -> None:
    run = pestered(61, 70, 80)
    verdict = decided(COOLING, record=run)

    assert told(verdict, COOLING) == ("step_up", ["step_up_fatigue"])
    assert step_up_terms(verdict, COOLING)["acr_values"] == PHISHING_RESISTANT


def test_what_nothing_asks_of_a_user_is_let_in_beside_a_run_of_step_ups() -> None:
    assert told(decided(COOLING, record=pestered(1, 2, 3), score=0), COOLING) == ("allow", [])


# --- all of it ----------------------------------------------------------------------------------------------------


def test_rows_decided_together_are_decided_as_they_are_alone() -> None:
    policy = replace(
        default_policy(),
        trust=sources([HERE], [64500], []),
        rules=parse(
            TEXT + rule('groups = ["admins"], signals = { new_device = 0.5 }') + rule("score = 90", name="two")
        ).rules,
        groups=parse(TEXT + GROUPS).groups,
    )
    draw = np.random.default_rng(7)
    count = 400
    items = np.concatenate([from_address(f"192.0.{draw.integers(2, 4)}.1") for _ in range(count)])
    for name, most in (("mfa", 3), ("groups", 2), ("device", 3), ("prefix", 3), ("kind", 14), ("claimed", 6)):
        items[name] = draw.integers(0, most, count)
    pool = [blank(1), history(), idle(200), passed(1, passed_device=1, passed_prefix=1), pestered(1, 2, 3, origin=1)]
    records = np.concatenate([pool[at] for at in draw.integers(0, len(pool), count)])
    signals = np.where(draw.random((count, len(SIGNALS))) < 0.3, draw.random((count, len(SIGNALS))), np.nan)
    cases = np.concatenate(
        [
            case_of(draw.integers(0, 1001) / 10, int(draw.integers(0, 3)), bool(draw.random() < 0.1))
            for _ in range(count)
        ]
    )

    together = all_decided(policy, items, records, signals, cases, NAMES)

    assert len(np.unique(together["rules"])) > 10
    for at in range(count):
        one = slice(at, at + 1)
        alone = all_decided(policy, items[one], records[one], signals[one], cases[one], NAMES)
        assert alone.tobytes() == together[one].tobytes()
