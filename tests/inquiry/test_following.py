"""A follower sees every event that matches exactly once, in the order in which they were stored."""

import base64
import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from riskengine.audit import Audit
from riskengine.errors import InvalidInput, StoreUnavailable
from riskengine.inquiry import inquiry as pages
from riskengine.inquiry.inquiry import Asker, Inquiry, Page
from riskengine.seal import Keys, Seal
from riskengine.store import removal
from riskengine.store.database import opened
from riskengine.store.sql import SqlStore
from tests.inquiry.conftest import CROWD, OTHERS
from tests.inquiry.events import Login, save
from tests.inquiry.test_search import ASKER, FILTERS, IDS, ids


def followed(
    inquiry: Inquiry, given: dict[str, Any], after: str | None = None, asker: Asker = ASKER, limit: int = 100
) -> tuple[list[str], Page]:
    """Return the ids of all that is there after a cursor, and the last page."""
    filters, found = inquiry.filters(given, asker.realm), list[str]()
    for _ in range(1_000):
        page = inquiry.follow(asker, filters, after=after, limit=limit)
        found += ids(page)
        after = page.next
        if page.scanned_to is None and not page.events:
            return found, page
    raise AssertionError("a follower never comes to the end")


@pytest.mark.parametrize(("given", "wanted"), FILTERS, ids=IDS)
def test_a_follower_finds_what_matches_in_the_order_of_arrival_whatever_the_pages(
    inquiry: Inquiry, given: dict[str, Any], wanted: Callable[[Login], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    matching, end = [one.id for one in CROWD if wanted(one)], time.monotonic() + 10
    # PostgreSQL looks at new tables by itself, and a follower waits for what was begun before an event was there.
    while len(followed(inquiry, {})[0]) < len(CROWD) and time.monotonic() < end:
        time.sleep(0.05)

    assert followed(inquiry, given)[0] == matching
    monkeypatch.setattr(pages, "LOOKED_AT", 40)
    monkeypatch.setattr(pages, "OPENED", 9)
    assert followed(inquiry, given, limit=7)[0] == matching


def test_a_cursor_stays_good_and_goes_on_with_what_comes(empty: Inquiry, sql_store: SqlStore, seal: Seal) -> None:
    found, page = followed(empty, {})
    assert (found, page.scanned_to) == ([], None)
    for begin in range(0, 20, 5):
        for login in (CROWD[begin + 2], OTHERS[begin], CROWD[begin]):
            save(sql_store, seal, [login])
        for _ in range(2):  # the same again, as after an answer that was lost
            found, following = followed(empty, {}, page.next)
            assert found == [CROWD[begin + 2].id, CROWD[begin].id]
        page = following
    assert followed(empty, {}, asker=Asker("tester", "other"))[0] == [OTHERS[at].id for at in range(0, 20, 5)]


def test_from_now_on_nothing_old_comes(inquiry: Inquiry, sql_store: SqlStore, seal: Seal) -> None:
    page = inquiry.follow(ASKER, inquiry.filters({}, "default"), after="now")
    assert (page.events, page.scanned_to) == ([], None)
    save(sql_store, seal, [Login(5_000)])
    assert followed(inquiry, {}, page.next)[0] == ["e5000"]


def test_a_page_within_the_events_of_one_transaction_goes_on_behind_its_last(inquiry: Inquiry) -> None:
    filters = inquiry.filters({}, "default")
    first = inquiry.follow(ASKER, filters, limit=7)
    assert ids(first) == [one.id for one in CROWD[:7]]
    assert first.scanned_to is not None
    assert followed(inquiry, {}, first.next)[0] == [one.id for one in CROWD[7:]]


def test_what_was_emptied_or_deleted_is_passed_over(inquiry: Inquiry, store_url: str) -> None:
    filters = inquiry.filters({}, "default")
    first = inquiry.follow(ASKER, filters, limit=3)
    database = opened(store_url)
    with database.writing() as connection:
        removal.empty(connection, [CROWD[1].number + 1, CROWD[4].number + 1])
        removal.drop(connection, [CROWD[2].number + 1, CROWD[5].number + 1])
    database.close()
    assert followed(inquiry, {}, first.next)[0] == [CROWD[3].id, *(one.id for one in CROWD[6:])]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cursor: cursor[:-2],
        lambda cursor: ("B" if cursor[0] == "A" else "A") + cursor[1:],
        lambda cursor: base64.urlsafe_b64encode(b"\x01" * 60).decode(),
        lambda cursor: "Now",
        lambda cursor: "",
    ],
)
def test_a_cursor_that_was_changed_is_refused_by_name(inquiry: Inquiry, spoil: Callable[[str], str]) -> None:
    filters = inquiry.filters({}, "default")
    cursor = inquiry.follow(ASKER, filters, limit=3).next
    assert cursor is not None
    with pytest.raises(InvalidInput, match="/after is not a cursor of this search"):
        inquiry.follow(ASKER, filters, after=spoil(cursor))


def test_a_cursor_of_another_search_or_order_is_refused_by_name(inquiry: Inquiry) -> None:
    filters, other = inquiry.filters({}, "default"), inquiry.filters({"decision": "deny"}, "default")
    cursor = inquiry.follow(ASKER, filters, limit=3).next
    of_search = inquiry.search(ASKER, filters, limit=3).next
    for ask in (
        partial(inquiry.follow, ASKER, other, after=cursor),
        partial(inquiry.follow, Asker("tester", "other"), filters, after=cursor),
        partial(inquiry.search, ASKER, filters, after=cursor),
        partial(inquiry.follow, ASKER, filters, after=of_search),
    ):
        with pytest.raises(InvalidInput, match="/after is not a cursor of this search"):
            ask()


def test_that_somebody_follows_is_written_down_when_it_begins_and_when_it_finds(
    inquiry: Inquiry, sql_store: SqlStore, seal: Seal
) -> None:
    filters = inquiry.filters({"user_id": "ana"}, "default")
    page = inquiry.follow(ASKER, filters, after="now")
    for _ in range(3):
        page = inquiry.follow(ASKER, filters, after=page.next)
    save(sql_store, seal, [Login(5_000)])
    page = inquiry.follow(ASKER, filters, after=page.next)
    assert ids(page) == ["e5000"]
    with sql_store.reading() as connection:
        trail = connection.execute(text("SELECT actor, action, object FROM audit")).all()
    assert [tuple(row) for row in trail] == [("tester", "events.follow", "events")] * 2


def _write(url: str, keys: Keys, first: int, count: int) -> None:
    store, seal, number = SqlStore(url), Seal(keys), first
    while number < first + count:
        with suppress(StoreUnavailable):  # it was busy for too long: as a server does, try again
            save(store, seal, [Login(number, user=f"u{number % 5}")])
            number += 1
    store.close()


def test_a_follower_that_is_ended_again_and_again_misses_nothing_of_writing_processes(store_url: str) -> None:
    """It keeps its cursor after each page it has taken; what it was doing when it ended is done again."""
    keys, each = Keys.generate(), 40
    seal, fork = Seal(keys), multiprocessing.get_context("fork")
    writers = [fork.Process(target=_write, args=(store_url, keys, first, each)) for first in (0, 1_000, 2_000)]
    for writer in writers:
        writer.start()
    kept, cursor, ending = list[str](), None, False
    while not ending:
        ending = not any(writer.is_alive() for writer in writers)
        store = SqlStore(store_url)
        inquiry = Inquiry(store, seal, Audit(store, seal), lambda: 0)
        filters = inquiry.filters({}, "default")
        page = inquiry.follow(ASKER, filters, after=cursor, limit=20)
        inquiry.follow(ASKER, filters, after=page.next, limit=5)  # ended before it could keep these
        store.close()
        kept, cursor = kept + ids(page), page.next
        ending = ending and not page.events
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert sorted(kept) == sorted(f"e{first + at}" for first in (0, 1_000, 2_000) for at in range(each))
