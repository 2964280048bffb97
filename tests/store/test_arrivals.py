"""Which events each transaction saved: in an order that nothing is ever added to from behind."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.errors import InvalidInput, StoreUnavailable
from riskengine.inquiry.following import Reached, arrived
from riskengine.store import arrivals
from riskengine.store.contract import Store
from riskengine.store.database import opened
from riskengine.store.memory import MemoryStore
from riskengine.store.sql import SqlStore
from tests.store.rows import event


class GivenUp(Exception):
    """A transaction that is rolled back."""


def save(store: Store, *ids: int) -> None:
    """Save events, in one transaction."""
    with store.transaction() as tx:
        tx.save([event(row) for row in ids], [], {}, [], {})


def save_in_vain(store: Store, *ids: int) -> None:
    """Save events in a transaction that is rolled back."""
    with suppress(GivenUp), store.transaction() as tx:
        tx.save([event(row) for row in ids], [], {}, [], {})
        raise GivenUp


def saved(store: Store, turn: int = 0, most: int = 100) -> list[list[int]]:
    return [list(rows) for _, rows in store.arrivals(turn, most).saves]


def test_what_transactions_saved_comes_in_their_order_whatever_the_row_ids(store: Store) -> None:
    assert saved(store) == []
    save(store, 7, 8)
    with store.transaction() as tx:
        tx.save([], [], {}, [], {})
    save(store, 3)

    found = store.arrivals(0, 100)

    assert [list(rows) for _, rows in found.saves] == [[7, 8], [3]]
    turns = [turn for turn, _ in found.saves]
    assert turns == sorted(set(turns))
    assert turns[-1] < found.settled
    assert saved(store, turns[1]) == [[3]]
    assert saved(store, turns[1] + 1) == []
    assert saved(store, most=1) == [[7, 8]]


def test_what_was_rolled_back_never_arrived(store: Store) -> None:
    save(store, 1)
    save_in_vain(store, 2)
    save(store, 3)

    assert saved(store) == [[1], [3]]


def test_two_saves_of_a_transaction_both_arrive(store: Store) -> None:
    with store.transaction() as tx:
        tx.save([event(2)], [], {}, [], {})
        tx.save([event(1)], [], {}, [], {})

    assert [row for rows in saved(store) for row in rows] == [2, 1]


def test_a_slower_transaction_comes_before_what_was_stored_meanwhile(postgres_url: str) -> None:
    slow, quick, other = (SqlStore(postgres_url) for _ in range(3))
    with slow.transaction() as tx:
        tx.save([event(1)], [], {}, [], {})
        with slow._reading():
            pass
        tx.events_by_id([1])  # what was put off until now has reached the server
        save(quick, 2, 3)
        save(other, 4)
        assert saved(quick) == []
    save(quick, 5)

    assert saved(quick) == [[1], [2, 3], [4], [5]]
    for store in (slow, quick, other):
        store.close()


def test_the_last_turn_outlives_a_purge_and_the_next_ones_come_after_it(store_url: str) -> None:
    store, database = SqlStore(store_url), opened(store_url)
    for row in (1, 2, 30, 4):
        save(store, row)
    before = store.arrivals(0, 100)
    with database.writing() as connection:
        assert arrivals.drop(connection, 10, 1) == 1
        assert arrivals.drop(connection, 10, 100) == 1
        assert arrivals.drop(connection, 10, 100) == 0  # 30 is kept yet, and what came after it with it
        assert arrivals.drop(connection, 100, 100) == 1
        assert arrivals.drop(connection, 100, 100) == 0

    assert saved(store) == [[4]]
    save(store, 5)
    assert saved(store, before.settled) == [[5]]
    store.close()
    database.close()


def test_a_server_that_counts_from_a_lower_number_goes_on_behind_what_was_loaded(postgres_url: str) -> None:
    """As after a dump was loaded into a new server: its rows are there, its number of transactions is not."""
    store = SqlStore(postgres_url)
    save(store, 1)
    store.close()
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE arrivals SET turn = turn + 1000000")
    one, other = SqlStore(postgres_url), SqlStore(postgres_url)

    save(one, 2)
    reached = one.arrivals(0, 100).settled
    save(other, 3)
    save(one, 4)

    assert saved(one) == [[1], [2], [3], [4]]
    assert saved(one, reached) == [[3], [4]]
    one.close()
    other.close()


class Writers:
    """Threads that save one event after the other, each by a store of its own, until all are saved."""

    def __init__(self, url: str, count: int, events: int) -> None:
        self.wanted = {1 + turn * count + worker for turn in range(events) for worker in range(count)}
        self._threads = [
            threading.Thread(target=self._write, args=(url, range(1 + worker, count * events + 1, count)))
            for worker in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _write(self, url: str, ids: Sequence[int]) -> None:
        store, waiting = SqlStore(url), list(ids)
        while waiting:
            with suppress(StoreUnavailable):  # it was busy for too long: as a server does, try again
                save(store, waiting[0])
                del waiting[0]
        store.close()

    @property
    def done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)


def test_a_follower_beside_writers_sees_every_event_once(store_url: str) -> None:
    store = SqlStore(store_url)
    writers = Writers(store_url, 3, 40)
    found: list[int] = []
    reached, ending = Reached(), False
    while not ending:
        ending = writers.done
        for row, behind in arrived(store.arrivals, reached):
            found.append(row)
            reached = behind
    store.close()

    assert sorted(found) == sorted(writers.wanted)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("save"), st.integers(1, 5)),
        st.tuples(st.just("roll back"), st.integers(1, 3)),
        st.tuples(st.just("follow"), st.integers(1, 7)),
    )
)


@given(STEPS)
def test_followed_by_any_steps_every_event_comes_once_in_the_order_of_the_saves(steps: list[tuple[str, int]]) -> None:
    store, stored, found = MemoryStore(), list[int](), list[int]()
    reached, ids = Reached(), iter(range(1_000, 0, -1))

    def follow(most: int) -> Iterator[int]:
        nonlocal reached
        for row, behind in arrived(store.arrivals, reached):
            if most == 0:
                return
            most, reached = most - 1, behind
            yield row

    for what, count in steps:
        rows = [next(ids) for _ in range(count)]
        if what == "save":
            save(store, *rows)
            stored += rows
        elif what == "roll back":
            save_in_vain(store, *rows)
        else:
            found += follow(count)
    found += follow(10_000)

    assert found == stored


def test_a_follower_that_was_further_than_the_store_is_told(store: Store) -> None:
    save(store, 1)
    coming = store.arrivals(0, 0).coming

    assert list(arrived(store.arrivals, Reached(coming))) == []
    with pytest.raises(InvalidInput, match="/after is of a later state of this database"):
        next(arrived(store.arrivals, Reached(coming + 1_000_000)))


def test_a_transaction_of_another_database_holds_nobody_up(
    postgres_url: str, postgres_empty_url: str
) -> None:
    store = SqlStore(postgres_url)
    with psycopg.connect(postgres_empty_url) as elsewhere:
        elsewhere.execute("SELECT pg_current_xact_id()")
        save(store, 1)
        assert saved(store) == [[1]]
    with psycopg.connect(postgres_url) as here:
        here.execute("SELECT pg_current_xact_id()")
        save(store, 2)
        assert saved(store) == [[1]]
    assert saved(store) == [[1], [2]]
    store.close()
