"""A new index key: every keyed digest in the database is made again from what is sealed, while no server runs."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, bindparam, delete, exists, func, insert, select, update

from riskengine.compression import compressed, expanded
from riskengine.engine.rows import pack_items, unpack_item
from riskengine.engine.saved import from_journal, history_rows, items_of, load_histories
from riskengine.engine.tokens import Tokeniser, Tokens
from riskengine.errors import RiskEngineError
from riskengine.event import Event
from riskengine.history.learn import fold
from riskengine.journal import Journal
from riskengine.seal import SEAL_CHECK, Seal, SealBroken
from riskengine.store import removal
from riskengine.store.database import Database, translated
from riskengine.store.sql import SqlTransaction
from riskengine.store.tables import (
    BLOCKS,
    COUNTER_USERS,
    COUNTERS,
    DAYS,
    EVENT_IDS,
    EVENTS,
    HISTORIES,
    REPORTS,
)
from riskengine.upkeep.refold import NOBODY

# Under this name the database keeps how far it is; servers do not start until it is gone.
REINDEX = "reindex"
EVENTS_AT_ONCE = 500
USERS_AT_ONCE = 100
_TOKENS = ("event_key", "fingerprint", "user_ref", "login_index", "device_index", "session_index", "address_index")
DONE = "done"
_STAGES = ("events", "histories", "rest", "verify", DONE)
_COUNTED = (COUNTERS, COUNTER_USERS, DAYS)
_pack, _unpack = msgspec.msgpack.encode, msgspec.msgpack.decode


class _Wrong(RiskEngineError):
    """Something is not found by the new key."""


class Mark(msgspec.Struct):
    """How far a run is: all before `stage` is done, and of it all up to the primary key `after`. `key` tells which
    index key it puts in, without revealing it."""

    key: str
    stage: str = _STAGES[0]
    after: int | bytes | None = None


@dataclass(slots=True)
class Reindex:
    """Puts the index key of `seal` into a database that nobody else has open. It may end anywhere and begin again.

    Digests are made from the sealed contents alone, so those that are there may be of any key, or of several.
    """

    database: Database
    seal: Seal
    journal: Path
    tell: Callable[[int], object] = lambda _: None
    done: Counter[str] = field(default_factory=Counter)
    _tokeniser: Tokeniser = field(init=False)
    _moved: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Make tokens by the new key."""
        self._tokeniser = Tokeniser(self.seal)

    def run(self) -> None:
        """Make all digests anew, look at all of them, then have the store know its keys by the new one.

        RiskEngineError, with nothing but digests changed, where one is not right in the end; the next run then begins
        at the beginning.
        """
        while (mark := self._marked()).stage != DONE:
            try:
                self._step(mark)
            except _Wrong:
                with self._transaction() as connection:
                    _note(connection, Mark(mark.key))
                raise
        self._renew_journal()

    def _step(self, mark: Mark) -> None:
        """Do the next rows of a stage; how far it is then is noted in the same transaction."""
        stages = {"events": self._events, "histories": self._histories, "rest": self._rest, "verify": self._verify}
        with self._transaction() as connection:
            mark.after = stages[mark.stage](connection, mark.after)
            if mark.after is None:
                mark.stage = _STAGES[_STAGES.index(mark.stage) + 1]
                if mark.stage == DONE:
                    removal.set_value(connection, SEAL_CHECK, self.seal.check_value())
            _note(connection, mark)

    def _marked(self) -> Mark:
        with self._transaction() as connection:
            mark, ours = marked(connection), key_name(self.seal)
            if mark is None or mark.key != ours:  # another key's run never ended: this one's begins at the beginning
                mark = Mark(ours)
                _note(connection, mark)
        return mark

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with translated(), self.database.writing() as connection:
            self.database.be_patient(connection)
            yield connection

    def _events(self, connection: Connection, after: Any) -> int | None:
        rows = _page(connection, after, EVENTS.c.assessment, *(EVENTS.c[name] for name in _TOKENS))
        changed, users = [], {}
        for row in rows:
            tokens = self._tokens_of(row)
            if tokens is None:
                self.done["events that do not open"] += 1
                continue
            changed.append((row, tokens))
            if row.user_ref is not None and tokens.user_ref is not None and row.user_ref not in self._moved:
                users[row.user_ref] = (tokens.user_ref, row.realm)
        self._move(connection, {old: new for old, new in users.items() if new[0] != old})
        if changed:
            self._rewrite(connection, changed)
        self.done["events"] += len(changed)
        self.tell(len(rows))
        return rows[-1].id if rows else None

    def _tokens_of(self, row: Any) -> Tokens | None:
        """Return the tokens of a stored event, None where it is damaged."""
        try:
            text = expanded(self.seal.open(row.raw, row.realm, "raw", row.id))
        except SealBroken:
            return None
        return self._tokeniser.tokens(row.realm, _named(msgspec.json.decode(text)), text)

    def _rewrite(self, connection: Connection, changed: Sequence[tuple[Any, Tokens]]) -> None:
        """Put new digests, and what is sealed with digests in it, in the place of the old ones."""
        rows = [row for row, _ in changed]
        keys = [{"old_key": row.event_key, "old_event": row.id} for row in rows]
        of_old = (EVENT_IDS.c.event_key == bindparam("old_key")) & (EVENT_IDS.c.event == bindparam("old_event"))
        connection.execute(delete(EVENT_IDS).where(of_old), keys)
        named = [{"event_key": new.event_key, "event": row.id, "fingerprint": new.fingerprint} for row, new in changed]
        connection.execute(insert(EVENT_IDS), named)
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in (*_TOKENS, "assessment")}
        given = [
            {f"new_{name}": value for name, value in zip(_TOKENS, _columns(new), strict=True)}
            | {"old_id": row.id, "new_assessment": self._assessment(row, new)}
            for row, new in changed
        ]
        connection.execute(update(EVENTS).values(values).where(EVENTS.c.id == bindparam("old_id")), given)

    def _assessment(self, row: Any, tokens: Tokens) -> bytes:
        """Return the answer and item of an event by the new key; as they are where they are damaged."""
        try:
            kept = _unpack(expanded(self.seal.open(row.assessment, row.realm, "assessment", row.id)))
        except SealBroken:
            self.done["answers that do not open"] += 1
            return bytes(row.assessment)
        return self.seal.seal(compressed(_pack(_renamed(kept, tokens))), row.realm, "assessment", row.id)

    def _move(self, connection: Connection, users: Mapping[bytes, tuple[bytes, str]]) -> None:
        """Have histories and reports of these users, by their old names, under their new ones."""
        self._moved.update(users)
        if not users:
            return
        found = connection.execute(select(HISTORIES).where(HISTORIES.c.user_ref.in_(users))).all()
        rows = []
        for row in found:
            new, realm = users[row.user_ref]
            record = self.seal.open(row.record, realm, "history", row.user_ref)
            rows.append({**row._asdict(), "user_ref": new, "record": self.seal.seal(record, realm, "history", new)})
        if rows:
            connection.execute(delete(HISTORIES).where(HISTORIES.c.user_ref.in_([row.user_ref for row in found])))
            connection.execute(insert(HISTORIES), rows)
        renamed = update(REPORTS).values(user_ref=bindparam("new")).where(REPORTS.c.user_ref == bindparam("old"))
        connection.execute(renamed, [{"old": old, "new": new} for old, (new, _) in users.items()])

    def _histories(self, connection: Connection, after: Any) -> bytes | None:
        """Fold histories again: they hold keys of devices and networks. One without events has nobody's name left."""
        wanted = select(HISTORIES.c.user_ref, HISTORIES.c.realm).order_by(HISTORIES.c.user_ref).limit(USERS_AT_ONCE)
        users = connection.execute(wanted if after is None else wanted.where(HISTORIES.c.user_ref > after)).all()
        tx = SqlTransaction(connection, self.database, NOBODY)
        for user, realm in users:
            events, reports = tx.items_of(user)
            if not events:
                self.done["histories without events"] += removal.drop_history(connection, user)
                continue
            try:
                record = fold(items_of(events, reports, self.seal))
            except SealBroken:  # known by what it was, as far as that is still met
                self.done["histories kept as they were"] += 1
                continue
            before = load_histories(tx, [user], {user: realm}, self.seal)
            for name in ("seq", "at_risk"):
                record[name] = np.maximum(record[name], before[name])
            tx.save([], [], {}, history_rows([user], record, {user: realm}, self.seal), {})
            self.done["histories"] += 1
        self.tell(len(users))
        return users[-1].user_ref if users else None

    def _rest(self, connection: Connection, _after: Any) -> None:
        """Let go of what cannot be made again: reports on nobody, and counters, which begin anew."""
        of_user = select(EVENTS.c.id).where(EVENTS.c.user_ref == REPORTS.c.user_ref)
        self.done["reports without events"] += connection.execute(delete(REPORTS).where(~exists(of_user))).rowcount
        for table in _COUNTED:
            self.done[f"{table.name} dropped"] += connection.execute(delete(table)).rowcount
        for row in connection.execute(select(BLOCKS).where(BLOCKS.c.token.is_not(None))).all():
            detail = json.loads(self.seal.open(row.detail, row.realm, "block", row.id.encode()))
            token = self.seal.index(row.realm, row.kind, detail["value"])
            connection.execute(update(BLOCKS).values(token=token).where(BLOCKS.c.id == row.id))
            self.done["blocks"] += 1

    def _verify(self, connection: Connection, after: Any) -> int | None:
        """Look at each event by the new key: its digests, its id, its user's history."""
        rows = _page(connection, after, *(EVENTS.c[name] for name in _TOKENS))
        keys = [row.event_key for row in rows]
        of_keys = select(EVENT_IDS).where(EVENT_IDS.c.event_key.in_(keys))
        ids = {row.event_key: row for row in connection.execute(of_keys)}
        users = {row.user_ref for row in rows if row.user_ref is not None}
        found = select(HISTORIES.c.user_ref).where(HISTORIES.c.user_ref.in_(users))
        known = set(connection.scalars(found))
        for row in rows:
            tokens = self._tokens_of(row)
            if tokens is None:
                continue
            right = tuple(getattr(row, name) for name in _TOKENS) == _columns(tokens)
            right = right and ids.get(row.event_key) == (row.event_key, row.id, row.fingerprint)
            if not right or (row.user_ref is not None and row.user_ref not in known):
                raise _Wrong(f"event {row.id} is not found by the new index key, so the old one is kept: run it again")
        self.tell(len(rows))
        return rows[-1].id if rows else None

    def _renew_journal(self) -> None:
        """Write what waits in the journal anew: it holds digests too, and is saved as it is."""
        if not self.journal.is_dir():
            return
        with closing(Journal(self.journal, self.seal)) as journal:

            def renewed(records: list[bytes]) -> None:
                journal.append([self._record(record) for record in records])
                self.done["journal"] += len(records)

            journal.drain(renewed)

    def _record(self, record: bytes) -> bytes:
        arrival: Any = from_journal(record)
        tokens = self._tokeniser.tokens(arrival.realm, arrival.body.event, arrival.text)
        return _pack(_renamed(_unpack(record), tokens))


def marked(connection: Connection) -> Mark | None:
    """Return how far a run is that did not end, None where there is none."""
    kept = removal.value(connection, REINDEX)
    return None if kept is None else msgspec.msgpack.decode(kept, type=Mark)


def key_name(seal: Seal) -> str:
    """Return what tells index keys apart without revealing them."""
    return seal.index("", REINDEX, "").hex()


def to_do(database: Database) -> int:
    """Return how many steps a whole run tells of."""
    with translated(), database.writing() as connection:
        events = connection.scalar(select(func.count()).select_from(EVENTS).where(func.length(EVENTS.c.raw) > 0)) or 0
        return 2 * events + (connection.scalar(select(func.count()).select_from(HISTORIES)) or 0)


def _note(connection: Connection, mark: Mark) -> None:
    removal.set_value(connection, REINDEX, _pack(mark))


def _page(connection: Connection, after: Any, *columns: Any) -> Sequence[Any]:
    """Return the next events that are not emptied, in the order of their ids."""
    wanted = select(EVENTS.c.id, EVENTS.c.realm, EVENTS.c.raw, *columns).where(func.length(EVENTS.c.raw) > 0)
    wanted = wanted.order_by(EVENTS.c.id).limit(EVENTS_AT_ONCE)
    return connection.execute(wanted if after is None else wanted.where(EVENTS.c.id > after)).all()


def _named(fields: Mapping[str, Any]) -> Event:
    """Return an event with all of a stored one that digests are made of."""
    return Event(
        fields["user_id"],
        fields["ip"],
        event_id=fields.get("event_id"),
        login=fields.get("login"),
        device_id=fields.get("device_id"),
        user_agent=fields.get("user_agent"),
        session_id=fields.get("session_id"),
    )


def _columns(tokens: Tokens) -> tuple[bytes | None, ...]:
    """Return the tokens in the order of the columns that hold them."""
    return (
        *(tokens.event_key, tokens.fingerprint, tokens.user_ref),
        *(tokens.login, tokens.device, tokens.session, tokens.address),
    )


def _renamed(kept: dict[str, Any], tokens: Tokens) -> dict[str, Any]:
    """Return what is kept of a decided event, with answer and item by the new key."""
    item = unpack_item(kept["item"])
    item["event"] = int.from_bytes(tokens.event_key[-8:])
    for name in ("line", "prefix", "device", "agent"):
        item[name] = getattr(tokens, f"{name}_key")
    answer = {**kept["answer"], "user_ref": None if tokens.user_ref is None else tokens.user_ref.hex()}
    return {**kept, "answer": answer, "item": pack_items(item)[0]}
