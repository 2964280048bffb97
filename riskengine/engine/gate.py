"""Who came first: the commit of a segment, or the end of the time its batch had; and what a lost commit had decided."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from riskengine.engine.payment import UNPAID
from riskengine.engine.rows import unpack_item
from riskengine.engine.saved import journal_record
from riskengine.engine.segment import Busy, Outcome, Segment
from riskengine.errors import StoreUnavailable
from riskengine.metrics import Stages


@dataclass(frozen=True, slots=True)
class Doubtful:
    """An outcome whose commit was sent and not confirmed; `record` makes it last, None if nothing new was to be saved.

    Nobody can tell whether the store has it. So it is what the caller must be told: if it is stored, the record will be
    passed over as a repeat of the same answer, else it is saved from the record.
    """

    outcome: Outcome
    record: bytes | None


class Gate:
    """Passed by the engine's thread around each commit, closed by whoever waits for it no longer.

    A segment that was given up on before its commit is never committed behind its callers' backs. What was committed
    stands in `outcomes`, by index. `stages` goes with it, to learn where the time went.
    """

    def __init__(self, stages: Stages | None = None) -> None:
        self.stages = stages or Stages()
        self._lock = threading.Lock()
        self._closed = False
        self._sent: dict[int, Segment] = {}
        self.outcomes: dict[int, Outcome] = {}

    def commit(self, segment: Segment) -> None:
        """Announce a commit; StoreUnavailable when the batch was given up on."""
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the batch took longer than its callers wait")
            self._sent |= dict.fromkeys(segment.outcomes, segment)

    def committed(self, outcomes: Mapping[int, Outcome]) -> None:
        """Tell how a commit ended: with these outcomes, or with none when that is not known."""
        with self._lock:
            self.outcomes |= outcomes
            for index in outcomes:
                self._sent.pop(index, None)

    def sure(self) -> bool:
        """Return whether it is known of each commit how it ended."""
        return not self._sent

    def close(self) -> tuple[dict[int, Outcome], dict[int, Doubtful]]:
        """Give up what is not on its way to the store yet; return what is stored, and what may be."""
        with self._lock:
            self._closed = True
            doubtful = {index: _doubtful(segment, index) for index, segment in self._sent.items()}
            return dict(self.outcomes), {i: found for i, found in doubtful.items() if found is not None}


def _doubtful(segment: Segment, index: int) -> Doubtful | None:
    """Return what an item was to be told; None for what can simply be asked again: a report, or who had to wait."""
    outcome = segment.outcomes[index]
    if isinstance(outcome, Busy) or index in segment.others:
        return None
    entry = next((one for one in segment.entries if one.index == index), None)
    if entry is not None and entry.arrival.ticket is not None and isinstance(outcome, dict):
        # Whether it was paid for is in doubt too, and the journal must not do it instead: it has to be sent again.
        return Doubtful(StoreUnavailable(UNPAID), None)
    item = segment.items.get(index)
    if item is None or not isinstance(outcome, dict):
        return Doubtful(outcome, None)
    assert entry is not None
    kept = unpack_item(item)
    kept["fallback"] = True  # should it be saved from the journal, it comes late and teaches as such
    return Doubtful(outcome, journal_record(entry, outcome, kept))
