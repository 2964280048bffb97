"""A user's history folded again beside the logins: read, folded, and put in the place of the stored one if that has not
moved on meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from riskengine.engine.saved import history_rows, load_histories
from riskengine.errors import StoreUnavailable
from riskengine.history.record import Records
from riskengine.seal import Seal
from riskengine.store.contract import EventRow, ReportRow
from riskengine.store.database import Database
from riskengine.store.sql import SqlTransaction

NOBODY = 0  # as a worker: upkeep counts nothing


class Kept(NamedTuple):
    """What is stored of a user. `seq` is that of the history, None without one; `at_risk` what the history says."""

    events: list[EventRow]
    reports: list[ReportRow]
    seq: int | None
    at_risk: bool


@dataclass(slots=True)
class Refold:
    """Reads what is stored of a user (by user_ref) of a realm, and replaces the history."""

    database: Database
    seal: Seal
    realm: str
    user: bytes

    def read(self) -> Kept:
        """Return what is stored."""
        with self.database.reader.begin() as connection:
            self.database.be_patient(connection)
            tx = SqlTransaction(connection, self.database, NOBODY)
            [record] = load_histories(tx, [self.user], {self.user: self.realm}, self.seal)
            return Kept(*tx.items_of(self.user), self._seq(tx), bool(record["at_risk"]))

    @contextmanager
    def replacing(self, kept: Kept) -> Iterator[Connection]:
        """Give the connection of a transaction that holds the user's lock; StoreUnavailable where the history moved on
        since it was read, or another holds the user."""
        with self.database.writing() as connection:
            tx = SqlTransaction(connection, self.database, NOBODY)
            if self.user not in tx.lock_users([self.user]) or self._seq(tx) != kept.seq:
                raise StoreUnavailable("a user's history moved on while it was folded")
            yield connection

    def put(self, connection: Connection, record: Records, kept: Kept) -> None:
        """Store a folded history; who was at risk stays so until remediated."""
        record["seq"] = kept.seq
        record["at_risk"] |= kept.at_risk
        tx = SqlTransaction(connection, self.database, NOBODY)
        tx.save([], [], {}, history_rows([self.user], record, {self.user: self.realm}, self.seal), {})

    def _seq(self, tx: SqlTransaction) -> int | None:
        row = tx.load_histories([self.user]).get(self.user)
        return None if row is None else row.seq
