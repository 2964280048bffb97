"""The side file of refused lines."""

import json
from dataclasses import dataclass
from pathlib import Path

from riskengine.writers.rejects import open_rejects


@dataclass(frozen=True)
class Refused:
    source: str
    line: int
    reason: str
    text: str


def test_a_refused_line_is_written_with_where_it_stood_and_why(tmp_path: Path) -> None:
    with open_rejects(tmp_path / "rejects") as rejects:
        rejects.write(Refused("a.log", 7, "/ip must be an IPv4 or IPv6 address", '{"ip":"\\xff"}'))

    (line,) = (tmp_path / "rejects").read_text().splitlines()
    assert line.startswith('{"source":"a.log","line":7,"reason":')
    assert json.loads(line)["text"] == '{"ip":"\\xff"}'


def test_a_run_that_refuses_nothing_leaves_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "rejects").write_text("of the last run")

    with open_rejects(tmp_path / "rejects"):
        pass

    assert (tmp_path / "rejects").read_bytes() == b""
