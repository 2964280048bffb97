"""A log read to its end: its items in the order in which they are decided, in columns, for one policy or several."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import tee
from typing import Self

from riskengine.engine.tokens import Tokeniser
from riskengine.event import Event
from riskengine.locate.locator import Locator
from riskengine.locate.source import DataSource
from riskengine.readers.lines import Block, Raw
from riskengine.readers.log import Read, Rejected
from riskengine.readers.read import Log
from riskengine.replay.events import Events
from riskengine.replay.heap import give_back, keep_what_is_freed
from riskengine.replay.intake import Intake
from riskengine.replay.lines import REALM, REPLAY_KEYS, Summary, items
from riskengine.replay.register import Register, Tables
from riskengine.replay.sequence import CHUNK, Gathering
from riskengine.replay.sequence import Sequence as Ordered
from riskengine.replay.spool import Spool
from riskengine.replay.survey import Survey, surveyor
from riskengine.replay.told import Chunk
from riskengine.seal import Seal

Reject = Callable[[Rejected], None]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Transcript:
    """A log that was read, to be decided once: `chunks` are what `ordered` yields.

    `logs` are the names of the logs, `tables` what items point to, `source` says where addresses were looked up.
    """

    logs: Sequence[str]
    tables: Tables
    source: DataSource
    ordered: Ordered
    chunks: Iterator[Chunk]

    def twice(self) -> tuple[Self, Self]:
        """Return two, to be decided side by side instead of this one: what one is ahead of the other is held."""
        one, other = tee(self.chunks)
        return replace(self, chunks=one), replace(self, chunks=other)

    def close(self) -> None:
        """Let go of the items."""
        self.ordered.spool.close()


@dataclass(frozen=True, slots=True)
class Scribe:
    """Reads logs. `reject` gets what cannot be read, `summary` counts it.

    `events` keeps every event as it was read. Then lines are read one by one, which takes longer. `jobs` is in how many
    processes this may be done: with two, addresses are looked up in one of their own.
    """

    locator: Locator
    summary: Summary
    reject: Reject
    events: Events | None = None
    jobs: int = 1

    def read(self, log: Log, by_time: bool, progress: Progress) -> Transcript:
        """Read a log to its end. Its items are to be decided in order of time, or as they came."""
        keep_what_is_freed()
        tokeniser = Tokeniser(Seal(REPLAY_KEYS))
        with closing(surveyor(Survey(tokeniser, self.locator, REALM), self.jobs > 1)) as addresses:
            return self._read(log, by_time, progress, Register(tokeniser, addresses, REALM))

    def _read(self, log: Log, by_time: bool, progress: Progress, register: Register) -> Transcript:
        intake, gathering = Intake(register), Gathering(Spool())
        logs = [source.name for source in log.sources]
        of = {name: at for at, name in reversed(list(enumerate(logs)))}

        def turn() -> None:
            if len(intake) >= CHUNK:
                progress(len(intake))
                gathering.take(intake.chunk())
                give_back(len(gathering))

        def takes(block: Block, source: int) -> list[Raw]:
            turn()
            return intake.block(block, source)

        log.takes = takes if self.events is None else None
        for one in items(log, self.reject, self.summary):
            source = of[one.source]
            self._take(one, source, intake)
            if not log.is_offered(source):  # else what was taken of the block may belong behind the item
                turn()
        progress(len(intake))
        if len(intake):
            gathering.take(intake.chunk())
        log.takes = None  # which has hold of all that was needed to read
        ordered = gathering.sequence(by_time)
        return Transcript(logs, register.tables(), self.locator.source(), ordered, iter(ordered))

    def _take(self, one: Read, source: int, intake: Intake) -> None:
        """Take in one item by itself."""
        if self.events is not None:
            self.events.put(one.item if isinstance(one.item, Event) else None)
        if isinstance(one.item, Event):
            intake.event(one.item, source, one.line)
        else:
            intake.report(one.item, source, one.line)
