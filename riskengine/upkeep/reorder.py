"""Histories in order of time: after an import has brought what is older than what was known.

Within a user, items are in order of arrival, and an import arrives last. What it brings of users who were known already
may have happened before what they did live: their items are numbered anew, in order of time, and their histories folded
again. What was decided stays as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from riskengine.engine.saved import items_of
from riskengine.history.learn import fold
from riskengine.seal import Seal
from riskengine.store.contract import EventRow, ReportRow
from riskengine.store.database import Database, patiently, translated
from riskengine.store.sql import SqlTransaction
from riskengine.upkeep.refold import NOBODY, Refold

_AT_ONCE = 500


class _Numbers(NamedTuple):
    """New numbers in a user's sequence, by row id."""

    events: dict[int, int]
    reports: dict[int, int]


@dataclass(slots=True)
class Reordering:
    """Puts users' items of one realm in order of time. Each user is a transaction; it may end and begin again."""

    database: Database
    seal: Seal
    realm: str

    def known(self, users: Sequence[bytes]) -> list[bytes]:
        """Return those of these users (user_refs) who have a history."""
        portions = (users[begun : begun + _AT_ONCE] for begun in range(0, len(users), _AT_ONCE))
        return [user for some in portions for user in self._with_history(some)]

    def reorder(self, user: bytes) -> bool:
        """Fold a user's history in order of time; return whether it was folded in another one before."""
        return bool(patiently(lambda: self._reorder(user)))

    def _with_history(self, users: Sequence[bytes]) -> list[bytes]:
        with translated(), self.database.reader.begin() as connection:
            self.database.be_patient(connection)
            return list(SqlTransaction(connection, self.database, NOBODY).load_histories(users))

    def _reorder(self, user: bytes) -> int:
        again = Refold(self.database, self.seal, self.realm, user)
        kept = again.read()
        numbers = _renumbered(kept.events, kept.reports)
        if kept.seq is None or not (numbers.events or numbers.reports):
            return 0
        events = [row._replace(user_seq=numbers.events.get(row.id, row.user_seq)) for row in kept.events]
        reports = [row._replace(user_seq=numbers.reports.get(row.id, row.user_seq)) for row in kept.reports]
        record = fold(items_of(events, reports, self.seal))
        with again.replacing(kept) as connection:
            SqlTransaction(connection, self.database, NOBODY).renumber(numbers.events, numbers.reports)
            again.put(connection, record, kept)
        return 1


def _renumbered(events: list[EventRow], reports: list[ReportRow]) -> _Numbers:
    """Return the numbers that change when the ones there are are dealt out in order of time; a report stands after its
    event."""
    when = {row.id: row.occurred_at for row in events}
    items = [(row.occurred_at, 0, row.user_seq, row.id) for row in events]
    items += [(max(row.at, when.get(row.event or 0, row.at)), 1, row.user_seq, row.id) for row in reports]
    numbers = sorted(item[2] for item in items)
    changed = [(item, seq) for item, seq in zip(sorted(items), numbers, strict=True) if item[2] != seq]
    return _Numbers(*({item[3]: seq for item, seq in changed if item[1] == kind} for kind in (0, 1)))
