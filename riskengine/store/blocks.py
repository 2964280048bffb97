"""What somebody shut out, as the database keeps it; whoever calls holds the connection."""

from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from riskengine.store.tables import BLOCKS


class BlockRow(NamedTuple):
    """One block. `token` is the blind index of a user or device, `asn` of an autonomous system its number, else None;
    `detail` is sealed. Times are ms since 1970; `lifted_at` is None unless somebody ended it before its time."""

    id: str
    realm: str
    kind: str
    token: bytes | None
    asn: int | None
    detail: bytes
    who: str
    created_at: int
    expires_at: int
    lifted_at: int | None = None


def add(connection: Connection, row: BlockRow, most: int) -> bool:
    """Store a block; False where `most` are in force already."""
    if len(ids_in_force(connection, row.created_at)) >= most:
        return False
    connection.execute(insert(BLOCKS).values(row._asdict()))
    return True


def ids_in_force(connection: Connection, at: int) -> frozenset[str]:
    """Return the ids of all that hold at a moment: nothing else of a block ever changes."""
    wanted = select(BLOCKS.c.id).where(BLOCKS.c.expires_at > at, BLOCKS.c.lifted_at.is_(None))
    return frozenset(connection.scalars(wanted))


def rows_in_force(connection: Connection, at: int, realm: str | None = None) -> list[BlockRow]:
    """Return all that hold at a moment, of one realm or of all, the newest first."""
    wanted = select(BLOCKS).where(BLOCKS.c.expires_at > at, BLOCKS.c.lifted_at.is_(None))
    if realm is not None:
        wanted = wanted.where(BLOCKS.c.realm == realm)
    ordered = wanted.order_by(BLOCKS.c.created_at.desc(), BLOCKS.c.id)
    return [BlockRow(*row) for row in connection.execute(ordered)]


def newest(connection: Connection, realm: str, most: int) -> list[BlockRow]:
    """Return the newest blocks of a realm, also those that ended."""
    wanted = select(BLOCKS).where(BLOCKS.c.realm == realm)
    ordered = wanted.order_by(BLOCKS.c.created_at.desc(), BLOCKS.c.id).limit(most)
    return [BlockRow(*row) for row in connection.execute(ordered)]


def find(connection: Connection, realm: str, block_id: str) -> BlockRow | None:
    """Return one block by its id."""
    row = connection.execute(select(BLOCKS).where(BLOCKS.c.id == block_id, BLOCKS.c.realm == realm)).one_or_none()
    return None if row is None else BlockRow(*row)


def of_token(connection: Connection, token: bytes) -> list[BlockRow]:
    """Return the blocks of a user or device, also those that ended."""
    wanted = select(BLOCKS).where(BLOCKS.c.token == token).order_by(BLOCKS.c.created_at, BLOCKS.c.id)
    return [BlockRow(*row) for row in connection.execute(wanted)]


def lift(connection: Connection, realm: str, block_id: str, at: int) -> None:
    """Note that a block ended at `at`, a first time only."""
    lifted = update(BLOCKS).values(lifted_at=func.coalesce(BLOCKS.c.lifted_at, at))
    connection.execute(lifted.where(BLOCKS.c.id == block_id, BLOCKS.c.realm == realm))


def drop_of(connection: Connection, token: bytes) -> int:
    """Delete the blocks of a user or device."""
    return connection.execute(delete(BLOCKS).where(BLOCKS.c.token == token)).rowcount


def drop_ended(connection: Connection, before: int) -> int:
    """Delete the blocks that expired before a time."""
    return connection.execute(delete(BLOCKS).where(BLOCKS.c.expires_at < before)).rowcount
