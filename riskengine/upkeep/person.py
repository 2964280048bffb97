"""One person: all that is held on them, and taking all of it out, with proof."""

import json
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import make_url, select

from riskengine.audit import ERASED, unsalted
from riskengine.check import format_time
from riskengine.engine.saved import from_journal, load_histories, opened, raw_of, report_detail
from riskengine.engine.tokens import Tokeniser
from riskengine.errors import SealKeyError
from riskengine.journal import Journal
from riskengine.seal import Seal, SealBroken
from riskengine.store import blocks, removal
from riskengine.store.blocks import BlockRow
from riskengine.store.contract import EventRow
from riskengine.store.database import Database, patiently, translated
from riskengine.store.sealed import SEALED, page, replace
from riskengine.store.sql import SqlTransaction
from riskengine.store.statements import signed
from riskengine.store.tables import AUDIT, COUNTER_USERS, COUNTERS
from riskengine.upkeep.purge import EVENTS_AT_ONCE, ROWS_AT_ONCE
from riskengine.upkeep.refold import NOBODY

CHECKPOINT_SECONDS = 10.0
_NEEDLE = slice(5, 21)  # of something sealed: its nonce and what follows, found nowhere else
_AUDIT = next(one for one in SEALED if one.table is AUDIT)


@dataclass(slots=True)
class Person:
    """Whoever has this user id in a realm."""

    database: Database
    seal: Seal
    realm: str
    user_id: str
    ref: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Find them by the blind index of the user id."""
        self.ref = Tokeniser(self.seal).user_ref(self.realm, self.user_id)

    def held(self) -> dict[str, Any]:
        """Return all that is held on them, as JSON can tell it."""
        with translated(), self.database.reader.begin() as connection:
            self.database.be_patient(connection)
            tx = SqlTransaction(connection, self.database, NOBODY)
            events, reports = tx.items_of(self.ref)
            stored = tx.load_histories([self.ref])
            shut_out = blocks.of_token(connection, self.ref)
            record = load_histories(tx, [self.ref], {self.ref: self.realm}, self.seal)[0]
        return {
            "realm": self.realm,
            "user_id": self.user_id,
            "user_ref": self.ref.hex(),
            "events": [self._told(row) for row in events],
            "reports": [
                {"result": row.result, "at": format_time(row.at), **report_detail(row, self.seal)} for row in reports
            ],
            "blocks": [self._blocked(row) for row in shut_out],
            "history": {name: record[name].tolist() for name in record.dtype.names or ()} if stored else None,
            "audit": [line | {"detail": unsalted(line["detail"])} for _, line in self._audited({*self._names(events)})],
        }

    def _told(self, row: EventRow) -> dict[str, Any]:
        event = {**raw_of(row, self.seal), "received_at": format_time(row.received_at)}
        return {"event": event, "answer": opened(row, self.seal)["answer"], "state": row.state}

    def _blocked(self, row: BlockRow) -> dict[str, Any]:
        detail = json.loads(self.seal.open(row.detail, row.realm, "block", row.id.encode()))
        times = {name: getattr(row, name) for name in ("created_at", "expires_at", "lifted_at")}
        told = {name: None if at is None else format_time(at) for name, at in times.items()}
        return {"why": detail["why"], "by": row.who, **told}

    def _names(self, events: Sequence[EventRow]) -> Iterator[str]:
        """Yield what the audit trail may call them by."""
        yield from (self.user_id, self.ref.hex())
        for row in events:
            event = raw_of(row, self.seal)
            yield from (event[name] for name in ("event_id", "login") if event.get(name))

    def _audited(self, names: set[str]) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Yield the lines of the audit trail whose detail has one of these names: the row, and the line as told."""
        columns = [AUDIT.c.realm, AUDIT.c.at, AUDIT.c.actor, AUDIT.c.action, AUDIT.c.object, AUDIT.c.detail]
        after = None
        while True:
            with translated(), self.database.reader.begin() as connection:
                rows = page(connection, AUDIT, columns, after, ROWS_AT_ONCE)
            for row in rows:
                bound = _AUDIT.row(row.at, row.actor, row.action, row.object)
                try:
                    detail = json.loads(self.seal.open(row.detail, row.realm, _AUDIT.name, bound))
                except (SealBroken, SealKeyError):
                    continue
                if row.realm == self.realm and _renamed(detail, names, "") != detail:
                    line = {"at": format_time(row.at), "actor": row.actor, "action": row.action, "detail": detail}
                    yield row, line
            if not rows:
                return
            after = (rows[-1][0],)


@dataclass(slots=True)
class Erasure:
    """Takes a person out of everything. It may be interrupted and begun again: the history goes last."""

    person: Person
    journal: Path
    pseudonym: str = field(default_factory=lambda: f"erased-{secrets.token_hex(8)}")
    done: Counter[str] = field(default_factory=Counter)
    needles: set[bytes] = field(default_factory=set)

    def run(self) -> None:
        """Take out events with their ids and reports, counters, journal and history; rename them in the audit trail."""
        person = self.person
        with translated():
            with person.database.reader.begin() as connection:
                person.database.be_patient(connection)
                tx = SqlTransaction(connection, person.database, NOBODY)
                events, _ = tx.items_of(person.ref)
                history = tx.load_histories([person.ref]).get(person.ref)
                shut_out = blocks.of_token(connection, person.ref)
            self.needles |= {person.ref, *(row.raw[_NEEDLE] for row in events if row.raw)}
            self.needles |= {row.assessment[_NEEDLE] for row in events if row.assessment}
            self.needles |= {row.detail[_NEEDLE] for row in shut_out}
            if history is not None:
                self.needles.add(history.record[_NEEDLE])
            self._rename({*person._names(events)})
            self.done["reports"] += patiently(lambda: self._drop(removal.drop_reports_of))
            while patiently(self._drop_events):
                pass
            self._drop_counters()
            self.done["blocks"] += patiently(lambda: self._drop(blocks.drop_of))
            self._drop_from_journal()
            self.done["histories"] += patiently(lambda: self._drop(removal.drop_history))

    def left(self, folders: Sequence[Path]) -> list[str]:
        """Return where anything of them is still found: rows by their index, and files below `folders` by content."""
        person, found = self.person, []
        with translated(), person.database.reader.begin() as connection:
            person.database.be_patient(connection)
            tx = SqlTransaction(connection, person.database, NOBODY)
            rows = (*tx.items_of(person.ref), tx.load_histories([person.ref]), blocks.of_token(connection, person.ref))
            if any(rows):
                found.append("the database's tables")
        for folder in folders:
            for file in sorted(folder.rglob("*")):
                if file.is_file() and _holds(file, self.needles):
                    found.append(str(file))
        return found

    def _drop_events(self) -> int:
        with self.person.database.writing() as connection:
            ids = removal.events_of(connection, self.person.ref, None, EVENTS_AT_ONCE)
            removal.drop(connection, ids)
        self.done["events"] += len(ids)
        return len(ids)

    def _drop(self, step: Any) -> int:
        with self.person.database.writing() as connection:
            count: int = step(connection, self.person.ref)
        return count

    def _drop_counters(self) -> None:
        """Take out the attempts counted of them, and that they were among those tried from an address."""
        person = self.person
        key64 = signed(person.seal.key64(person.realm, "user", person.user_id) >> 1)
        key32 = person.seal.key32(person.realm, "user", person.user_id)
        for table, mine in (
            (COUNTERS, (COUNTERS.c.kind == "user") & (COUNTERS.c.key == key64)),
            (COUNTER_USERS, (COUNTER_USERS.c.user_key == key32) | (COUNTER_USERS.c.key == key64)),
        ):
            with person.database.reader.begin() as connection:
                person.database.be_patient(connection)
                rows = [tuple(row) for row in connection.execute(select(*table.primary_key.columns).where(mine))]
            for at in range(0, len(rows), ROWS_AT_ONCE):
                with person.database.writing() as connection:
                    removal.drop_rows(connection, table, rows[at : at + ROWS_AT_ONCE])
            self.done[table.name] += len(rows)

    def _drop_from_journal(self) -> None:
        """Take their records out of what ended processes left; what a running server holds reaches the store first."""
        if not self.journal.is_dir():
            return
        with closing(Journal(self.journal, self.person.seal)) as journal:

            def keep(records: list[bytes]) -> None:
                others = [record for record in records if not self._is_theirs(record)]
                self.done["journal"] += len(records) - len(others)
                journal.append(others)

            journal.drain(keep)

    def _is_theirs(self, record: bytes) -> bool:
        arrival = from_journal(record)
        event: Any = getattr(arrival.body, "event", arrival.body)
        return arrival.realm == self.person.realm and event.user_id == self.person.user_id

    def _rename(self, names: set[str]) -> None:
        """Call them by a pseudonym in the audit trail that nothing leads back from."""
        seal = self.person.seal
        for row, line in list(self.person._audited(names)):
            told = _renamed(line["detail"], names, self.pseudonym) | {ERASED: self.pseudonym}
            detail = json.dumps(told, ensure_ascii=False).encode()
            bound = _AUDIT.row(row.at, row.actor, row.action, row.object)
            new = seal.seal(detail, row.realm, _AUDIT.name, bound)
            self.needles.add(row.detail[_NEEDLE])
            self.done["audit lines renamed"] += replace(self.person.database, _AUDIT, [((row[0],), row.detail, new)])


def checkpoint(url: str) -> bool:
    """Move an SQLite database's log into its file and empty it, so that no old page is left in it; False if in vain."""
    file = make_url(url).database
    if not url.startswith("sqlite") or file is None:
        return True
    end = time.monotonic() + CHECKPOINT_SECONDS
    with closing(sqlite3.connect(file, timeout=1, isolation_level=None)) as connection:
        while time.monotonic() < end:
            with suppress(sqlite3.OperationalError):
                if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
                    return True
            time.sleep(0.05)
    return False


def _renamed(value: Any, names: set[str], name: str) -> Any:
    """Return a detail with each of the names replaced."""
    if isinstance(value, str):
        return name if value in names else value
    if isinstance(value, list):
        return [_renamed(one, names, name) for one in value]
    if isinstance(value, dict):
        return {key: _renamed(one, names, name) for key, one in value.items()}
    return value


def _holds(file: Path, needles: set[bytes]) -> bool:
    """Return whether a file holds any of the needles, read in stretches."""
    keep = max(map(len, needles), default=1) - 1
    before = b""
    with suppress(FileNotFoundError), file.open("rb") as opened_file:
        while content := opened_file.read(1 << 22):
            stretch = before + content
            if any(needle in stretch for needle in needles):
                return True
            before = stretch[-keep:]
    return False
