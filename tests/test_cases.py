"""Every case through every door: all at once, one by one, over each store, over HTTP, as a log through replay."""

import json
from pathlib import Path
from typing import Any

import pytest

from riskengine.check import format_time
from riskengine.engine.engine import Engine
from riskengine.engine.saved import spelled
from riskengine.event import Event, Report
from riskengine.readers.read import read
from riskengine.replay.lines import Summary, decide, gather, in_time_order, memory_engine
from riskengine.store.contract import Store
from riskengine.store.memory import MemoryStore
from tests.doors import Case, arrivals_of, check, default_policy, engine_over, load_cases, locator_of
from tests.fixtures_geo import World

CASES = load_cases()
pytestmark = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def _assert(case: Case, outcomes: list[Any]) -> None:
    for step, outcome in zip(case.steps, outcomes, strict=True):
        check(case.name, step.then, outcome)


def test_all_at_once(case: Case, world: World) -> None:
    _assert(case, engine_over(MemoryStore(), world).run(arrivals_of([step.item for step in case.steps])))


def test_one_by_one_over_each_store(case: Case, world: World, store: Store) -> None:
    engine = engine_over(store, world)

    _assert(case, [engine.run([arrival])[0] for arrival in arrivals_of([step.item for step in case.steps])])


def test_as_a_log_through_replay(case: Case, world: World, tmp_path: Path) -> None:
    if case.live_only or not case.in_order:
        pytest.skip("the log would be read in another order, or means something else as a log")
    log = tmp_path / "events.ndjson"
    reporting = any(isinstance(step.item, Report) for step in case.steps)
    log.write_text("".join(json.dumps(_line(step.item)) + "\n" for step in case.steps))
    summary = Summary()
    engine: Engine = memory_engine(locator_of(world), default_policy())
    lines = in_time_order(gather(read([str(log)]), _refuse, summary))
    answers = dict(decide(lines, engine, summary, _refuse, lambda done: None))

    assert summary.reporting is reporting
    for number, step in enumerate(case.steps):
        if isinstance(step.item, Event):
            check(case.name, step.then, answers[number])


def _refuse(refused: object) -> None:
    raise AssertionError(f"a case's line was refused: {refused}")


def _line(item: Event | Report) -> dict[str, Any]:
    if isinstance(item, Event):
        return spelled(item)
    assert item.at is not None
    return {"type": "report", "event_id": item.event_id, "result": item.result, "at": format_time(item.at)}
