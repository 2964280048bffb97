"""A policy is read whole or refused with the key, the line and what is wrong."""

import numpy as np
import pytest

from riskengine.errors import PolicyError
from riskengine.network import KINDS, Kind
from riskengine.policy import parse
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
        pytest.param("step_up = 40.0", "step_up = 400.0", "line {step_up}: thresholds.step_up must lie", id="bounds"),
        pytest.param("step_up = 40.0", "step_up = nan", "line {step_up}: thresholds.step_up must lie", id="nan"),
        pytest.param("step_up = 40.0", "step_up = true", "line {step_up}: thresholds.step_up must be", id="type"),
        pytest.param("step_up = 40.0", "", "line {[thresholds}: thresholds.step_up is missing", id="missing"),
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
