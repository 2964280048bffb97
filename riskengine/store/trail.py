"""The audit trail in the database: lines that are only ever added, each linked to all before it."""

import hashlib
import json
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, text

from riskengine.store.tables import AUDIT

_LINES_AT_ONCE = 1000


class AuditLine(NamedTuple):
    """One line. `digest` is of the detail in clear; lines from before migration 0008 have none, nor always a `link`."""

    id: int
    at: int
    realm: str
    actor: str
    action: str
    object: str
    detail: bytes
    digest: str | None
    link: str | None


def linked(previous: str, line: AuditLine) -> str:
    """Return the link of a line: a digest of the link before it, "" at the beginning, and of what the line says.

    The sealed detail is in it by its digest, so that it can be sealed with another key.
    """
    said = [previous, line.at, line.realm, line.actor, line.action, line.object, line.digest]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def append(connection: Connection, line: AuditLine) -> None:
    """Add a line after all others, whichever its id and link; nobody else adds one until the transaction ends."""
    if connection.dialect.name == "postgresql":
        # On SQLite a transaction that writes is alone already.
        connection.execute(text("LOCK TABLE audit IN EXCLUSIVE MODE"))
    values = line._asdict() | {"link": linked(_last_link(connection), line)}
    del values["id"]
    connection.execute(insert(AUDIT).values(values))


def lines_before(connection: Connection, first: int | None) -> list[AuditLine]:
    """Return the lines before this id, the newest first, at most a thousand; None begins with the last line."""
    page = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(_LINES_AT_ONCE)
    return [AuditLine(*row) for row in connection.execute(page if first is None else page.where(AUDIT.c.id < first))]


def _last_link(connection: Connection) -> str:
    """Return the link that the next line continues, over lines that an older version left without."""
    without: list[AuditLine] = []
    link = ""
    for line in _backwards(connection):
        if line.link is not None:
            link = line.link
            break
        without.append(line)
    for line in reversed(without):
        link = linked(link, line)
    return link


def _backwards(connection: Connection) -> Iterator[AuditLine]:
    for row in connection.execute(select(AUDIT).order_by(AUDIT.c.id.desc()).limit(1)):
        yield AuditLine(*row)
        first = row.id
        while page := lines_before(connection, first):
            yield from page
            first = page[-1].id
