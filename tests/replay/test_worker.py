"""Processes that work for a replay: what they answer, and how one that ends before its time is told of."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from riskengine.engine.tokens import Tokeniser
from riskengine.replay.lines import REALM, REPLAY_KEYS
from riskengine.replay.survey import Survey, joined, surveyor
from riskengine.replay.worker import Worker, WorkerGone
from riskengine.seal import Seal
from tests.doors import locator_of
from tests.fixtures_geo import World


@contextmanager
def working(answer: Callable[[Any], Any]) -> Iterator[Worker]:
    worker = Worker("one who adds", lambda: answer)
    try:
        yield worker
    finally:
        worker.close()


def test_a_worker_answers_in_order() -> None:
    with working(lambda given: given + 1) as worker:
        for given in range(3):
            worker.send(given)
        assert [worker.receive() for _ in range(3)] == [1, 2, 3]


def test_a_worker_that_is_killed_is_told_of() -> None:
    with working(lambda _: os.kill(os.getpid(), signal.SIGKILL)) as worker:
        worker.send(1)
        with pytest.raises(WorkerGone, match="'one who adds' was ended by SIGKILL; nothing was written"):
            worker.receive()
        with pytest.raises(WorkerGone, match="SIGKILL"):
            worker.send(1)


def test_what_breaks_in_a_worker_is_told_here() -> None:
    with working(lambda given: 1 / given) as worker:
        worker.send(0)
        with pytest.raises(WorkerGone, match=r"'one who adds' has failed:\n(.|\n)*ZeroDivisionError"):
            worker.receive()


def test_addresses_are_surveyed_alike_here_and_in_a_process_of_their_own(world: World) -> None:
    parts = [["192.0.2.1", "2001:db8::1", "10.0.0.1"], [], ["192.0.2.2", "198.51.100.7"]]
    found = []
    for apart in (False, True):
        one = surveyor(Survey(Tokeniser(Seal(REPLAY_KEYS)), locator_of(world), REALM), apart)
        surveyed = []
        for part in parts:
            one.send(part)
            surveyed.append(one.receive())
        one.close()
        found.append(joined(surveyed))

    here, there = found
    assert len(here.places) == len(here.keys) == 5
    assert here.places.tobytes() == there.places.tobytes()
    for name in ("label", "zone", "keys"):
        assert np.array_equal(getattr(here, name), getattr(there, name))
    assert (here.labels, here.zones) == (there.labels, there.zones)
