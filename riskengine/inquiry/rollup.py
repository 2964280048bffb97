"""Keeps the counts by the hour, beside scoring: the last hours again and again, all others in turn.

Events come late, from other clocks, journals and replays; counting whole hours again needs no word of each. The last
two hours are at most a minute behind; what comes late for an earlier one is there after the next round through all.
Where an hour has millions of events and counting takes long, it rests the longer.
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import msgspec
from sqlalchemy.exc import IntegrityError

from riskengine.store import statistics
from riskengine.store.sql import SqlStore
from riskengine.store.statistics import HOUR_MS

EVERY_MS = 10_000
REST = 20  # times as long as a run took there is none
TURN_SECONDS = 0.25  # of a run, for hours in turn: scoring waits for the interpreter meanwhile
_STATE = "statistics"


class State(msgspec.Struct, frozen=True):
    """How far it is. The next run is due at `due_at`, the last one was at `counted_at` (ms since 1970), `next_hour` is
    the next in turn or lies before that one, `whole_since` the oldest hour counted so far without a gap up to now."""

    due_at: int = 0
    counted_at: int = 0
    next_hour: int | None = None
    whole_since: int | None = None


def state_of(store: SqlStore) -> State:
    """Return how far the counts are; all zero before the first run."""
    kept = store.meta(_STATE)
    return State() if kept is None else msgspec.json.decode(kept, type=State)


@dataclass(frozen=True, slots=True)
class Rollup:
    """Counts in one store. Any number of processes may run it: one at a time does, as good as always."""

    store: SqlStore

    def run(self, now: int) -> bool:
        """Count what is due at `now`, ms since 1970; False where another process did so just now."""
        state, began = state_of(self.store), time.monotonic()
        if now < state.due_at:
            return False
        self._note(msgspec.structs.replace(state, due_at=now + EVERY_MS))
        this = now // HOUR_MS
        self._count((this, this - 1))
        first = this - 2 if state.next_hour is None else min(state.next_hour, this - 2)
        reached, next_hour = self._in_turn(first)
        # The first round goes back without a gap; later ones only correct.
        whole = reached if state.whole_since is None else min(state.whole_since, reached)
        rest = max(EVERY_MS, round(REST * (time.monotonic() - began) * 1000))
        self._note(State(now + rest, now, next_hour, whole))
        return True

    def _in_turn(self, hour: int) -> tuple[int, int | None]:
        """Count hours from this one back until the time for it is over, one at least.

        Return the last one counted, and the next in turn: None where there was no event before. Hours without events
        are passed over.
        """
        end, reached = time.monotonic() + TURN_SECONDS, hour + 1
        while reached > hour or time.monotonic() < end:
            with self.store.reading() as connection:
                found = statistics.hour_before(connection, reached)
            if found is None:
                return reached, None
            self._count((found,))
            reached = found
        return reached, reached - 1

    def _count(self, hours: Iterable[int]) -> None:
        for hour in hours:
            with self.store.reading() as connection:
                counts = statistics.counted(connection, hour)
                if statistics.is_kept(connection, hour, counts):
                    continue
            with suppress(IntegrityError):  # another process counted the same hour at the same moment
                self.store.write(partial(statistics.keep, hour=hour, counts=counts))

    def _note(self, state: State) -> None:
        self.store.set_meta(_STATE, msgspec.json.encode(state))
