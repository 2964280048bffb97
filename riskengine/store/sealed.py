"""What is sealed, column by column; and finding and replacing it: for a new sealing key, and to see which are used."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from riskengine.store.database import Database
from riskengine.store.tables import (
    ACCESS_KEYS,
    ARRIVALS,
    AUDIT,
    BLOCKS,
    CLIENTS,
    EVENT_IDS,
    EVENTS,
    HISTORIES,
    META,
    REPORTS,
    SESSIONS,
    SIGNING_KEYS,
    SPENT_TOKENS,
)

Key = tuple[Any, ...]
_HEAD_BYTES = 5  # schema and key id, see riskengine/seal.py


@dataclass(frozen=True, slots=True)
class Sealed:
    """One sealed column: `name` is what it was sealed as, and `row` says what a row of `bound` columns was sealed for.

    The table has a column `realm`, or `realm` says what stands in for it.
    """

    column: Column[Any]
    name: str
    bound: tuple[Column[Any], ...]
    row: Callable[..., bytes | int]
    realm: str | None = None

    @property
    def table(self) -> Table:
        """The table whose column it is."""
        table: Table = self.column.table
        return table

    @property
    def says(self) -> str:
        """Table and column, for people."""
        return f"{self.table.name}.{self.column.name}"


def _itself(value: bytes | int) -> bytes | int:
    return value


def _text(value: str) -> bytes:
    return value.encode()


def _parts(*columns: int | str) -> bytes:
    """Return what lines of the audit trail and signing keys are bound to: their own clear columns."""
    return json.dumps(columns).encode()


# Whoever adds a sealed column adds it here, else a key that it needs would be retired; a test looks at all columns.
SEALED = (
    Sealed(EVENTS.c.raw, "raw", (EVENTS.c.id,), _itself),
    Sealed(EVENTS.c.assessment, "assessment", (EVENTS.c.id,), _itself),
    Sealed(REPORTS.c.detail, "report", (REPORTS.c.id,), _itself),
    Sealed(HISTORIES.c.record, "history", (HISTORIES.c.user_ref,), _itself),
    Sealed(BLOCKS.c.detail, "block", (BLOCKS.c.id,), _text),
    Sealed(
        SIGNING_KEYS.c.secret, "signing_keys.secret", (SIGNING_KEYS.c.kind, SIGNING_KEYS.c.number), _parts, realm=""
    ),
    Sealed(AUDIT.c.detail, "audit", (AUDIT.c.at, AUDIT.c.actor, AUDIT.c.action, AUDIT.c.object), _parts),
)
# Keyed digests: nothing opens them, and no sealing key made them.
DIGESTS = (
    *(EVENTS.c[name] for name in ("event_key", "fingerprint", "user_ref", "login_index", "device_index")),
    *(EVENTS.c[name] for name in ("session_index", "address_index")),
    *(EVENT_IDS.c.event_key, EVENT_IDS.c.fingerprint, REPORTS.c.user_ref, HISTORIES.c.user_ref),
    *(ACCESS_KEYS.c.digest, SESSIONS.c.digest, CLIENTS.c.digest, CLIENTS.c.old_digest),
    *(SPENT_TOKENS.c.id, SPENT_TOKENS.c.paid, BLOCKS.c.token),
)
# Bytes that are neither: values of the store itself, and row ids.
CLEAR = (META.c.value, ARRIVALS.c.events)


def page(connection: Connection, table: Table, columns: Sequence[ColumnElement[Any]], after: Key | None, most: int,
         *conditions: Any) -> Sequence[Any]:  # fmt: skip
    """Return the next rows of a table in the order of its primary key, which stands in front of the columns asked for.

    `after` is the key of the last row seen, None at the beginning.
    """
    keys = list(table.primary_key.columns)
    wanted = select(*keys, *columns).order_by(*keys).limit(most)
    if after is not None:
        wanted = wanted.where(tuple_(*keys) > tuple_(*map(_literal, after, keys)))
    return connection.execute(wanted.where(*conditions)).all()


def sealed_by_others(columns: Sequence[Sealed], head: bytes) -> Any:
    """Return the condition that one of these columns holds something that does not begin with `head`."""
    return or_(*(and_(func.length(one.column) > 0, _head(one) != literal(head)) for one in columns))


def replace(database: Database, one: Sealed, rows: Sequence[tuple[Key, bytes, bytes]]) -> int:
    """Put new contents of one column in the place of old ones, (primary key, old, new) each, in one transaction.

    A row whose content is another one meanwhile is left as it is. Return how many were replaced.
    """
    keys = list(one.table.primary_key.columns)
    change = (
        update(one.table)
        .values({one.column: bindparam("new_content")})
        .where(*(key == bindparam(f"key_{at}") for at, key in enumerate(keys)))
        .where(one.column == bindparam("old_content"))
    )
    count = 0
    with database.writing() as connection:
        for key, old, new in rows:
            given = {f"key_{at}": value for at, value in enumerate(key)}
            count += connection.execute(change, {**given, "old_content": old, "new_content": new}).rowcount
    return count


def heads(database: Database, one: Sealed) -> Mapping[bytes, int]:
    """Return how many values of a column each key sealed, by the bytes they begin with; it reads the whole table."""
    head = _head(one)
    with database.reader.begin() as connection:
        database.be_patient(connection)
        found = connection.execute(select(head, func.count()).where(func.length(one.column) > 0).group_by(head))
        return {bytes(begin): count for begin, count in found}


def _head(one: Sealed) -> Any:
    return func.substr(one.column, 1, _HEAD_BYTES, type_=one.column.type)


def _literal(value: Any, key: Column[Any]) -> Any:
    return literal(value, key.type)
