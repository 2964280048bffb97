"""One transaction's talk with PostgreSQL, in few round trips: what needs no answer waits until something does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from riskengine.store.statements import Row

Question = tuple[str, Any]  # a statement and its values


class Talk:
    """Statements in the driver's own words, within a transaction of SQLAlchemy's.

    The transaction begins on the way of the first statement, by those of `begin`: the driver leaves that to us. Errors
    are SQLAlchemy's, which tells a lost connection from a refusal; one of a statement that was put off comes with the
    next answer, or with the commit.
    """

    def __init__(self, connection: Connection, *begin: str) -> None:
        self._connection = connection
        self._later: list[Question] = [(statement, None) for statement in begin]
        self._idle = True

    def put_off(self, statement: str, values: Any) -> None:
        """Have a statement run before the next question, or before the commit."""
        self._later.append((statement, values))
        self._idle = False

    def ask(self, *questions: Question) -> list[Sequence[Row]]:
        """Run what was put off and then these, in one round trip; return the rows of each question."""
        before, self._later = self._later, []
        self._idle = False
        with self._driver() as driver:
            if not before and len(questions) == 1:
                return [driver.execute(*questions[0], binary=True).fetchall()]
            with driver.pipeline():
                for statement, values in before:
                    driver.execute(statement, values)
                cursors = [driver.execute(*question, binary=True) for question in questions]
            return [cursor.fetchall() for cursor in cursors]

    def run(self) -> None:
        """Run what was put off."""
        if self._later:
            self.ask()

    def commit(self) -> None:
        """Commit along with what was put off; without that the commit is SQLAlchemy's."""
        if self._later and not self._idle:
            self.put_off("COMMIT", None)
            self.run()

    @contextmanager
    def _driver(self) -> Iterator["psycopg.Connection[Row]"]:
        driver = self._connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        try:
            yield driver
        except psycopg.Error as error:
            if driver.broken:
                self._connection.invalidate(error)
            raise DBAPIError.instance(
                "a pipeline", None, error, psycopg.Error, hide_parameters=True, connection_invalidated=driver.broken
            ) from error
