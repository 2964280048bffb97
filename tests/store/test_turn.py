"""Turns are handed on in the order in which they were asked for."""

import threading
import time
from pathlib import Path

import pytest

from riskengine.errors import StoreUnavailable
from riskengine.store.turn import Turn, turn_of


def test_who_waits_longest_comes_next_even_if_the_holder_asks_again() -> None:
    turn, order = Turn(), list[str]()
    asking = threading.Event()

    def wait() -> None:
        asking.set()
        with turn.taken(5):
            order.append("other")

    with turn.taken(5):
        other = threading.Thread(target=wait)
        other.start()
        asking.wait(5)
        time.sleep(0.02)
        order.append("holder")
    with turn.taken(5):
        order.append("holder again")
    other.join(5)

    assert order == ["holder", "other", "holder again"]


def test_a_turn_that_does_not_come_in_time_is_given_up_and_not_lost() -> None:
    turn = Turn()

    with turn.taken(1), pytest.raises(StoreUnavailable, match="busy"), turn.taken(0.01):
        pass

    with turn.taken(0):
        pass


def test_an_exception_passes_the_turn_on() -> None:
    turn = Turn()

    with pytest.raises(ZeroDivisionError), turn.taken(1):
        raise ZeroDivisionError

    with turn.taken(0):
        pass


def test_a_file_has_one_turn_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    turn = turn_of(tmp_path / "a.db")

    assert turn_of(Path("a.db")) is turn
    assert turn_of(Path("b.db")) is not turn
