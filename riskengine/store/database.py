"""One interface to the two databases, and what their failures mean to a caller."""

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from riskengine.errors import SettingsError, StoreUnavailable
from riskengine.store.postgresql import Postgresql
from riskengine.store.sqlite import Sqlite
from riskengine.store.statements import Row

T = TypeVar("T")
TRIES = 20


class Database(Protocol):
    """What differs between the databases. Transactions of `reader` only read."""

    engine: Engine
    reader: Engine

    def writing(self) -> AbstractContextManager[Connection]:
        """Begin a transaction that may write; it commits, or rolls back on an exception."""

    def keep_others_out(self) -> None:
        """Before the first connection: have each transaction raise StoreUnavailable while anybody else is connected."""

    def close(self) -> None:
        """Let go of all connections and threads."""

    def exists(self) -> bool:
        """Return whether there is something to connect to."""

    def make(self) -> None:
        """Make what must be there before connecting."""

    def lock_for_upgrade(self, connection: Connection) -> None:
        """Wait until no other process changes the schema, and keep others from it until the transaction ends."""

    def be_patient(self, connection: Connection) -> None:
        """Let the statements of this transaction take minutes."""

    def lock_users(self, connection: Connection, users: Collection[bytes]) -> set[bytes]:
        """Lock what can be had of these users without waiting."""

    def claim(self, connection: Connection, claims: Sequence[Row]) -> dict[bytes, int]:
        """Take the event ids that are free; return the others with their row ids. The claims' keys differ."""

    def spend(self, connection: Connection, claims: Sequence[Row]) -> dict[bytes, tuple[bytes, int]]:
        """Note one-time tokens that were not used; return the others with what they paid for, and when."""

    def find(self, connection: Connection, name: str, keys: Collection[Any]) -> Iterable[Row]:
        """Give the rows of one of FINDS whose column is among `keys`."""

    def write(self, connection: Connection, name: str, rows: Sequence[Row]) -> None:
        """Write rows by one of the named statements."""

    def cells(self, connection: Connection, spans: Sequence[Row]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Give the counts and the users of all cells in spans that do not overlap; there is at least one."""

    def days(self, connection: Connection, spans: Sequence[Row]) -> Sequence[Any]:
        """Give the day cells in spans (key, first, last) of different keys; there is at least one."""


_KINDS: dict[str, type[Sqlite] | type[Postgresql]] = {"sqlite": Sqlite, "postgresql": Postgresql}


def opened(url: str, wait_seconds: float | None = None) -> Database:
    """Return the database that `url` names, without connecting; SettingsError if it names none we speak to.

    `wait_seconds` is how long to wait for locks of others, by default what a batch can afford.
    """
    try:
        parsed: URL = make_url(url)
        kind = _KINDS[parsed.get_backend_name()]
        return kind(parsed) if wait_seconds is None else kind(parsed, wait_seconds)
    except (ArgumentError, KeyError, ModuleNotFoundError, ValueError):
        # Without the URL and the cause, which may quote a password.
        raise SettingsError("DATABASE_URL must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME") from None


def opened_alone(url: str, wait_seconds: float) -> Database:
    """Return the database for work beside which nobody may be connected."""
    database = opened(url, wait_seconds)
    database.keep_others_out()
    return database


# The same, of statements that go to the driver itself.
_DRIVERS = (
    *(sqlite3.OperationalError, sqlite3.InterfaceError, sqlite3.InternalError),
    *(psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError),
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn every way in which a database can fail to answer into StoreUnavailable; defects pass as they are."""
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, *_DRIVERS) as error:
        cause = type(getattr(error, "orig", error)).__name__
        raise StoreUnavailable(f"the database (RISKENGINE_DATABASE_URL) did not answer ({cause})") from error
    except PoolTimeout as error:
        raise StoreUnavailable("every connection to the database is busy") from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        if type(error) in (DatabaseError, sqlite3.DatabaseError):  # a damaged file; its subclasses are defects of ours
            raise StoreUnavailable("the database file is damaged or is none") from error
        raise


def patiently(
    step: Callable[[], T], pause_seconds: float = 0.05, stopped: Callable[[], bool] = lambda: False
) -> T:
    """Return what a step gives, which is taken up to TRIES times while the database, or a user in it, is busy.

    The pauses between grow, each by `pause_seconds`. StoreUnavailable when it still is, or once `stopped` says so.
    """
    tries = 0
    while True:
        tries += 1
        try:
            with translated():
                return step()
        except StoreUnavailable:
            if tries == TRIES or stopped():
                raise
        time.sleep(pause_seconds * tries)
