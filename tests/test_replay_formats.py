"""Replay of vendors' logs from the command line: what it takes them for, what it says, what it refuses."""

import gzip
import json
import subprocess
from pathlib import Path

import pytest
from backports import zstd

from tests.fixtures_geo import World
from tests.test_replay import RISKENGINE, Bench, answers


@pytest.fixture
def bench(tmp_path: Path, world: World) -> Bench:
    return Bench(tmp_path, world)


def session(number: int, ip: str, user: str = "00u1") -> str:
    """Return one line of an Okta System Log."""
    return json.dumps(
        {
            "uuid": f"ok-{number}",
            "published": f"2026-05-11T06:{number:02d}:00.000Z",
            "eventType": "user.session.start",
            "actor": {"id": user, "alternateId": f"{user}@example.org"},
            "client": {"ipAddress": ip},
            "outcome": {"result": "SUCCESS"},
        }
    )


def told(run: subprocess.CompletedProcess[str]) -> list[tuple[str, int, str]]:
    return [(one["event_id"], one["line"], one["log"]) for one in answers(run)]


def test_a_vendors_log_is_decided_and_told_what_it_was_taken_for(bench: Bench) -> None:
    other = json.dumps({"uuid": "x", "published": "x", "eventType": "group.add", "actor": {}})
    run = bench.replay(log=[session(2, "192.0.2.10"), session(1, "192.0.2.10"), other, "{torn"])

    assert run.returncode == 3
    assert told(run) == [("ok-1", 2, "log"), ("ok-2", 1, "log")]
    assert "log read as okta: line 1 is of the form of Okta System Log" in run.stderr
    assert "0 duplicates, 1 rejected, 1 passed over: not a login 1" in run.stderr


def test_several_files_a_pattern_and_what_is_packed_are_one_log(bench: Bench) -> None:
    (bench.folder / "b.json.gz").write_bytes(gzip.compress(f"[{session(3, '192.0.2.10')}]".encode()))
    (bench.folder / "a.json.zst").write_bytes(zstd.compress(session(4, "192.0.2.10").encode()))
    run = bench.replay("*.json.*", "b.json.gz", log=[session(1, "192.0.2.10"), session(4, "192.0.2.10")])

    assert run.returncode == 0
    assert told(run) == [("ok-1", 1, "log"), ("ok-3", 1, "b.json.gz"), ("ok-4", 2, "log")]
    assert "1 duplicates" in run.stderr


def test_standard_input_may_be_packed(bench: Bench) -> None:
    command = [RISKENGINE, "replay", "-", "--quiet"]
    run = subprocess.run(
        command,
        input=gzip.compress(session(1, "192.0.2.10").encode()),
        env=bench.environment,
        cwd=bench.folder,
        capture_output=True,
        timeout=60,
        check=True,
    )

    assert json.loads(run.stdout)["event_id"] == "ok-1"


def test_a_mapping_of_ones_own_and_aliases(bench: Bench) -> None:
    (bench.folder / "my.toml").write_text('[event]\nuser_id = "who"\nip = "ip"\noccurred_at = "when"\n')
    (bench.folder / "people.csv").write_text("name,user_id\nana,u-1\n")
    run = bench.replay(
        "--mapping", "my.toml", "--aliases", "people.csv", log=['{"who":"Ana","ip":"192.0.2.10","when":1778480000}']
    )

    assert run.returncode == 0
    assert answers(run)[0]["event_id"].startswith("mapped-")
    assert "log read as mapped: a mapping was given" in run.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param(("--mapping", "wrong.toml"), "wrong.toml: event.ip is missing", id="wrong_mapping"),
        pytest.param(("--mapping", "none.toml"), "none.toml cannot be read", id="no_mapping"),
        pytest.param(("--mapping", "wrong.toml", "--format", "okta"), "--format cannot be given", id="both"),
        pytest.param(("--aliases", "none.csv"), "none.csv cannot be read", id="no_aliases"),
        pytest.param(("--aliases", "wrong.toml"), "wrong.toml line 1 must have two cells", id="wrong_aliases"),
        pytest.param(("--user-field", "a..b"), "--user-field is no path", id="no_path"),
        pytest.param(("none*.json",), "none*.json cannot be read", id="pattern_of_nothing"),
        pytest.param((".",), ". cannot be read: Is a directory", id="folder"),
    ],
)
def test_what_cannot_be_is_one_sentence(bench: Bench, options: tuple[str, ...], sentence: str) -> None:
    (bench.folder / "wrong.toml").write_text('[event]\nuser_id = "who"\noccurred_at = "when"\n')
    run = bench.replay(*options, log=[session(1, "192.0.2.10")])

    assert run.returncode in (2, 4)
    assert sentence in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert run.stdout == ""


def test_an_empty_log_is_decided_as_nothing(bench: Bench) -> None:
    (bench.folder / "log").write_bytes(b"")
    run = bench.replay()

    assert (run.returncode, run.stdout) == (0, "")
    assert "log read as ndjson: it is empty" in run.stderr
