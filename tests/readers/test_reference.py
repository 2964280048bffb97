"""The page on mappings says all that a mapping can say, and its example is right."""

import re
from pathlib import Path

import pytest

from riskengine.readers.mapping import EVENT_FIELDS, FACTOR_FIELDS, FIELD_KEYS, LOG_KEYS, SECTIONS, parse_mapping
from riskengine.readers.path import __doc__ as paths

PAGE = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text()


@pytest.mark.parametrize("word", [*SECTIONS, *LOG_KEYS, *FIELD_KEYS, *EVENT_FIELDS, *FACTOR_FIELDS])
def test_every_word_of_a_mapping_is_explained(word: str) -> None:
    assert re.search(rf"`[\[{{]*{re.escape(word)}[\]}}]*`", PAGE)


def test_the_example_is_a_mapping() -> None:
    [example] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)

    assert parse_mapping(example, "mapped").second_factor is not None


def test_paths_are_told_as_the_code_tells_them() -> None:
    rows = [line for line in (paths or "").splitlines() if line.startswith("| ")]

    assert all(row in PAGE for row in rows)
