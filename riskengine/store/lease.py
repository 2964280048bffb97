"""A lease on one piece of upkeep: one process of all is at it, and when that one dies, another goes on."""

import secrets
import time

import msgspec
from sqlalchemy import insert, select, update

from riskengine.store.database import Database
from riskengine.store.tables import META

LEASE_SECONDS = 60.0


class Lease:
    """A lease under `name` in the database's own values, kept for a minute at a time. Clocks may differ by seconds."""

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, f"lease:{name}"
        self._holder, self._until = secrets.token_hex(8), 0.0

    def held(self) -> bool:
        """Take or prolong the lease; False while another process has it."""
        now = time.time()
        if self._until - now > LEASE_SECONDS / 2:
            return True
        with self._database.writing() as connection:
            value = connection.scalar(select(META.c.value).where(META.c.name == self._name).with_for_update())
            if value is not None:
                holder, until = msgspec.json.decode(value, type=tuple[str, float])
                if holder != self._holder and now < until <= now + LEASE_SECONDS:
                    return False
            until = now + LEASE_SECONDS
            kept = msgspec.json.encode((self._holder, until))
            if value is None:
                connection.execute(insert(META).values(name=self._name, value=kept))
            else:
                connection.execute(update(META).values(value=kept).where(META.c.name == self._name))
        self._until = until
        return True

    def release(self) -> None:
        """Let the next process have it at once."""
        if self._until:
            self._until = 0.0
            free = msgspec.json.encode((self._holder, 0.0))
            with self._database.writing() as connection:
                connection.execute(update(META).values(value=free).where(META.c.name == self._name))
