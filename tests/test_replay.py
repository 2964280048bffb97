"""Replay from the command line: what it writes, what it rejects, what it says, what it saves."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from riskengine.store.sql import SqlStore
from tests.fixtures_geo import World

RISKENGINE = str(Path(sys.executable).parent / "riskengine")
HOME, AWAY = "192.0.2.10", "198.51.100.10"


def event(minute: int, ip: str, **given: Any) -> str:
    """Return one line of our own NDJSON."""
    time = f"2026-03-04T{minute // 60:02d}:{minute % 60:02d}:00Z"
    return json.dumps({"user_id": "ana", "ip": ip, "occurred_at": time, "event_id": f"m{minute}", **given})


def told(minute: int, of: int, result: str) -> str:
    """Return one line that reports on the event of a minute."""
    time = f"2026-03-04T{minute // 60:02d}:{minute % 60:02d}:00Z"
    return json.dumps({"type": "report", "event_id": f"m{of}", "result": result, "at": time})


class Bench:
    """A folder with a log, and the command over it."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "RISKENGINE_HOME": str(folder / "home"),
            "RISKENGINE_GEOIP_CITY": str(world.city),
            "RISKENGINE_GEOIP_ASN": str(world.asn),
            "RISKENGINE_GEOIP_ANONYMOUS": str(world.anonymous),
        }

    def replay(self, *options: str, log: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        if log is not None:
            (self.folder / "log").write_text("\n".join(log) + "\n")
        command = [RISKENGINE, "replay", "log", *options]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=180, check=False
        )


@pytest.fixture
def bench(tmp_path: Path, world: World) -> Bench:
    return Bench(tmp_path, world)


def answers(run: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_a_log_is_ordered_by_time_unless_it_is_to_stay_as_it_is(bench: Bench) -> None:
    log = [event(20, AWAY), event(10, HOME)]

    ordered = answers(bench.replay(log=log))
    as_it_is = answers(bench.replay("--as-of-arrival"))
    written_back = answers(bench.replay("--input-order"))
    assert [(a["line"], a["decision"]) for a in ordered] == [(2, "allow"), (1, "step_up")]
    assert [(a["line"], a["decision"]) for a in as_it_is] == [(1, "allow"), (2, "step_up")]
    assert [(a["line"], a["decision"]) for a in written_back] == [(1, "step_up"), (2, "allow")]


def test_bad_lines_go_to_the_rejects_and_the_rest_is_decided(bench: Bench) -> None:
    log = [event(10, HOME), "{torn", event(11, "banana"), '{"user_id": "a", "ip": "192.0.2.1"}', event(12, HOME)]
    run = bench.replay("--rejects", "rejects", log=log)
    rejects = [json.loads(line) for line in (bench.folder / "rejects").read_text().splitlines()]

    assert run.returncode == 3
    assert [a["line"] for a in answers(run)] == [1, 5]
    assert [(r["line"], r["reason"].split(" ")[0]) for r in rejects] == [(2, "the"), (3, "/ip"), (4, "/occurred_at")]
    assert "3 rejected" in run.stderr


def test_a_step_up_that_the_log_reports_passed_makes_the_place_known(bench: Bench) -> None:
    log = [event(0, HOME), event(10, AWAY), told(11, 10, "step_up_passed"), event(30, AWAY)]

    assert [a["decision"] for a in answers(bench.replay(log=log))] == ["allow", "step_up", "allow"]


def test_a_report_counts_only_where_this_policy_stepped_up(bench: Bench) -> None:
    run = bench.replay(log=[event(0, HOME), told(1, 0, "step_up_passed"), event(10, AWAY)])

    assert "0 reports counted, 1 answered no step-up of this policy" in run.stderr
    assert run.returncode == 0


def test_without_reports_the_run_says_what_it_assumed(bench: Bench) -> None:
    assert "taken as provisional" in bench.replay(log=[event(0, HOME)]).stderr


def test_a_report_that_stands_before_its_event_counts_after_it(bench: Bench) -> None:
    log = [told(10, 10, "step_up_passed"), event(0, HOME), event(10, AWAY), event(30, AWAY)]

    assert [a["decision"] for a in answers(bench.replay(log=log))] == ["allow", "step_up", "allow"]


def test_the_same_event_twice_is_decided_once(bench: Bench) -> None:
    run = bench.replay(log=[event(0, HOME), event(0, HOME), event(0, AWAY)])

    assert len(answers(run)) == 1
    assert "1 duplicates" in run.stderr
    assert "1 rejected" in run.stderr


def test_the_same_log_gives_the_same_bytes(bench: Bench) -> None:
    log = [event(minute, HOME if minute % 3 else AWAY) for minute in range(0, 90, 7)]

    assert bench.replay(log=log).stdout == bench.replay().stdout != ""


def test_saving_is_idempotent_and_needs_no_server(bench: Bench) -> None:
    log = [event(0, HOME), event(10, AWAY), told(11, 10, "step_up_failed")]
    first, again = bench.replay("--save", log=log), bench.replay("--save")
    store = SqlStore(f"sqlite:///{bench.folder}/home/data/riskengine.db")
    counts = store.counts()
    store.close()

    assert counts == {"events": 2, "reports": 1, "users": 1}
    assert [a["decision"] for a in answers(first)] == [a["decision"] for a in answers(again)] == ["allow", "step_up"]


def test_an_import_of_what_happened_before_leaves_histories_in_order_of_time(bench: Bench) -> None:
    live = bench.replay("--save", log=[event(200, HOME), event(300, HOME)])
    assert "in order of time" not in live.stderr

    earlier = bench.replay("--save", log=[event(0, HOME), event(100, HOME)])
    assert "1 users known before: their histories were folded again in order of time" in earlier.stderr
    assert "in order of time" not in bench.replay("--save").stderr


def test_what_cannot_be_read_is_refused_in_one_sentence(bench: Bench) -> None:
    missing = bench.replay(log=None)
    strange = bench.replay(log=["\x1f\x8b not a log"])
    wrong = bench.replay("--policy", "nowhere.toml", log=[event(0, HOME)])

    for run in (missing, strange, wrong):
        assert run.returncode in (2, 4), run.stderr
        assert run.stderr.startswith("riskengine: ")
        assert len(run.stderr.splitlines()) == 1
        assert run.stdout == ""


def test_no_output_takes_the_place_of_a_log_or_of_the_other(bench: Bench) -> None:
    log = [event(0, HOME)]
    for options in (("--out", "log"), ("--out", "o", "--rejects", "./log"), ("--out", "o", "--rejects", "o")):
        run = bench.replay(*options, log=log)
        assert run.returncode == 4
        assert (bench.folder / "log").read_text() == log[0] + "\n"


def test_an_output_that_cannot_be_written_is_named(bench: Bench) -> None:
    run = bench.replay("--out", "nowhere/at/all", log=[event(0, HOME)])

    assert run.returncode == 4
    assert "nowhere/at/all" in run.stderr
    assert "Traceback" not in run.stderr


def test_an_import_that_is_repeated_says_what_was_there(bench: Bench) -> None:
    bench.replay("--save", log=[event(0, HOME), event(10, AWAY)])

    assert "2 events decided (2 of them were stored before)" in bench.replay("--save").stderr
