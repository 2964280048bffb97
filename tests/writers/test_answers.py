"""Answers in each format, and the format that a name asks for."""

import csv
import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from riskengine.check import parse_time
from riskengine.errors import SettingsError
from riskengine.writers.answers import OUT_FORMATS, open_answers
from riskengine.writers.columns import COLUMNS, flat
from riskengine.writers.csv import defused
from tests.fixtures_geo import World
from tests.writers.decided import HOSTILE, Row, decided

# Parquet is an extra: its tests run where what it needs is installed, as the development lock has it.
_PARQUET = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
FORMATS = [pytest.param(name, marks=[_PARQUET] if name == "parquet" else []) for name in OUT_FORMATS]


@pytest.fixture(scope="module")
def rows(world: World) -> dict[str, Row]:
    return decided(world)


def written(path: Path, format_: str, rows: dict[str, Row]) -> bytes:
    with open_answers(path, format_) as write:
        for answer, event in rows.values():
            write(answer, event)
    return path.read_bytes()


@pytest.mark.parametrize("format_", FORMATS)
def test_the_same_answers_give_the_same_bytes(format_: str, rows: dict[str, Row], tmp_path: Path) -> None:
    once, again = (written(tmp_path / name, format_, rows) for name in ("once", "again"))

    assert once == again != b""


@pytest.mark.parametrize("format_", FORMATS)
def test_a_run_that_fails_leaves_nothing(format_: str, rows: dict[str, Row], tmp_path: Path) -> None:
    def run() -> None:
        with open_answers(tmp_path / "out", format_) as write:
            write(*rows["home"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()

    assert list(tmp_path.iterdir()) == []


def test_ndjson_is_the_answer_as_it_is(rows: dict[str, Row], tmp_path: Path) -> None:
    lines = written(tmp_path / "out", "ndjson", rows).splitlines()

    assert [json.loads(line) for line in lines] == [answer for answer, _ in rows.values()]


# --- CSV ----------------------------------------------------------------------------------------------------------


def table(path: Path, rows: dict[str, Row]) -> dict[str, dict[str, str]]:
    text = written(path, "csv", rows).decode()
    return dict(zip(rows, csv.DictReader(text.splitlines()), strict=True))


def test_a_csv_has_one_flat_row_an_event_and_nothing_for_what_is_unknown(rows: dict[str, Row], tmp_path: Path) -> None:
    found = table(tmp_path / "out", rows)
    away, nobody = found["away"], found["nobody"]

    assert list(away) == [column.name for column in COLUMNS]
    assert {name: away[name] for name in ("occurred_at", "decision", "country", "city", "asn", "groups")} == {
        "occurred_at": "2026-03-04T00:10:00.000Z",
        "decision": "step_up",
        "country": "JP",
        "city": "Tokyo",
        "asn": "4713",
        "groups": "staff admins",
    }
    assert away["reasons"].split()[:2] == [reason["code"] for reason in rows["away"][0]["reasons"][:2]]
    assert sum(map(float, away["points"].split())) == pytest.approx(float(away["score"]))
    assert {nobody[name] for name in ("user_id", "user_ref", "login", "latitude", "travel_km", "would_be")} == {""}


def test_a_number_below_zero_is_a_number_and_no_formula(rows: dict[str, Row], tmp_path: Path) -> None:
    assert table(tmp_path / "out", rows)["home"]["longitude"] == "-74.006"


def test_what_a_spreadsheet_would_run_is_text(rows: dict[str, Row], tmp_path: Path) -> None:
    assert table(tmp_path / "out", rows)["hostile"]["user_id"] == f"'{HOSTILE}"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_every_beginning_of_a_formula_is_defused(start: str) -> None:
    assert defused(f"{start}1") == f"'{start}1".replace("\r", "<U+000D>")


@pytest.mark.parametrize("text", ["", "ana", "a=1", " =1", "'=1"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert defused(text) == text


def test_quotes_commas_and_line_ends_stay_within_their_cell(rows: dict[str, Row], tmp_path: Path) -> None:
    answer, event = rows["home"]
    nasty = 'a "b", c\nd;\té'
    written(tmp_path / "out", "csv", {"nasty": (answer, {**event, "user_id": nasty})})

    with (tmp_path / "out").open(newline="", encoding="utf-8") as lines:
        [found] = csv.DictReader(lines)
    assert found["user_id"] == nasty


# --- Parquet ------------------------------------------------------------------------------------------------------


def test_parquet_holds_the_columns_with_their_types(rows: dict[str, Row], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    written(tmp_path / "out", "parquet", rows)
    found = parquet.read_table(tmp_path / "out")
    away = found.to_pylist()[list(rows).index("away")]

    assert found.column_names == [column.name for column in COLUMNS]
    assert [_plain(value) for value in away.values()] == flat(*rows["away"])
    assert [str(found.schema.field(name).type) for name in ("score", "line", "occurred_at", "points")] == [
        "double", "int64", "timestamp[ms, tz=UTC]", "list<element: double>",
    ]  # fmt: skip


def _plain(value: Any) -> Any:
    return parse_time(value.isoformat()) if hasattr(value, "isoformat") else value


def test_parquet_writes_a_group_of_rows_at_a_time(
    rows: dict[str, Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("riskengine.writers.parquet.GROUP_ROWS", 2)
    written(tmp_path / "out", "parquet", rows)
    found = parquet.ParquetFile(tmp_path / "out").metadata

    assert [found.row_group(at).num_rows for at in range(found.num_row_groups)] == [2, 2, 1]


def test_parquet_of_nothing_is_an_empty_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    written(tmp_path / "out", "parquet", {})

    assert parquet.read_table(tmp_path / "out").num_rows == 0


def test_without_pyarrow_parquet_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with (
        pytest.raises(SettingsError, match=r"install riskengine\[parquet\]"),
        open_answers(tmp_path / "out", "parquet"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_every_cell_is_of_its_columns_kind(rows: dict[str, Row]) -> None:
    kinds: dict[str, Callable[[Any], bool]] = {
        "text": lambda value: isinstance(value, str),
        "number": lambda value: isinstance(value, float),
        "whole number": lambda value: isinstance(value, int),
        "time": lambda value: isinstance(value, int),
        "texts": lambda value: all(isinstance(one, str) for one in value),
        "numbers": lambda value: all(isinstance(one, float) for one in value),
    }
    for row in rows.values():
        for column, value in zip(COLUMNS, flat(*row), strict=True):
            assert value is None or kinds[column.kind.value](value), (column.name, value)
