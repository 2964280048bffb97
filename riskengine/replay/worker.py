"""What answers what it is sent, one after the other: in a process of its own, or in this one."""

import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, Self

from riskengine.errors import RiskEngineError

Answer = Callable[[Any], Any]


class WorkerGone(RiskEngineError):
    """A process that works for this one has ended before its time."""


class _Failed(str):
    """What a process answers in which something broke: the traceback."""


class Worker:
    """A forked process: what this one has read is there without a copy.

    `make` returns, in that process, what answers. `others` are those that were forked before: a process that held their
    pipes open would keep them from learning that this one has ended.
    """

    def __init__(self, name: str, make: Callable[[], Answer], others: Sequence[Self] = ()) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, there = context.Pipe()
        held = [self.pipe, *(other.pipe for other in others)]
        self._process = context.Process(target=_work, args=(make, there, held), daemon=True, name=name)
        self._process.start()
        there.close()

    def send(self, what: Any) -> None:
        """Have something answered; WorkerGone where the process has ended."""
        try:
            self.pipe.send(what)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._gone() from error

    def receive(self) -> Any:
        """Return the next answer; WorkerGone where there will be none."""
        try:
            found = self.pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._gone() from error
        if isinstance(found, _Failed):
            raise WorkerGone(f"the process '{self._process.name}' has failed:\n{found}")
        return found

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self.pipe.close()
        self._process.terminate()
        self._process.join()

    def _gone(self) -> WorkerGone:
        self._process.join(1)
        code = self._process.exitcode
        how = f"was ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended ({code})"
        return WorkerGone(f"the process '{self._process.name}' {how}; nothing was written")


class Here:
    """Answers in this process, as a Worker does in its own."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._found: Any = None

    def send(self, what: Any) -> None:
        """Answer this."""
        self._found = self._answer(what)

    def receive(self) -> Any:
        """Return the last answer."""
        return self._found

    def close(self) -> None:
        """Nothing is held."""


def _work(make: Callable[[], Answer], pipe: Connection, held: Sequence[Connection]) -> None:
    """Answer what comes through a pipe until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever interrupts means all: the first process ends the others
    for other in held:
        other.close()
    try:
        answer = make()
        while True:
            pipe.send(answer(pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(1)
    except Exception:
        pipe.send(_Failed(traceback.format_exc()))
