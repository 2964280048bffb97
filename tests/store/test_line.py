"""Processes that write to one file come to it in the order in which they asked, however busy the others are."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from riskengine.errors import StoreUnavailable
from riskengine.store.line import Line, line_of

SPAWN = multiprocessing.get_context("spawn")


def stand(file: Path, ours: Connection) -> None:
    """In a process of its own: ask when told so, say when it is one's turn, leave when told so."""
    line = Line(file)
    while ours.recv() == "ask":
        ours.send("asking")
        with line.taken(20):
            ours.send("turn")
            ours.recv()
        ours.send("left")


class Other:
    """A process that stands in line on command."""

    def __init__(self, file: Path) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        self.process: SpawnProcess = SPAWN.Process(target=stand, args=(file, theirs))
        self.process.start()

    def ask(self) -> None:
        self.pipe.send("ask")
        assert self.heard(20) == "asking"
        time.sleep(0.02)  # it has its number now

    def heard(self, seconds: float) -> object:
        return self.pipe.recv() if self.pipe.poll(seconds) else None

    def leave(self) -> None:
        self.pipe.send("leave")
        assert self.heard(20) == "left"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("line") / "store.db"


@pytest.fixture
def others(file: Path) -> Iterator[list[Other]]:
    """Three processes; none is in line."""
    made = [Other(file) for _ in range(3)]
    yield made
    for other in made:
        other.process.kill()
        other.process.join()


def test_who_asked_first_comes_first_and_the_last_holder_asks_again_behind_them(others: list[Other]) -> None:
    first, second, third = others
    first.ask()
    assert first.heard(20) == "turn"
    second.ask()
    third.ask()
    first.leave()
    first.ask()

    order = []
    for _ in range(3):
        [came] = [other for other in others if other.heard(0.5) == "turn"]
        order.append(came)
        came.leave()

    assert order == [second, third, first]


def test_who_dies_in_line_or_at_its_head_is_passed_over(others: list[Other]) -> None:
    first, second, third = others
    first.ask()
    assert first.heard(20) == "turn"
    second.ask()
    third.ask()

    for other in (second, first):
        assert other.process.pid is not None
        os.kill(other.process.pid, signal.SIGKILL)

    assert third.heard(20) == "turn"


def test_who_waits_too_long_gives_up_its_place_and_holds_up_nobody(others: list[Other], file: Path) -> None:
    first, second, _ = others
    line = line_of(file)
    first.ask()
    assert first.heard(20) == "turn"

    with pytest.raises(StoreUnavailable, match="busy"), line.taken(0.05):
        pass
    second.ask()
    assert second.heard(0.1) is None
    first.leave()

    assert second.heard(20) == "turn"
    second.leave()
    with line.taken(5):
        pass


def test_a_folder_that_is_not_there_is_the_store_being_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be written"), Line(tmp_path / "none" / "store.db").taken(1):
        pass


def test_a_file_has_one_line_in_a_process_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = line_of(tmp_path / "a.db")

    assert line_of(Path("a.db")) is line
    assert line_of(Path("b.db")) is not line
