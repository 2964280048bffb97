"""The page on the signals says what the policy says."""

import re
import tomllib
from pathlib import Path

import pytest

from riskengine.policy.policy import SIGNALS
from riskengine.settings import package_files

PAGE = (Path(__file__).parent.parent / "docs" / "signals.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, re.MULTILINE))
WEIGHTS = tomllib.loads((package_files("data") / "policy.toml").read_text())["weights"]


def test_every_signal_has_a_row_and_nothing_else_does() -> None:
    assert sorted(ROWS) == sorted(SIGNALS)


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_weight_in_the_row_is_the_policys(signal: str) -> None:
    assert float(ROWS[signal]) == WEIGHTS[signal]
