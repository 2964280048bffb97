"""Who came first: the commit of a segment, or the end of the time its batch had."""

import threading
from collections.abc import Mapping

from riskengine.engine.segment import Outcome
from riskengine.errors import StoreUnavailable
from riskengine.metrics import Stages


class Gate:
    """Passed by the engine's thread around each commit, closed by whoever waits for it no longer.

    Only one of the two happens: a segment that was given up on is never committed behind its callers' backs. What was
    committed before stands in `outcomes`, by index. `stages` goes with it, to learn where the time went.
    """

    def __init__(self, stages: Stages | None = None) -> None:
        self.stages = stages or Stages()
        self._lock = threading.Lock()
        self._committing = self._abandoned = False
        self.outcomes: dict[int, Outcome] = {}

    def commit(self) -> None:
        """Announce a commit; StoreUnavailable when the batch was given up on."""
        with self._lock:
            if self._abandoned:
                raise StoreUnavailable("the batch took longer than its callers wait")
            self._committing = True

    def committed(self, outcomes: Mapping[int, Outcome]) -> None:
        """Tell how a commit ended: with these outcomes, or with none when it failed."""
        with self._lock:
            self._committing = False
            self.outcomes |= outcomes

    def abandon(self) -> bool:
        """Give up what is not committed yet; False while a commit is under way."""
        with self._lock:
            if self._committing:
                return False
            self._abandoned = True
            return True
