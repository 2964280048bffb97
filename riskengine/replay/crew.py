"""Desks in processes of their own, each with some of the users, beside the one that reads and writes."""

import gc
import mmap
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import numpy as np

from riskengine.replay.desk import Desk, Parcel, Tally
from riskengine.replay.heap import give_back
from riskengine.replay.loom import Lines
from riskengine.replay.worker import Answer, Here, Worker

_DONE = None
# What a desk puts its lines on: two in turn, since those of one parcel are taken while the next is decided.
SHELVES, SHELF_BYTES = 2, 16 << 20


class Alone:
    """One desk, in this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._here = desk, Here(desk.decide)

    def send(self, parcels: Sequence[Parcel]) -> None:
        """Have a parcel decided."""
        self._here.send(parcels[0])

    def receive(self) -> list[Lines]:
        """Return the lines of the last parcel."""
        return [self._here.receive()]

    def end(self) -> list[Tally]:
        """Return what was counted."""
        return [self._desk.tally]

    def close(self) -> None:
        """Nothing is held."""


class Crew:
    """Several desks, each in a process of its own."""

    def __init__(self, make: Callable[[int], Desk], desks: int) -> None:
        gc.collect()
        give_back()
        gc.freeze()  # what is there is left alone by collections, and so its pages stay shared
        self._workers: list[Worker] = []
        self._shelves: list[list[mmap.mmap]] = []  # of each desk, shared with its process
        for own in range(desks):
            shelves = [mmap.mmap(-1, SHELF_BYTES) for _ in range(SHELVES)]
            self._workers.append(Worker(f"desk {own}", partial(_decides, make, own, shelves), self._workers))
            self._shelves.append(shelves)

    def send(self, parcels: Sequence[Parcel]) -> None:
        """Have a parcel decided by each desk."""
        for worker, parcel in zip(self._workers, parcels, strict=True):
            worker.send(parcel)

    def receive(self) -> list[Lines]:
        """Return the lines of each desk's last parcel; WorkerGone where one has ended.

        They stand until the desk has decided the parcel after the next.
        """
        return [
            Lines(np.frombuffer(shelves[found.shelf], np.uint8, found.length), found.ends)
            if isinstance(found, _Shelved)
            else found
            for found, shelves in zip(self._answers(), self._shelves, strict=True)
        ]

    def end(self) -> list[Tally]:
        """Return what each desk counted."""
        for worker in self._workers:
            worker.send(_DONE)
        return self._answers()

    def close(self) -> None:
        """End all desks, whatever they are doing."""
        for worker in self._workers:
            worker.close()

    def _answers(self) -> list[Any]:
        """Return the answer of each desk, whichever comes first."""
        found: list[Any] = [None] * len(self._workers)
        waiting = {worker.pipe: at for at, worker in enumerate(self._workers)}
        while waiting:
            for pipe in wait(list(waiting)):
                assert isinstance(pipe, Connection)
                at = waiting.pop(pipe)
                found[at] = self._workers[at].receive()
        return found


class _Shelved(NamedTuple):
    """Where the lines of a parcel lie: a pipe would copy them four times."""

    shelf: int
    length: int
    ends: np.ndarray


def _shelved(lines: Lines, shelf: int, shelves: Sequence[mmap.mmap]) -> Lines | _Shelved:
    """Put lines on a shelf, unless they are too long for it."""
    length = len(lines.data)
    if length > SHELF_BYTES:
        return lines
    np.frombuffer(shelves[shelf], np.uint8)[:length] = lines.data
    return _Shelved(shelf, length, lines.ends)


def _decides(make: Callable[[int], Desk], own: int, shelves: Sequence[mmap.mmap]) -> Answer:
    """Return what a desk answers: the lines of a parcel, and once there is none any more, what was counted."""
    desk, turns = make(own), count(1)

    def answer(parcel: Parcel | None) -> Lines | _Shelved | Tally:
        if parcel is _DONE:
            return desk.tally
        turn = next(turns)
        give_back(turn)
        return _shelved(desk.decide(parcel), turn % SHELVES, shelves)

    return answer
