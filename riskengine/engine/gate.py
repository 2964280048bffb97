"""Who came first: the commit of a batch, or the end of the time it had."""

import threading

from riskengine.errors import StoreUnavailable


class Gate:
    """Passed by the engine's thread just before it commits, closed by whoever waits for it no longer.

    Only one of the two happens: a batch that was given up on is never committed behind its callers' backs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._committing = self._abandoned = False

    def commit(self) -> None:
        """Announce a commit; StoreUnavailable when the batch was given up on."""
        with self._lock:
            if self._abandoned:
                raise StoreUnavailable("the batch took longer than its callers wait")
            self._committing = True

    def abandon(self) -> bool:
        """Give the batch up; False when its commit has begun already."""
        with self._lock:
            if self._committing:
                return False
            self._abandoned = True
            return True
