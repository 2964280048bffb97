"""Desks in processes of their own, each with some of the users, beside the one that reads and writes."""

import gc
import mmap
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import numpy as np

from riskengine.errors import RiskEngineError
from riskengine.replay.desk import Desk, Parcel, Tally
from riskengine.replay.heap import give_back
from riskengine.replay.loom import Lines

_DONE = None
# What a desk puts its lines on: two in turn, since those of one parcel are taken while the next is decided.
SHELVES, SHELF_BYTES = 2, 16 << 20


class WorkerGone(RiskEngineError):
    """A process that decides has ended before its time."""


class Alone:
    """One desk, in this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lines: Lines | None = None

    def send(self, parcels: Sequence[Parcel]) -> None:
        """Have a parcel decided."""
        self._lines = self._desk.decide(parcels[0])

    def receive(self) -> list[Lines]:
        """Return the lines of the last parcel."""
        assert self._lines is not None
        return [self._lines]

    def end(self) -> list[Tally]:
        """Return what was counted."""
        return [self._desk.tally]

    def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class Crew:
    """Several desks. They are made by forking, so that what was read before is there without a copy."""

    make: Callable[[int], Desk]
    count: int
    _processes: list[BaseProcess] = field(default_factory=list)
    _pipes: list[Connection] = field(default_factory=list)
    _shelves: list[list[mmap.mmap]] = field(default_factory=list)  # of each desk, shared with its process

    def __post_init__(self) -> None:
        context = multiprocessing.get_context("fork")
        gc.collect()
        give_back()
        gc.freeze()  # what is there is left alone by collections, and so its pages stay shared
        for own in range(self.count):
            here, there = context.Pipe()
            shelves = [mmap.mmap(-1, SHELF_BYTES) for _ in range(SHELVES)]
            process = context.Process(
                target=_work,
                args=(self.make, own, there, shelves, [*self._pipes, here]),
                daemon=True,
                name=f"desk {own}",
            )
            process.start()
            there.close()
            self._processes.append(process)
            self._pipes.append(here)
            self._shelves.append(shelves)

    def send(self, parcels: Sequence[Parcel]) -> None:
        """Have a parcel decided by each desk."""
        for at, parcel in enumerate(parcels):
            self._send(at, parcel)

    def receive(self) -> list[Lines]:
        """Return the lines of each desk's last parcel; WorkerGone where one has ended.

        They stand until the desk has decided the parcel after the next.
        """
        found: list[Any] = [None] * self.count
        waiting = dict(zip(self._pipes, range(self.count), strict=True))
        while waiting:
            for pipe in wait(list(waiting)):
                assert isinstance(pipe, Connection)
                at = waiting.pop(pipe)
                found[at] = self._receive(at)
        return found

    def end(self) -> list[Tally]:
        """Return what each desk counted; they end."""
        for at in range(self.count):
            self._send(at, _DONE)
        return self.receive()  # type: ignore[return-value]  # the last thing each desk sends is its tally

    def close(self) -> None:
        """End all desks, whatever they are doing."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
            process.join()

    def _send(self, at: int, what: Parcel | None) -> None:
        try:
            self._pipes[at].send(what)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._gone(at) from error

    def _receive(self, at: int) -> Any:
        try:
            found = self._pipes[at].recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._gone(at) from error
        if isinstance(found, str):
            raise WorkerGone(f"a process that decides has failed:\n{found}")
        if isinstance(found, _Shelved):
            return Lines(np.frombuffer(self._shelves[at][found.shelf], np.uint8, found.length), found.ends)
        return found

    def _gone(self, at: int) -> WorkerGone:
        process = self._processes[at]
        process.join(1)
        code = process.exitcode
        how = f"was ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended ({code})"
        return WorkerGone(f"a process that decides {how}; nothing was written")


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


def _work(
    make: Callable[[int], Desk],
    own: int,
    pipe: Connection,
    shelves: Sequence[mmap.mmap],
    others: Sequence[Connection],
) -> None:
    """Decide what comes through a pipe until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever interrupts means all: the first process ends the others
    for other in others:
        other.close()
    try:
        desk, turn = make(own), 0
        while (parcel := pipe.recv()) is not _DONE:
            turn += 1
            pipe.send(_shelved(desk.decide(parcel), turn % SHELVES, shelves))
            give_back(turn)
        pipe.send(desk.tally)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(1)
    except Exception:
        pipe.send(traceback.format_exc())
