"""What a serving process does beside scoring, once in a while, to keep the store in order."""

import threading

import structlog

from riskengine.errors import StoreUnavailable
from riskengine.metrics import UPKEEP_FAILURES
from riskengine.settings import Settings
from riskengine.store.partitions import keep

_log = structlog.get_logger(__name__)


class Upkeep:
    """Keeps the partitions of events: months ahead are there, and those beyond the retention are not.

    Any number of processes may do it; the store lets one at a time.
    """

    def __init__(self, settings: Settings) -> None:
        self._url, self._retention_days = settings.database_url, settings.retention_days
        self._stopped = threading.Event()

    def run(self, now: int) -> None:
        """Do what is due at `now`, ms since 1970. A failure is logged and counted, and the next run tries again."""
        try:
            kept = keep(self._url, now, self._retention_days, stopped=self._stopped.is_set)
        except StoreUnavailable as error:
            UPKEEP_FAILURES.inc()
            _log.error("upkeep failed", reason=str(error))
            return
        if kept.made or kept.dropped:
            _log.info("partitions kept", made=kept.made, dropped=kept.dropped)

    def stop(self) -> None:
        """Let a run under way end at its next step."""
        self._stopped.set()
