"""Every vendor's format: what must come out of an invented log, field by field; as data in `formats/*.yaml`."""

import gzip
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from backports import zstd
from click.testing import CliRunner

from riskengine.cli.replay import replay
from riskengine.readers.formats import FORMATS, MAPPED, built_in
from riskengine.readers.read import read
from tests.readers.told import told

FOLDER = Path(__file__).parent / "formats"


def cases() -> Iterator[Any]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for case in yaml.safe_load(path.read_text()):
            yield pytest.param(path.stem, case, id=f"{path.stem}-{case['case']}")


@pytest.mark.parametrize(("format", "case"), list(cases()))
def test_a_log_is_told_and_gives_what_it_must(tmp_path: Path, format: str, case: dict[str, Any]) -> None:
    path = tmp_path / "log"
    path.write_text(case["log"])

    log = read([str(path)], year=2026)
    found = told(log)

    assert log.sources[0].format == format
    assert found["want"] == case["want"]
    assert found["rejected"] == case.get("rejected", [])
    assert found["passed_over"] == case.get("passed_over", {})


@pytest.mark.parametrize(("format", "case"), list(cases()))
@pytest.mark.parametrize(
    "repack",
    [
        pytest.param(lambda text: gzip.compress(text.encode()), id="gzip"),
        pytest.param(lambda text: zstd.compress(text.encode()), id="zstd"),
        pytest.param(lambda text: text.encode("utf-16"), id="utf16"),
        pytest.param(lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(), id="windows"),
    ],
)
def test_how_it_is_packed_changes_nothing(tmp_path: Path, format: str, case: dict[str, Any], repack: Any) -> None:
    path = tmp_path / "log"
    path.write_bytes(repack(case["log"]))

    assert told(read([str(path)], year=2026))["want"] == case["want"]


def test_every_format_has_a_fixture_and_a_line_of_help() -> None:
    fixtures = {path.stem for path in FOLDER.glob("*.yaml")}
    help_text = CliRunner().invoke(replay, ["--help"]).output

    assert fixtures == {*MAPPED, "sshd"}
    for name, what in FORMATS.items():
        assert f"{name:14} {what}"[:70] in help_text


@pytest.mark.parametrize("name", MAPPED)
def test_every_mapping_says_how_it_is_detected(name: str) -> None:
    assert built_in(name).detect
    assert built_in(name).name == name


def test_no_mapping_lies_about_that_no_format_uses() -> None:
    folder = Path(__file__).parents[2] / "riskengine" / "readers" / "mappings"

    assert {path.stem for path in folder.glob("*.toml")} == set(MAPPED)
    for path in folder.glob("*.toml"):
        assert path.read_text().startswith("# ")
        tomllib.loads(path.read_text())
