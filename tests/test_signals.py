"""Every signal: where it fires, where it is silent, where it is unknown; and what becomes of points and rules."""

import math
from dataclasses import astuple, replace
from ipaddress import ip_address

import numpy as np
import pytest

from riskengine.assess import Assessments, assess
from riskengine.batch import Batch, Decision, Located, Names, country_code
from riskengine.decision import DECISIONS, LEVELS, rule_reasons
from riskengine.event import ACTIONS, OUTCOMES
from riskengine.history.learn import fold
from riskengine.history.record import blank
from riskengine.network import Kind, Trait, kind_by, kind_of
from riskengine.policy.parse import parse
from riskengine.policy.policy import SIGNALS, Policy
from riskengine.reason import SENTENCES, Evidence, spell
from riskengine.score import score
from riskengine.settings import package_files
from tests.doors import default_policy
from tests.test_history import ASKED, NEW_YORK, START, TOKYO, login, report

FAILURE = OUTCOMES.index("failure")
JAPAN = country_code("JP")


def judged(event: Batch, *before: Batch, policy: Policy | None = None, names: Names | None = None) -> Assessments:
    """Return the assessment of an event after a history."""
    records = fold(np.concatenate(before)) if before else blank(1)
    fresh = event.copy()
    fresh["decision"], fresh["given_radius"] = Decision.UNDECIDED, 25.0
    return assess(fresh, names or Names(), records, policy or default_policy())


def known(days: int = 3, **given: object) -> list[Batch]:
    """Return a user trusted at home on a device."""
    return [login(day, NEW_YORK, mfa=1, **given) for day in range(days)]


def away(day: float = 9, **given: object) -> Batch:
    """Return a login that is new in every way, long after the last one."""
    return login(day, TOKYO, **{"country": JAPAN, "asn": 4713, "prefix": 7, "device": 77, "agent": 78, **given})


ABANDONED = login(3, TOKYO, **ASKED)
COMPROMISED = [*known(), away(4, mfa=1), report(away(4, mfa=1), "confirmed_compromised")]
FIRES: list[tuple[str, Batch, list[Batch]]] = [
    ("impossible_travel", login(0.01, TOKYO), [login(0)]),
    ("new_country", away(), known()),
    ("new_place", away(), known()),
    ("new_place", login(9, located=Located.UNKNOWN, latitude=math.nan, longitude=math.nan), known()),
    ("new_network", away(), known()),
    ("new_device", away(), known()),
    ("new_device", login(9, device=0), known()),
    ("new_agent", login(9, device=0, agent=99), known(device=0)),
    ("new_agent", login(9, device=88, agent=99), known()),
    ("new_country", login(9, country=0, located=Located.UNKNOWN, latitude=math.nan, longitude=math.nan), known()),
    ("risky_network", login(0, kind=Kind.TOR), []),
    ("risky_network", login(0, claimed=Kind.PUBLIC_WIFI), known()),
    ("sensitive_resource", login(9, sensitivity=2, kind=Kind.PUBLIC_WIFI), known()),
    ("sensitive_resource", login(9, action=ACTIONS.index("password_reset"), device=88), known()),
    ("failed_attempts", away(user_failures=5), known()),
    ("address_attempts", login(9, device=0, address_attempts=30, address_failures=29), []),
    ("address_attempts", login(9, device=0, prefix_attempts=130, prefix_failures=129), []),
    ("password_spray", login(9, device=0, address_attempts=30, address_failures=29, address_users=12), []),
    ("ignored_step_ups", away(4), [*known(), ABANDONED, report(ABANDONED, "step_up_abandoned")]),
    ("user_at_risk", login(9), COMPROMISED),
    ("shared_address", away(claimed=Kind.PUBLIC_WIFI), known()),
    ("bad_address", away(line_attempts=40, line_failures=38, line_failed_users=20), known()),
    ("unusual_hour", login(30.5, offset=0), [login(day, offset=0) for day in range(30)]),
    ("idle_account", login(200), known()),
    ("timezone_mismatch", away(offset=540, client_offset=-300), known()),
    ("position_mismatch", away(client_latitude=0, client_longitude=0, client_accuracy=1), known()),
    ("connection_mismatch", away(listed=Kind.BROADBAND, listed_confidence=1, claimed_type=1), known()),
    ("missing_evidence", login(30), [login(day, client_offset=0) for day in range(20)]),
]
SILENT: list[tuple[str, Batch, list[Batch]]] = [
    ("impossible_travel", login(0.01), [login(0)]),
    ("impossible_travel", login(2, TOKYO), [login(0)]),
    ("new_country", login(9), known()),
    ("new_place", login(9), known()),
    ("new_network", login(9), known()),
    ("new_device", login(9), known()),
    ("new_agent", login(9, agent=99), known()),
    ("risky_network", login(9), known()),
    ("sensitive_resource", login(9, sensitivity=2), known()),
    ("sensitive_resource", login(9, sensitivity=1, kind=Kind.PUBLIC_WIFI), known()),
    ("failed_attempts", login(9, user_failures=50), known()),
    ("address_attempts", login(9, device=0, address_attempts=300, address_failures=29), []),
    ("address_attempts", login(9, address_attempts=300, address_failures=299), known()),
    ("password_spray", login(9, device=0, address_attempts=2, address_failures=2, address_users=2), []),
    ("ignored_step_ups", login(4), [*known(), ABANDONED, report(ABANDONED, "step_up_abandoned")]),
    ("ignored_step_ups", away(40), [*known(), ABANDONED, report(ABANDONED, "step_up_abandoned")]),
    ("user_at_risk", login(9), known()),
    ("shared_address", away(line_regulars=8, line_user_days=80, line_attempts=90), known()),
    ("bad_address", away(line_attempts=40, line_failures=2, line_failed_users=2), known()),
    ("unusual_hour", login(30, offset=0), [login(day, offset=0) for day in range(30)]),
    ("idle_account", login(9), known()),
    ("timezone_mismatch", away(offset=540, client_offset=540), known()),
    ("position_mismatch", away(client_latitude=TOKYO[0], client_longitude=TOKYO[1], client_accuracy=1), known()),
    ("connection_mismatch", away(listed=Kind.BROADBAND, listed_confidence=1, claimed_type=0), known()),
    ("missing_evidence", login(30, client_offset=0), [login(day, client_offset=0) for day in range(20)]),
]
UNKNOWN: list[tuple[str, Batch, list[Batch]]] = [
    ("impossible_travel", login(0), []),
    ("impossible_travel", login(0.01, TOKYO, kind=Kind.VPN), [login(0)]),
    ("impossible_travel", login(0.01, TOKYO, action=ACTIONS.index("token_refresh")), [login(0)]),
    ("new_country", login(9, country=0), known()),
    ("new_country", login(0), []),
    ("new_place", login(9, located=Located.PRIVATE, latitude=math.nan, longitude=math.nan), known()),
    ("new_place", login(0), []),
    ("new_network", login(0), []),
    ("new_device", login(0), []),
    ("new_device", login(1), [login(0)]),
    ("new_agent", login(0), []),
    ("risky_network", login(0, kind=Kind.UNKNOWN, asn=0, country=0), []),
    ("failed_attempts", login(0, user=-1, outcome=FAILURE), []),
    ("ignored_step_ups", login(0), []),
]


def _value(signal: str, event: Batch, before: list[Batch]) -> float:
    return float(judged(event, *before).signals[signal][0])


@pytest.mark.parametrize(("signal", "event", "before"), FIRES, ids=[row[0] for row in FIRES])
def test_it_fires(signal: str, event: Batch, before: list[Batch]) -> None:
    assert 0 < _value(signal, event, before) <= 1


@pytest.mark.parametrize(("signal", "event", "before"), SILENT, ids=[row[0] for row in SILENT])
def test_it_is_silent(signal: str, event: Batch, before: list[Batch]) -> None:
    assert _value(signal, event, before) == 0


@pytest.mark.parametrize(("signal", "event", "before"), UNKNOWN, ids=[row[0] for row in UNKNOWN])
def test_it_is_unknown(signal: str, event: Batch, before: list[Batch]) -> None:
    assert math.isnan(_value(signal, event, before))


def test_every_signal_is_shown_to_fire_and_to_be_silent() -> None:
    # A round trip needs edges that a policy names: tests/test_corroboration.py.
    assert {row[0] for row in FIRES} == {row[0] for row in SILENT} == set(SIGNALS) - {"rtt_mismatch"}
    assert set(SIGNALS) == set(SENTENCES)


def test_provisional_knowledge_never_excuses() -> None:
    allowed_away = away(5)
    record_of_device = judged(away(6), *known(), allowed_away).signals["new_device"][0]

    assert record_of_device > 0


def test_a_trusted_device_makes_a_new_place_count_less() -> None:
    with_device = judged(away(device=11), *known()).points["new_country"][0]
    without = judged(away(), *known()).points["new_country"][0]

    assert 0 < with_device < without


def test_a_claim_adds_risk_and_never_removes_any() -> None:
    wired = judged(login(0, kind=Kind.TOR, claimed=Kind.UNKNOWN)).signals["risky_network"][0]
    claimed = judged(login(0, kind=Kind.TOR, claimed=Kind.PUBLIC_WIFI)).signals["risky_network"][0]

    assert claimed == wired == 1


@pytest.mark.parametrize(
    ("score", "decision", "level"),
    [
        pytest.param(39.9, "allow", "medium", id="below_the_threshold"),
        pytest.param(40.0, "step_up", "medium", id="at_the_threshold"),
        pytest.param(70.0, "step_up", "high", id="high"),
        pytest.param(100.0, "step_up", "high", id="the_score_alone_never_denies"),
    ],
)
def test_decision_and_level_follow_the_score(score: float, decision: str, level: str) -> None:
    policy = default_policy()
    weights = replace(policy.weights, risky_network=score)
    [verdict] = judged(login(0, kind=Kind.TOR), policy=replace(policy, weights=weights)).verdicts

    assert (DECISIONS[verdict["decision"]], LEVELS[verdict["level"]]) == (decision, level)


@pytest.mark.parametrize(
    ("block", "address", "denied"),
    [
        pytest.param({"addresses": ("192.0.2.0/25",)}, "192.0.2.127", True, id="within_a_network"),
        pytest.param({"addresses": ("192.0.2.0/25",)}, "192.0.2.128", False, id="just_outside_it"),
        pytest.param({"addresses": ("2001:db8::/48",)}, "192.0.2.1", False, id="the_other_family"),
        pytest.param({"asns": (701,)}, "192.0.2.1", True, id="an_operator"),
        pytest.param({"countries": ("US",)}, "192.0.2.1", True, id="a_country"),
        pytest.param({"countries": ("JP",)}, "192.0.2.1", False, id="another_country"),
    ],
)
def test_the_block_list_denies(block: dict[str, tuple[str, ...]], address: str, denied: bool) -> None:
    text = (package_files("data") / "policy.toml").read_text()
    for name, value in block.items():
        entries = ", ".join(str(entry) if isinstance(entry, int) else f'"{entry}"' for entry in value)
        text = text.replace(f"{name} = []", f"{name} = [{entries}]")
    event = login(0)
    mapped = int(ip_address(f"::ffff:{address}"))
    event["address_high"], event["address_low"] = mapped >> 64, mapped & (2**64 - 1)
    policy = parse(text)
    [verdict] = judged(event, policy=policy).verdicts

    assert (DECISIONS[verdict["decision"]] == "deny") is denied
    assert [reason["code"] for reason in rule_reasons(verdict, policy)] == (["blocked"] if denied else [])


def test_a_campaign_is_denied_but_not_to_a_user_at_home() -> None:
    guessing: dict[str, object] = {"address_attempts": 130, "address_failures": 125, "address_users": 30}
    [stranger] = judged(login(0, NEW_YORK, **guessing)).verdicts
    [owner] = judged(login(9, NEW_YORK, **guessing), *known()).verdicts

    assert DECISIONS[stranger["decision"]] == "deny"
    assert [reason["code"] for reason in rule_reasons(stranger, default_policy())] == ["guessing_campaign"]
    assert DECISIONS[owner["decision"]] == "allow"


def test_observing_allows_and_says_what_it_would_have_done() -> None:
    observing = replace(default_policy(), mode="observe")
    [verdict] = judged(login(0, kind=Kind.TOR), policy=observing).verdicts

    assert (DECISIONS[verdict["decision"]], DECISIONS[verdict["would_be"]]) == ("allow", "step_up")


def test_a_stale_second_factor_does_not_satisfy_a_step_up() -> None:
    fresh = login(0, kind=Kind.TOR, mfa=1, mfa_at=START - 900_000)
    stale = login(0, kind=Kind.TOR, mfa=1, mfa_at=START - 900_001)

    assert judged(fresh).verdicts["decision"][0] == Decision.ALLOW
    assert judged(stale).verdicts["decision"][0] == Decision.STEP_UP


def test_points_add_up_to_the_score_also_beyond_a_hundred() -> None:
    weights = np.array(astuple(default_policy().weights))
    points = np.zeros((3, len(SIGNALS)), np.int64)
    whole = np.ones(len(SIGNALS))
    values = (whole, whole * 0.37, whole * math.nan)
    scores = [score(signals, weights, whole, row) for signals, row in zip(values, points, strict=True)]

    assert scores[::2] == [1000, 0]
    assert points.sum(axis=1).tolist() == scores
    assert (points >= 0).all()


@pytest.mark.parametrize(
    ("traits", "listed", "expected"),
    [
        pytest.param(0, Kind.UNKNOWN, "broadband", id="nothing_remarkable"),
        pytest.param(Trait.TOR_EXIT | Trait.ANONYMOUS_VPN, Kind.HOSTING, "tor", id="the_strongest_trait_first"),
        pytest.param(Trait.FLAG_ANONYMOUS_PROXY, Kind.MOBILE, "mobile", id="the_table_over_noisy_flags"),
        pytest.param(Trait.FLAG_ANONYMOUS_PROXY, Kind.UNKNOWN, "vpn", id="a_flag_where_the_table_is_silent"),
        pytest.param(Trait.HOSTING, Kind.BROADBAND, "hosting", id="a_database_over_the_table"),
        pytest.param(Trait.PRIVATE, Kind.UNKNOWN, "private", id="a_private_address"),
    ],
)
def test_evidence_resolves_to_one_kind(traits: int, listed: int, expected: str) -> None:
    assert kind_by(int(traits), int(listed), True) == kind_of(expected)


def test_reasons_come_strongest_first() -> None:
    points = {"new_device": 83, "impossible_travel": 576, "new_place": 0}
    reasons = spell(points, Evidence())

    assert [reason["code"] for reason in reasons] == ["impossible_travel", "new_device"]
    assert all(reason["message"] for reason in reasons)


def test_an_equator_home_is_a_place_like_any_other() -> None:
    home = [login(day, (0.0, 0.0), mfa=1) for day in range(3)]

    assert judged(login(9, (0.0, 0.0)), *home).signals["new_place"][0] == 0
    assert judged(login(9, NEW_YORK), *home).signals["new_place"][0] > 0
