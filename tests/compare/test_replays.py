"""One log through two policies at once: the pairs are those of two engines, whatever the processes, and they stream."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from riskengine.compare.pair import Pair
from riskengine.compare.replays import decided_twice
from riskengine.event import Event
from riskengine.policy.policy import Policy
from riskengine.readers.read import read
from riskengine.replay import sequence, transcript
from riskengine.replay.events import Events
from riskengine.replay.lines import Summary, decide, gather, in_time_order, memory_engine
from riskengine.replay.pipeline import Replay
from riskengine.replay.transcript import Scribe
from tests.doors import locator_of
from tests.fixtures_geo import World
from tests.replay.logs import made_up
from tests.replay.test_pipeline import policy, written

CHUNK = 50


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a log with reports out of order, to be decided in small chunks."""
    for module in (transcript, sequence):
        monkeypatch.setattr(module, "CHUNK", CHUNK)
    return written(tmp_path, made_up(8, 250, 40))


def policies() -> tuple[Policy, Policy]:
    """Return two policies, the second of which asks for a second factor less often."""
    one = policy()
    return one, replace(one, thresholds=replace(one.thresholds, step_up=70.0))


@contextmanager
def pairs(log: Path, world: World, jobs: int, done: list[int]) -> Iterator[tuple[Iterator[Pair], list[Summary]]]:
    """Yield the pairs of a log by two policies, and what is counted; `done` gets how many items are decided."""
    summaries = [Summary(), Summary()]
    with closing(Events()) as events:
        scribe = Scribe(locator_of(world), summaries[1], lambda _: None, events)
        with closing(scribe.read(read([str(log)]), True, lambda _: None)) as found:
            summaries[0].reporting = summaries[1].reporting
            runs = zip(found.twice(), policies(), summaries, strict=True)
            before, after = (Replay(*run, lambda _: None) for run in runs)
            yield decided_twice(before, after, events, jobs, done.append), summaries


@pytest.mark.parametrize("jobs", [1, 2])
def test_pairs_are_what_two_engines_answer(log: Path, world: World, jobs: int) -> None:
    expected: list[dict[int, dict[str, object]]] = []
    counted = []
    for one in policies():
        summary = Summary()
        lines = gather(read([str(log)]), lambda _: None, summary)
        engine = memory_engine(locator_of(world), one)
        expected.append(dict(decide(in_time_order(lines), engine, summary, lambda _: None, lambda _: None)))
        counted.append((summary.events, summary.decisions, summary.reasons, summary.reports, summary.refused_reports))
    with pairs(log, world, jobs, []) as (both, summaries):
        found = list(both)

    assert [pair.before for pair in found] == list(expected[0].values())
    assert [pair.after for pair in found] == list(expected[1].values())
    assert [pair.event for pair in found] == [lines[number].item for number in expected[0]]
    assert all(isinstance(pair.event, Event) for pair in found)
    assert [(one.events, one.decisions, one.reasons, one.reports, one.refused_reports) for one in summaries] == counted
    assert expected[0] != expected[1]


def test_pairs_come_while_the_log_is_decided(log: Path, world: World) -> None:
    done: list[int] = []
    with pairs(log, world, 1, done) as (both, _):
        next(both)
        assert done == [CHUNK]
        for _ in both:
            pass
    assert sum(done) > 250
