"""What a serving process does beside scoring, once in a while, to keep the store in order."""

import threading
from collections.abc import Callable

import structlog

from riskengine.errors import StoreUnavailable
from riskengine.metrics import UPKEEP_FAILURES
from riskengine.seal import Seal
from riskengine.settings import Settings
from riskengine.store.database import Database, opened, translated
from riskengine.store.lease import Lease
from riskengine.store.partitions import keep
from riskengine.upkeep.pace import Pace
from riskengine.upkeep.purge import due, last_purge, purge, purged
from riskengine.upkeep.resealing import reseal

_log = structlog.get_logger(__name__)
# Upkeep can wait for others longer than a login can.
WAIT_SECONDS = 5.0


class Upkeep:
    """Keeps the store in order: partitions ahead and behind, old rows sealed with the current key, the daily purge.

    Any number of processes may do it; the store lets one at a time. `left_to_another` says that the last run found
    another process at it: should that one have died there, somebody has to look again once its lease is over.
    """

    def __init__(self, settings: Settings, seal: Seal) -> None:
        self._settings, self._seal = settings, seal
        self._stopped = threading.Event()
        self.left_to_another = False

    def run(self, now: int) -> None:
        """Do what is due at `now`, ms since 1970. A failure is logged and counted, and the next run tries again."""
        self._try(lambda: self._partitions(now))
        self._try(lambda: self._alone(now))

    def stop(self) -> None:
        """Let a run under way end at its next step."""
        self._stopped.set()

    def _try(self, work: Callable[[], None]) -> None:
        if self._stopped.is_set():
            return
        try:
            work()
        except StoreUnavailable as error:
            UPKEEP_FAILURES.inc()
            _log.error("upkeep failed", reason=str(error))

    def _partitions(self, now: int) -> None:
        kept = keep(self._settings.database_url, now, self._settings.retention_days, stopped=self._stopped.is_set)
        if kept.made or kept.dropped:
            _log.info("partitions kept", made=kept.made, dropped=kept.dropped)

    def _alone(self, now: int) -> None:
        """Do what one process of all does."""
        database = opened(self._settings.database_url, WAIT_SECONDS)
        try:
            with translated():
                lease = Lease(database, "upkeep")
                self.left_to_another = not lease.held()
                if not self.left_to_another:
                    self._leased(database, lease, now)
                    lease.release()
        finally:
            database.close()

    def _leased(self, database: Database, lease: Lease, now: int) -> None:
        pace = Pace(stopped=lambda: self._stopped.is_set() or not lease.held())
        done = reseal(database, self._seal, pace)
        if done:
            _log.info("sealed anew", values=done, key=self._seal.keys.current)
        if self._purge_is_due(database, now):
            _log.info("purged", **purge(database, self._seal, self._settings, now, pace).run())
            if not pace.stopped():
                purged(database, now)

    def _purge_is_due(self, database: Database, now: int) -> bool:
        last = last_purge(database)
        if last is None:
            purged(database, now)  # a first one comes at its time, not with the first start of this version
        return last is not None and due(self._settings.purge_at, last, now)
