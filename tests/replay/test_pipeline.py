"""A replay in columns: what it answers is what the engine answers to the same items one after another."""

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from riskengine.policy.parse import parse
from riskengine.policy.policy import Policy
from riskengine.readers import lines as reading
from riskengine.readers.log import Rejected
from riskengine.readers.read import read
from riskengine.replay import crew, sequence, transcript
from riskengine.replay.lines import Summary, decide, gather, in_time_order, memory_engine
from riskengine.replay.pipeline import Replay
from riskengine.replay.restored import in_input_order
from riskengine.replay.transcript import Scribe
from riskengine.settings import package_files
from tests.doors import locator_of
from tests.fixtures_geo import World
from tests.replay.logs import made_up

_EDGES = """[corroboration.edges]
fra = [50.1, 8.7]
iad = [38.9, -77.4]
"""
_GROUPS = """
[groups.finance]
step_up = 25
[groups.admins]
weights = { new_device = 60 }
"""


class Outcome(NamedTuple):
    """What a replay leaves behind."""

    answers: list[dict[str, Any]]
    rejects: list[Rejected]
    summary: dict[str, Any]


def policy() -> Policy:
    """Return the policy that ships, with groups and edges."""
    text = (package_files("data") / "policy.toml").read_text()
    return parse(text.replace("[corroboration.edges]", _EDGES) + _GROUPS, "policy.toml")


def _told(summary: Summary) -> dict[str, Any]:
    return {name: getattr(summary, name) for name in Summary.__dataclass_fields__}


def through_the_engine(log: Path, world: World, by_time: bool = True) -> Outcome:
    summary, rejects = Summary(), list[Rejected]()
    engine = memory_engine(locator_of(world), policy())
    lines = gather(read([str(log)]), rejects.append, summary)
    lines = in_time_order(lines) if by_time else lines
    answers = [found for _, found in decide(lines, engine, summary, rejects.append, lambda done: None)]
    return Outcome(answers, rejects, _told(summary))


def in_columns(log: Path, world: World, by_time: bool = True, jobs: int = 1, restored: bool = False) -> Outcome:
    summary, rejects = Summary(), list[Rejected]()
    scribe = Scribe(locator_of(world), summary, rejects.append)
    with closing(scribe.read(read([str(log)]), by_time, lambda count: None)) as found:
        decided = Replay(found, policy(), summary, rejects.append).decide(jobs, lambda count: None)
        answers = [answer for some in (in_input_order(decided) if restored else decided) for answer in some.answers()]
    return Outcome(answers, rejects, _told(summary))


def written(folder: Path, lines: Sequence[str]) -> Path:
    log = folder / "log.ndjson"
    log.write_text("\n".join(lines) + "\n")
    return log


@pytest.fixture(params=[1 << 15, 7], ids=["one_chunk", "chunks_of_seven"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let items wait as one chunk, or as many."""
    for module in (transcript, sequence):
        monkeypatch.setattr(module, "CHUNK", request.param)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("shuffled", "by_time"), [(0, True), (40, True), (1000, True), (0, False), (40, False)])
def test_answers_are_those_of_the_engine(tmp_path: Path, world: World, seed: int, shuffled: int, by_time: bool) -> None:
    log = written(tmp_path, made_up(seed, 250, shuffled, reports=seed % 4 > 0))

    expected = through_the_engine(log, world, by_time)
    assert in_columns(log, world, by_time) == expected
    assert len(expected.rejects) > 5
    assert expected.summary["duplicates"] > 5
    assert {"allow", "step_up"} <= expected.summary["decisions"].keys()


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("shelf", [crew.SHELF_BYTES, 4_000], ids=["on_shelves", "too_long_for_a_shelf"])
def test_any_number_of_processes_answers_the_same(
    tmp_path: Path, world: World, shelf: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "SHELF_BYTES", shelf)
    log = written(tmp_path, made_up(5, 250, 10))

    expected = in_columns(log, world)
    for jobs in (2, 3):
        assert in_columns(log, world, jobs=jobs) == expected


@pytest.mark.usefixtures("chunks")
def test_answers_go_back_into_the_order_of_the_log(tmp_path: Path, world: World) -> None:
    log = written(tmp_path, made_up(6, 250, 30))

    by_time, restored = in_columns(log, world), in_columns(log, world, restored=True)
    assert restored.answers == sorted(by_time.answers, key=lambda answer: answer["line"])
    assert restored.answers != by_time.answers


def test_lines_that_are_not_plain_stand_where_they_stood_whatever_the_blocks(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"user_id": "ann", "ip": "192.0.2.1", "occurred_at": "2026-03-01T00:00:00Z"}
    escaped = [r'{"user_id":"\u0061nn","ip":"192.0.2.1","occurred_at":"2026-03-01T00:00:00Z","event_id":"%d"}', "{", ""]
    lines = [
        json.dumps(plain | {"event_id": str(number)})
        if number % 3
        else escaped[number % len(escaped)].replace("%d", str(number))
        for number in range(40)
    ]
    log = written(tmp_path, lines)
    whole = in_columns(log, world)
    monkeypatch.setattr(reading, "_BLOCK", 200)
    monkeypatch.setattr(transcript, "CHUNK", 5)
    monkeypatch.setattr(sequence, "CHUNK", 5)
    assert in_columns(log, world) == whole == through_the_engine(log, world)
    assert [one["line"] for one in whole.answers] == sorted(one["line"] for one in whole.answers)


def test_an_event_is_the_same_in_every_spelling(tmp_path: Path, world: World) -> None:
    plain = '{"user_id":"ann","ip":"192.0.2.1","occurred_at":"2026-03-01T00:00:00Z","event_id":"1","session_id":"s"}'
    log = written(tmp_path, [plain, plain.replace("ann", r"\u0061nn"), plain.replace('"s"', '"t"')])
    found = in_columns(log, world)
    assert (len(found.answers), found.summary["duplicates"], found.summary["rejected"]) == (1, 1, 1)
    assert found == through_the_engine(log, world)
