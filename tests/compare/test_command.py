"""`riskengine replay --compare` and the formats of its answers, from the command line."""

import csv
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from riskengine.cli import main
from riskengine.compare.comparison import Comparison
from riskengine.settings import package_files
from tests.fixtures_geo import World
from tests.replay.logs import made_up
from tests.writers.standards import ECS, OCSF, faults

HOME, AWAY = "192.0.2.10", "198.51.100.10"
SHIPPED = (package_files("data") / "policy.toml").read_text()
Run = Callable[..., int]


def line(minute: int, ip: str, user: str = "ana", **given: Any) -> str:
    time = f"2026-03-04T{minute // 60:02d}:{minute % 60:02d}:00Z"
    return json.dumps({"user_id": user, "ip": ip, "occurred_at": time, "event_id": f"{user}{minute}", **given})


def told(minute: int, of: str, result: str) -> str:
    return json.dumps({"type": "report", "event_id": of, "result": result, "at": f"2026-03-04T00:{minute:02d}:00Z"})


# Two minutes after she was at home somebody is far away as ana; ben only ever comes from one place.
LOG = [
    line(0, HOME),
    line(2, AWAY, groups=["staff"]),
    told(3, "ana2", "step_up_passed"),
    line(9, AWAY, groups=["staff"]),
    line(10, HOME, "ben"),
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World) -> Run:
    """Run `riskengine replay` in a folder with a log and two policies, one that asks for nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RISKENGINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RISKENGINE_GEOIP_CITY", str(world.city))
    monkeypatch.setenv("RISKENGINE_GEOIP_ASN", str(world.asn))
    (tmp_path / "log").write_text("\n".join(LOG) + "\n")
    (tmp_path / "old.toml").write_text(SHIPPED)
    (tmp_path / "lax.toml").write_text(re.sub(r"^step_up = 40\.0", "step_up = 100.0", SHIPPED, flags=re.MULTILINE))

    def run(*options: str) -> int:
        monkeypatch.setattr(sys, "argv", ["riskengine", "replay", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return run


COMPARE = ("log", "--policy", "lax.toml", "--compare", "old.toml")


def test_a_log_and_two_policies_become_tables(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*COMPARE) == 0
    out, err = capsys.readouterr()

    assert "1 of 4 decisions change (25.00 %): 0 to a stricter one, 1 to a laxer one." in out
    assert re.search(r"^staff +1 +2 +50.00 % +0 +1$", out, re.MULTILINE)
    assert "step_up → allow: ana, ana2" in out
    assert "again    riskengine replay log --policy lax.toml --compare old.toml\n" in out
    assert "4 events decided" in err


def test_each_run_has_its_own_histories(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The step-up that was passed taught one of them a place; the other never asked for it."""
    assert run(*COMPARE, "--json", "--quiet") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)

    assert err == ""
    assert list(found) == ["provenance", *Comparison.__slots__]
    assert found["provenance"]["reports_before"] == {"counted": 1, "refused": 0}
    assert found["provenance"]["reports_after"] == {"counted": 0, "refused": 1}
    assert found["rescored"] == 1  # what came after the pass
    assert [(one["before"], one["after"], one["events"]) for one in found["changes"]] == [("step_up", "allow", 1)]
    [example] = found["changes"][0]["examples"]
    assert (example["log"], example["line"], example["place"]) == ("log", 2, "Tokyo")
    assert example["before"]["reasons"][0]["code"] == example["after"]["reasons"][0]["code"] == "impossible_travel"


def test_one_policy_against_itself_changes_nothing(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("log", "--policy", "old.toml", "--compare", "old.toml", "--json") == 0
    found = json.loads(capsys.readouterr().out)

    assert (found["changed"], found["rescored"], found["changes"], found["most_affected"]) == (0, 0, [], [])


def test_the_same_log_policies_and_data_give_the_same_bytes(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*COMPARE, "--report", "one.html", "--quiet") == 0
    one = capsys.readouterr().out
    assert run(*COMPARE, "--report", "two.html", "--quiet") == 0

    assert capsys.readouterr().out == one
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    assert b"riskengine replay log --policy lax.toml --compare old.toml" in (tmp_path / "one.html").read_bytes()


def test_any_number_of_processes_finds_the_same_changes(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*COMPARE, "--json") == 0
    one = capsys.readouterr()
    assert run(*COMPARE, "--json", "--jobs", "2") == 0

    assert capsys.readouterr() == one


def test_pseudonyms_hide_the_users_and_nothing_else(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*COMPARE, "--pseudonyms", "--json", "--quiet") == 0
    hidden = json.loads(capsys.readouterr().out)
    assert run("log", "--policy", "old.toml", "--quiet") == 0
    refs = {json.loads(answer)["user_ref"] for answer in capsys.readouterr().out.splitlines()}

    assert {one["user"] for one in hidden["most_affected"]} < refs
    assert hidden["changes"][0]["examples"][0]["user"] in refs
    assert hidden["changed"] == 1


def test_the_store_is_compared_without_any_log(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("log", "--policy", "old.toml", "--save", "--out", "answers.ndjson", "--quiet") == 0
    assert run("--policy", "old.toml", "--compare", "stored", "--json") == 0
    same = json.loads(capsys.readouterr().out)
    assert run("--policy", "lax.toml", "--compare", "stored") == 0
    out = capsys.readouterr().out

    assert (same["events"], same["changed"], same["rescored"]) == (4, 0, 0)
    assert same["provenance"]["reports_before"] is None
    assert "0 to a stricter one, 1 to a laxer one." in out
    assert "step_up → allow: ana, ana2" in out


def test_an_empty_store_has_nothing_to_compare(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--compare", "stored") == 1
    said = capsys.readouterr().err.splitlines()  # the line before tells of the sealing key that was made
    assert said[-1] == "riskengine: The store holds no events to decide again."


def test_a_rejected_line_is_told_by_the_exit_code(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "log").open("a") as log:
        log.write("{torn\n")

    assert run(*COMPARE, "--rejects", "rejects.ndjson") == 3
    assert len((tmp_path / "rejects.ndjson").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "Missing argument 'LOG…'."),
        (("log", "--json"), 2, "--json needs --compare."),
        (("log", "--report", "a.html"), 2, "--report needs --compare."),
        (("log", "--pseudonyms"), 2, "--pseudonyms needs --compare."),
        ((*COMPARE, "--save"), 2, "--save does not go with --compare."),
        ((*COMPARE, "--out", "x"), 2, "--out does not go with --compare."),
        ((*COMPARE, "--out-format", "csv"), 2, "--out-format does not go with --compare."),
        ((*COMPARE, "--input-order"), 2, "--input-order does not go with --compare."),
        (("--compare", "stored", "--year", "2026"), 2, "--year does not go with --compare stored."),
        (("log", "--compare", "stored"), 2, "it needs no LOG."),
        (("--compare", "old.toml"), 2, "Missing argument 'LOG…'."),
        (("log", "--compare", "nowhere.toml"), 4, "nowhere.toml cannot be read"),
        (("log", "--compare", "log"), 4, "log: is not TOML"),
        ((*COMPARE, "--report", "log"), 4, "--report must be a file of its own"),
        ((*COMPARE, "--report", "old.toml"), 4, "--report must be a file of its own"),
        ((*COMPARE, "--report", "nowhere/a.html"), 4, "--report nowhere/a.html cannot be written"),
        (("log", "--out", "a.xml", "--out-format", "xml"), 2, "'xml' is not one of"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_done(
    options: tuple[str, ...], code: int, said: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}

    assert run(*options) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


# --- answers in other formats -------------------------------------------------------------------------------------


def test_the_name_of_the_output_says_its_format(run: Run, tmp_path: Path) -> None:
    for name in ("a.csv", "a.ocsf.ndjson", "a.ecs.ndjson", "a.ndjson"):
        assert run("log", "--out", name, "--quiet") == 0
    with (tmp_path / "a.csv").open(newline="") as rows:
        table = list(csv.DictReader(rows))
    ocsf, ecs, answers = (
        [json.loads(row) for row in (tmp_path / name).read_text().splitlines()]
        for name in ("a.ocsf.ndjson", "a.ecs.ndjson", "a.ndjson")
    )

    assert [row["event_id"] for row in table] == [answer["event_id"] for answer in answers]
    assert [(row["user_id"], row["ip"], row["line"]) for row in table][1] == ("ana", AWAY, "2")
    assert [fault for document in ocsf for fault in faults(OCSF, document)] == []
    assert [fault for document in ecs for fault in faults(ECS, document)] == []


def test_a_format_may_be_asked_for_on_standard_output(run: Run, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run("log", "--out-format", "csv", "--quiet", "--input-order") == 0

    assert capfdbinary.readouterr().out.startswith(b"occurred_at,received_at,event_id,")


def test_parquet_is_written_whole(run: Run, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="it is an extra")
    assert run("log", "--out", "a.parquet", "--quiet") == 0

    assert parquet.read_table(tmp_path / "a.parquet").column("decision").to_pylist() == [
        "allow", "step_up", "allow", "allow",
    ]  # fmt: skip


@pytest.mark.parametrize("order", [(), ("--input-order",), ("--as-of-arrival",)], ids=["by_time", "restored", "as_is"])
@pytest.mark.parametrize("format_", ["csv", "parquet", "ocsf", "ecs"])
def test_any_number_of_processes_writes_the_same_bytes(
    format_: str, order: tuple[str, ...], run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if format_ == "parquet":
        pytest.importorskip("pyarrow.parquet", reason="it is an extra")
    (tmp_path / "log").write_text("\n".join([*made_up(9, 120, 30), "{torn"]) + "\n")
    options = ("log", "--out-format", format_, *order)
    assert run(*options, "--out", "one", "--rejects", "one.rejects") == 3
    said = capsys.readouterr().err
    assert run(*options, "--out", "two", "--rejects", "two.rejects", "--jobs", "2") == 3

    assert capsys.readouterr().err == said
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one.rejects").read_bytes() == (tmp_path / "two.rejects").read_bytes()
    assert "{torn" in (tmp_path / "one.rejects").read_text()
