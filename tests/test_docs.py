"""The pages of the documentation say what the program does."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from riskengine.compare.comparison import Comparison
from riskengine.policy.policy import SIGNALS
from riskengine.settings import package_files
from riskengine.writers.answers import OUT_FORMATS
from riskengine.writers.columns import COLUMNS
from riskengine.writers.ecs import ecs_document
from riskengine.writers.ocsf import ocsf_document
from riskengine.writers.siem import ours
from tests.fixtures_geo import World
from tests.writers.decided import decided

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "signals.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, re.MULTILINE))
WEIGHTS = tomllib.loads((package_files("data") / "policy.toml").read_text())["weights"]
OUTPUTS = (DOCS / "outputs.md").read_text()
CHAPTERS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", OUTPUTS, re.MULTILINE | re.DOTALL))


def test_every_signal_has_a_row_and_nothing_else_does() -> None:
    assert sorted(ROWS) == sorted(SIGNALS)


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_weight_in_the_row_is_the_policys(signal: str) -> None:
    assert float(ROWS[signal]) == WEIGHTS[signal]


def test_every_column_has_a_row_with_its_kind_in_its_place() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([a-z ]+) \|", CHAPTERS["The columns of CSV and Parquet"], re.MULTILINE)

    assert rows == [(column.name, column.kind.value) for column in COLUMNS]


def test_every_format_has_a_row() -> None:
    head = OUTPUTS[: OUTPUTS.index("## ")]

    assert re.findall(r"^\| `(\w+)` \|", head, re.MULTILINE) == list(OUT_FORMATS)


@pytest.mark.parametrize(("chapter", "shape"), [("OCSF", ocsf_document), ("ECS", ecs_document)])
def test_every_member_of_a_document_is_named_and_nothing_else_is(chapter: str, shape: Any, world: World) -> None:
    table = "\n".join(re.findall(r"^\| (`.+?`) \|", CHAPTERS[chapter], re.MULTILINE))
    written = {path for row in decided(world).values() for path in members(shape(*row))}

    assert set(re.findall(r"`([^`]+)`", table)) == written


def members(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of a document's members; what lies under our own name counts as one."""
    if isinstance(value, dict) and not path.endswith("riskengine"):
        for name, inner in value.items():
            yield from members(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from members(inner, path)
    else:
        yield path


def test_our_own_members_are_named(world: World) -> None:
    written = {name for answer, _ in decided(world).values() for name in ours(answer)}

    assert written <= set(re.findall(r"`(\w+)`", CHAPTERS["ECS"]))


def test_every_figure_of_a_comparison_is_named() -> None:
    rows = re.findall(r"^\| (`.+?`) \|", CHAPTERS["What a comparison writes"], re.MULTILINE)

    assert sorted(re.findall(r"`(\w+)`", "\n".join(rows))) == sorted(Comparison.__slots__)
