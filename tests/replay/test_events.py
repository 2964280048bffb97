"""Events that wait beside a replay: each comes back as it was read, and they are those of the answers."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from riskengine.event import Event
from riskengine.readers.log import Read
from riskengine.readers.read import read
from riskengine.replay import sequence, transcript
from riskengine.replay.events import Events
from riskengine.replay.lines import Summary
from riskengine.replay.pipeline import Replay
from riskengine.replay.restored import in_input_order
from riskengine.replay.transcript import Scribe
from tests.doors import locator_of
from tests.fixtures_geo import World
from tests.replay.logs import made_up
from tests.replay.test_pipeline import in_columns, policy, written


def test_every_event_comes_back_as_it_was_read_in_any_order(tmp_path: Path) -> None:
    items = [one.item for one in read([str(written(tmp_path, made_up(1, 200)))]) if isinstance(one, Read)]
    numbers = [at for at, item in enumerate(items) if isinstance(item, Event)][::-1]
    with closing(Events()) as events:
        for item in items:
            events.put(item if isinstance(item, Event) else None)
        assert list(events.of(np.array(numbers))) == [items[at] for at in numbers]
        assert list(events.of(np.array(numbers[:3]))) == [items[at] for at in numbers[:3]]


@pytest.mark.parametrize("restored", [False, True], ids=["in_order_of_time", "in_the_log_s_order"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_each_answer_stands_beside_its_event(
    tmp_path: Path, world: World, jobs: int, restored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (transcript, sequence):
        monkeypatch.setattr(module, "CHUNK", 50)
    log, summary = written(tmp_path, made_up(7, 250, 60)), Summary()
    with closing(Events()) as events:
        scribe = Scribe(locator_of(world), summary, lambda _: None, events)
        with closing(scribe.read(read([str(log)]), True, lambda _: None)) as found:
            decided = Replay(found, policy(), summary, lambda _: None).decide(jobs, lambda _: None)
            some = list(in_input_order(decided) if restored else decided)
            beside = [event for one in some for event in events.of(one.numbers)]
    answers = [answer for one in some for answer in one.answers()]

    assert answers == in_columns(log, world, restored=restored).answers
    assert [event.event_id for event in beside] == [answer["event_id"] for answer in answers]
