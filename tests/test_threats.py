"""The page on threats names a test for all it says, and each of them exists."""

import re
from pathlib import Path

import pytest

from riskengine.settings import Settings

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "threats.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| (?!threat |-)", line)]


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_what_is_said_to_be_defended_names_a_test(row: list[str]) -> None:
    assert re.search(r"`tests/[\w/]+\.py::test_\w+`", row[-1])


def test_the_settings_that_are_named_exist() -> None:
    named = re.findall(r"`RISKENGINE_(\w+)", PAGE) + re.findall(r"`_(\w+)`", PAGE)

    assert len(named) > 8
    assert {name.lower() for name in named} <= Settings.model_fields.keys()
