"""The purge: what is older than its retention goes, in short transactions beside the logins, and histories follow."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from sqlalchemy import Connection, Table

from riskengine.engine.saved import items_of
from riskengine.event import DAY_MS
from riskengine.history.learn import fold
from riskengine.history.record import Records, blank
from riskengine.seal import Seal
from riskengine.settings import Settings
from riskengine.store import arrivals, blocks, removal
from riskengine.store.database import Database, patiently, translated
from riskengine.store.partitions import first_id
from riskengine.store.sealed import Key, page
from riskengine.upkeep.pace import Pace
from riskengine.upkeep.refold import Refold

EVENTS_AT_ONCE = 64
ROWS_AT_ONCE = 500
_MARK = "purge:personal"  # the row id below which all is emptied
_LAST = "purge:last"  # when, in ms since 1970


@dataclass(frozen=True, slots=True)
class Retention:
    """How long things are kept, in days after their arrival; None is for ever."""

    personal_days: int | None
    decision_days: int | None

    @classmethod
    def of(cls, settings: Settings) -> "Retention":
        """Return what the settings say; what is personal never outlives its decision."""
        personal, decisions = settings.personal_days, settings.retention_days
        shorter = min((days for days in (personal, decisions) if days is not None), default=None)
        return cls(shorter, decisions)


@dataclass(slots=True)
class Purge:
    """One purge as of `now` (ms since 1970). It may end at any step and begin again; one at a time."""

    database: Database
    seal: Seal
    retention: Retention
    now: int
    deletes_decisions: bool  # PostgreSQL drops whole months instead, see riskengine/store/partitions.py
    pace: Pace = field(default_factory=Pace)
    tell: Callable[[int], object] = lambda _: None
    done: Counter[str] = field(default_factory=Counter)

    def waiting(self) -> Mapping[str, int]:
        """Return how many rows would be taken, by what they are; it changes nothing and reads whole tables."""
        if self._personal is None:
            return {}
        with translated(), self.database.reader.begin() as connection:
            self.database.be_patient(connection)
            decisions = self._decisions if self.deletes_decisions else None
            found = removal.waiting(connection, self._mark(), self._personal, decisions, self._counted_before)
            return {**found, "arrivals": sum(map(len, self._old_arrivals(connection)))}

    def run(self) -> Mapping[str, int]:
        """Take what is due; return how many rows of what that was."""
        with translated():
            if self._decisions is not None and self.deletes_decisions:
                self._repeat("events deleted", self._drop_events)
            if self._personal is not None:
                self._empty_events()
                self._repeat("reports", self._drop_reports)
                self._repeat("arrivals", self._drop_arrivals)
                self._drop_counters()
                self._repeat_once("blocks", self._drop_blocks)
        return dict(self.done)

    @property
    def _personal(self) -> int | None:
        return self._cutoff(self.retention.personal_days)

    @property
    def _decisions(self) -> int | None:
        return self._cutoff(self.retention.decision_days)

    @property
    def _counted_before(self) -> int:
        return self.now - (self.retention.personal_days or 0) * DAY_MS

    def _cutoff(self, days: int | None) -> int | None:
        return None if days is None else first_id(self.now - days * DAY_MS)

    def _mark(self) -> int:
        with self.database.reader.begin() as connection:
            return int(removal.value(connection, _MARK) or b"0")

    def _repeat(self, name: str, step: Callable[[], int]) -> None:
        """Take steps until one finds nothing more."""
        while not self.pace.stopped():
            began = time.monotonic()
            taken = patiently(step)
            self._took(name, taken)
            if not taken:
                return
            self.pace.rest(began)

    def _took(self, name: str, count: int) -> None:
        if count:
            self.done[name] += count
            self.tell(count)

    def _drop_events(self) -> int:
        assert self._decisions is not None
        with self.database.writing() as connection:
            ids = removal.expired(connection, self._decisions, EVENTS_AT_ONCE)
            removal.drop(connection, ids)
        return len(ids)

    def _drop_reports(self) -> int:
        assert self._personal is not None
        with self.database.writing() as connection:
            return removal.drop_reports(connection, self._personal, ROWS_AT_ONCE)

    def _drop_arrivals(self) -> int:
        assert self._personal is not None
        with self.database.writing() as connection:
            return arrivals.drop(connection, self._personal, ROWS_AT_ONCE)

    def _old_arrivals(self, connection: Connection) -> Iterator[list[int]]:
        assert self._personal is not None
        turns = [-1]
        while turns:
            turns = arrivals.old(connection, self._personal, turns[-1], ROWS_AT_ONCE)
            yield turns

    def _empty_events(self) -> None:
        """Empty all events before the cutoff, user by user in the order of their first one."""
        cutoff, mark = self._personal, self._mark()
        assert cutoff is not None
        while not self.pace.stopped():
            with self.database.reader.begin() as connection:
                self.database.be_patient(connection)
                found = removal.personal(connection, mark, cutoff, EVENTS_AT_ONCE)
            if not found:
                break
            mark = found[0][0]  # what lies before is emptied, and what was found is in this run
            self._repeat_once("events emptied", partial(self._empty, [row for row, user, _ in found if user is None]))
            for user, realm in {user: realm for _, user, realm in found if user is not None}.items():
                if not self.pace.stopped():
                    self._purge_user(user, realm, cutoff)
        else:
            return
        with self.database.writing() as connection:
            removal.set_value(connection, _MARK, str(cutoff).encode())

    def _repeat_once(self, name: str, step: Callable[[], int]) -> None:
        began = time.monotonic()
        self._took(name, patiently(step))
        self.pace.rest(began)

    def _empty(self, ids: list[int]) -> int:
        if ids:
            with self.database.writing() as connection:
                removal.empty(connection, ids)
        return len(ids)

    def _purge_user(self, user: bytes, realm: str, cutoff: int) -> None:
        """Fold a user's history again over what is kept, then empty what is not.

        The history first: whoever is interrupted then finds the old events again and does both once more.
        """
        self._repeat_once("histories folded again", partial(self._refold, user, realm, cutoff))

        def step() -> int:
            with self.database.writing() as connection:
                ids = removal.events_of(connection, user, cutoff, EVENTS_AT_ONCE)
                removal.empty(connection, ids)
            return len(ids)

        self._repeat("events emptied", step)

    def _refold(self, user: bytes, realm: str, cutoff: int) -> int:
        """Put the history folded from the kept items in the place of the stored one, unless that has moved on."""
        again = Refold(self.database, self.seal, realm, user)
        stored = again.read()
        kept = {row.id for row in stored.events if row.id >= cutoff}
        told = [row for row in stored.reports if (row.id >= cutoff if row.event is None else row.event in kept)]
        left = [row for row in stored.events if row.id in kept]
        record = _folded(items_of(left, told, self.seal) if left or told else None)
        if stored.seq is None:
            return 0
        with again.replacing(stored) as connection:
            if not left and not told and not stored.at_risk:
                return removal.drop_history(connection, user)
            again.put(connection, record, stored)
        return 1

    def _drop_counters(self) -> None:
        for table, age, unit in removal.COUNTED:
            after = None
            while not self.pace.stopped():
                began = time.monotonic()
                with self.database.reader.begin() as connection:
                    self.database.be_patient(connection)
                    rows = page(connection, table, [], after, ROWS_AT_ONCE, age < self._counted_before // unit)
                if not rows:
                    break
                after = tuple(rows[-1])
                self._took(table.name, patiently(partial(self._drop_rows, table, [tuple(row) for row in rows])))
                self.pace.rest(began)

    def _drop_blocks(self) -> int:
        with self.database.writing() as connection:
            return blocks.drop_ended(connection, self._counted_before)

    def _drop_rows(self, table: Table, rows: Sequence[Key]) -> int:
        with self.database.writing() as connection:
            removal.drop_rows(connection, table, rows)
        return len(rows)


def purge(
    database: Database,
    seal: Seal,
    settings: Settings,
    now: int,
    pace: Pace,
    tell: Callable[[int], object] = lambda _: None,
) -> Purge:
    """Return the purge that these settings ask for."""
    return Purge(database, seal, Retention.of(settings), now, settings.is_embedded, pace, tell)


def last_purge(database: Database) -> int | None:
    """Return when the last purge was done, ms since 1970; None if none ever was."""
    with translated(), database.reader.begin() as connection:
        found = removal.value(connection, _LAST)
    return None if found is None else int(found)


def purged(database: Database, now: int) -> None:
    """Remember that a purge was done."""
    with translated(), database.writing() as connection:
        removal.set_value(connection, _LAST, str(now).encode())


def due(at: str, last: int, now: int) -> bool:
    """Return whether a daily task at `at` (HH:MM, UTC) that was last done at `last` is due at `now`, ms since 1970.

    >>> due("03:30", 3 * 3_600_000, 4 * 3_600_000), due("03:30", 4 * 3_600_000, 27 * 3_600_000), due("never", 0, 10**13)
    (True, False, False)
    """
    if at == "never":
        return False
    minutes = int(at[:2]) * 60 + int(at[3:])
    today = now // DAY_MS * DAY_MS + minutes * 60_000
    return last < (today if today <= now else today - DAY_MS)


def _folded(items: np.ndarray | None) -> Records:
    return blank(1) if items is None else fold(items)
