"""What the security team asks of the stored events. API, console and command line call it alike.

Every answer is of one realm. Whoever asks about a user, login, address, device or session is written down first.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection

from riskengine.audit import Audit
from riskengine.check import format_time
from riskengine.engine.block import Target
from riskengine.engine.saved import report_detail
from riskengine.engine.tokens import Tokeniser
from riskengine.errors import Fault, InvalidInput, NotFound
from riskengine.event import DAY_MS
from riskengine.explain import explain
from riskengine.history.record import unpack
from riskengine.inquiry import cursor, statistics
from riskengine.inquiry.filters import Filters, parse_filters
from riskengine.inquiry.following import Bounds, Reached, Walked, walk
from riskengine.inquiry.found import Found, found_in
from riskengine.inquiry.person import person
from riskengine.inquiry.rollup import state_of
from riskengine.seal import Seal
from riskengine.store import search
from riskengine.store.arrivals import arrivals
from riskengine.store.partitions import arrived_at
from riskengine.store.search import Place
from riskengine.store.sql import SqlStore
from riskengine.store.statistics import kept

ORDERS = ("time", "score")
ARRIVAL = "arrival"  # the order of `follow`
NOW = "now"  # as a cursor of that
LIMIT, MOST_LIMIT = 100, 1_000
LOOKED_AT = 5_000  # rows that a page looks at, whatever is asked for …
OPENED = 500  # … and how many it opens where only that tells
BY_SCORE = 20_000  # events that a time range may hold to be ordered by score
COUNTED, COUNT_LOOKED_AT = 10_000, 20_000
# What a search calls the target of a block.
_SOUGHT = {"address": "cidr", "asn": "asn", "user": "user_id", "device": "device_id"}
LAST_EVENTS = 50  # of a user, shown with what is known of them


class Asker(NamedTuple):
    """Who asks: the name that the audit trail has, and the realm whose events are theirs to see."""

    name: str
    realm: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search. `next` is the cursor of the following page, None where there is nothing behind, but never
    for a follower; `scanned_to` is the time (ms since 1970) up to which all was looked at, of a follower's page when
    that arrived, None where that was everything."""

    events: list[Found]
    next: str | None
    scanned_to: int | None

    def told(self) -> dict[str, Any]:
        """Return it as the API says it."""
        return {
            "events": [found.told() for found in self.events],
            "next": self.next,
            "scanned_to": None if self.scanned_to is None else format_time(self.scanned_to),
        }


@dataclass(frozen=True, slots=True)
class Total:
    """How many events match: at least `count`, and no more where that is `exact`."""

    count: int
    exact: bool

    def __str__(self) -> str:
        """Return it as people read it.

        >>> str(Total(137, True)), str(Total(10_000, False))
        ('137', '10,000+')
        """
        return f"{self.count:,}" + ("" if self.exact else "+")

    def told(self) -> dict[str, Any]:
        """Return it as the API says it."""
        return {"count": self.count, "exact": self.exact, "text": str(self)}


class Inquiry:
    """Answers questions about stored events; every method reaches the store, and may raise StoreUnavailable.

    `clock` gives ms since 1970. Safe to share between threads.
    """

    def __init__(self, store: SqlStore, seal: Seal, audit: Audit, clock: Callable[[], int]) -> None:
        self._store, self._seal, self._audit, self._clock = store, seal, audit, clock

    def filters(self, given: Mapping[str, Any], realm: str) -> Filters:
        """Return checked filters from a mapping of names to values; InvalidInput names each that makes no sense."""
        return parse_filters(given, realm, self._seal)

    def search(
        self, asker: Asker, filters: Filters, *, order: str = "time", limit: int = LIMIT, after: str | None = None
    ) -> Page:
        """Return a page of the events that match, newest first, or with order `score` the highest scores first.

        A page looks at a bounded number of rows, so it may come short, and even empty, with a `next`. By score a time
        range (or another filter that an index serves) must leave no more than 20,000 events: InvalidInput else.
        """
        place = None if after is None else Place(*self._read(after, filters, order, asker.realm))
        self._note(asker, "events.search", filters)
        with self._store.reading() as connection:
            if order == "score":
                return self._strongest(connection, asker.realm, filters, place, limit)
            return self._newest(connection, asker.realm, filters, place, limit)

    def follow(self, asker: Asker, filters: Filters, *, limit: int = LIMIT, after: str | None = None) -> Page:
        """Return the next events that match in the order in which they were stored, each once, whoever stores them.

        Without a cursor they begin with the first one that is kept since migration 0010, with `now` after the last.
        `next` is always there, and stays good. A page does bounded work: it may come short while more is there.
        """
        reached = Reached() if after in (None, NOW) else Reached(*self._read(after, filters, ARRIVAL, asker.realm))
        bounds = Bounds(limit, LOOKED_AT, OPENED)
        with self._store.reading() as connection:
            read = partial(arrivals, connection)
            if after == NOW:
                walked = Walked([], Reached(read(0, 0).settled), None, True)
            else:
                walked = walk(connection, read, filters, reached, bounds, self._seal)
        if walked.found or after in (None, NOW):  # before it is shown, but not each time that there is nothing
            self._note(asker, "events.follow", filters, always=True)
        following = self._cursor(walked.reached, filters, ARRIVAL, asker.realm)
        scanned_to = None if walked.done or walked.last is None else arrived_at(walked.last)
        return Page(walked.found, following, scanned_to)

    def total(self, asker: Asker, filters: Filters) -> Total:
        """Return how many events match: exact up to 10,000, and as far as a bounded number of rows tells."""
        with self._store.reading() as connection:
            count, exact = search.count(connection, filters.wanted, COUNTED, COUNT_LOOKED_AT)
        return Total(0, False) if filters.sealed and not (exact and count == 0) else Total(count, exact)

    def lately(self, asker: Asker, target: Target) -> Total | None:
        """Return how many logins of the last 24 hours a block of this target would have denied, counted as far as a
        bounded number of rows tells; None for a network too wide to be sought."""
        since = format_time(self._clock() - DAY_MS)
        name, value = _SOUGHT[target.kind], target.value
        try:
            filters = self.filters({name: value, "since": since}, asker.realm)
        except InvalidInput:
            return None
        return self.count(asker, filters)

    def count(self, asker: Asker, filters: Filters) -> Total:
        """Return how many events match: as `total`, and where only opened events tell, by opening the first 500."""
        if not filters.sealed:
            return self.total(asker, filters)
        with self._store.reading() as connection:
            found, _, done = self._walk(connection, filters, None, OPENED)
        return Total(len(found), done)

    def page(self, realm: str, filters: Filters, after: str | None, limit: int) -> Page:
        """Return a page of the events that match, newest first, for who was written down as having asked for them."""
        place = None if after is None else Place(*self._read(after, filters, "time", realm))
        with self._store.reading() as connection:
            return self._newest(connection, realm, filters, place, limit)

    def all(self, asker: Asker, filters: Filters) -> Iterator[Found]:
        """Return every event that matches, newest first; that it was asked for is written down before this returns.

        They are read a page at a time: no transaction stays open meanwhile, and no more than a page is held.
        """
        self._note(asker, "events.export", filters, always=True)
        return self._each(filters)

    def event(self, asker: Asker, event_id: str) -> dict[str, Any]:
        """Return one event as it was sent, its answer, what would have changed that, and the reports on it; NotFound if
        there is none in the realm."""
        self._audit.record(self._clock(), asker.realm, asker.name, "event.read", "event", event_id=event_id)
        stored = self._store.read_event(Tokeniser(self._seal).event_key(asker.realm, event_id))
        if stored is None:
            raise NotFound("there is no such event")
        row, reports = stored
        found = found_in(row, self._seal)
        return {
            **found.told(),
            "explanation": explain(found.answer),
            "reports": [
                {"result": report.result, "at": format_time(report.at), **report_detail(report, self._seal)}
                for report in reports
            ],
        }

    def user(self, asker: Asker, user_ref: str) -> dict[str, Any]:
        """Return what the engine knows of a user, and their last events; NotFound if it knows nobody by this name.

        The members stand in riskengine/inquiry/person.py.
        """
        filters = self.filters({"user_ref": user_ref}, asker.realm)
        self._note(asker, "user.read", filters)
        user = bytes.fromhex(user_ref)
        with self._store.reading() as connection:
            history = search.history_of(connection, user)
            if history is None or history.realm != asker.realm:
                raise NotFound("there is no such user")
            found, _, _ = self._walk(connection, filters, None, LAST_EVENTS)
        [record] = unpack([self._seal.open(history.record, history.realm, "history", user)])
        return {"user_ref": user_ref, **person(record, [one for _, one in found], asker.realm, self._seal)}

    def statistics(self, asker: Asker, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return counts over time by decision, reason, country and network: `since`, `until`, `step` (hour or day).

        The last seven days by the hour unless given. They are kept beside scoring; the answer says how far behind.

        The members stand in riskengine/inquiry/statistics.py.
        """
        now = self._clock()
        asked = statistics.Range(given, now)
        state = state_of(self._store)
        with self._store.reading() as connection:
            rows = kept(connection, asker.realm, asked.first, asked.end, asked.hours)
            return statistics.told(asked, rows, state, now)

    def _each(self, filters: Filters) -> Iterator[Found]:
        place, done, limit = None, False, LIMIT
        while not done:
            with self._store.reading() as connection:
                found, place, done = self._walk(connection, filters, place, limit)
            limit = MOST_LIMIT  # the first ones come soon
            yield from (one for _, one in found)

    def _newest(self, connection: Connection, realm: str, filters: Filters, place: Place | None, limit: int) -> Page:
        found, last, done = self._walk(connection, filters, place, limit)
        following = None if done or last is None else self._cursor(last, filters, "time", realm)
        return Page([one for _, one in found], following, None if done or last is None else last.occurred_at)

    def _walk(
        self, connection: Connection, filters: Filters, place: Place | None, limit: int
    ) -> tuple[list[tuple[Place, Found]], Place | None, bool]:
        """Return up to `limit` events after a place, the place behind which the next walk goes on, and whether there is
        nothing there."""
        found: list[tuple[Place, Found]] = []
        looked_at = opened_ = 0
        step = min(limit + 1, LOOKED_AT)
        while True:
            seen = search.newest(connection, filters.wanted, place, min(step, LOOKED_AT - looked_at))
            looked_at += max(seen.looked_at, 1)
            for at in range(0, len(seen.found), 100):
                for where, one in self._opened(connection, seen.found[at : at + 100]):
                    if len(found) == limit:
                        return found, found[-1][0], False
                    opened_ += 1
                    if filters.matches(one.event, one.answer):
                        found.append((where, one))
                    elif opened_ >= OPENED:
                        return found, where, False
            place = seen.last or place
            if seen.done:
                return found, place, True
            if len(found) == limit or looked_at >= LOOKED_AT or opened_ >= OPENED:
                return found, place, False
            step *= 4

    def _strongest(self, connection: Connection, realm: str, filters: Filters, place: Place | None, limit: int) -> Page:
        seen = search.strongest(connection, filters.wanted, place, limit + 1, BY_SCORE)
        if seen is None:
            detail = f"must make the time range narrower: by score it may hold at most {BY_SCORE:,} events"
            raise InvalidInput([Fault("/since", detail)])
        taken = seen.found[:limit]
        events = [one for _, one in self._opened(connection, taken) if filters.matches(one.event, one.answer)]
        if seen.done and len(seen.found) <= limit:
            return Page(events, None, None)
        return Page(events, self._cursor(taken[-1], filters, "score", realm), None)

    def _opened(self, connection: Connection, places: Sequence[Place]) -> Iterator[tuple[Place, Found]]:
        rows = {row.id: row for row in search.rows_of(connection, [place.id for place in places])}
        for place in places:
            if place.id in rows and rows[place.id].raw:  # of what a purge has emptied only the counts remain
                yield place, found_in(rows[place.id], self._seal)

    def _read(self, after: str, filters: Filters, order: str, realm: str) -> tuple[int, ...]:
        return cursor.opened(after, filters.given, order, realm, self._seal)

    def _cursor(self, place: tuple[int, ...], filters: Filters, order: str, realm: str) -> str:
        return cursor.sealed(place, filters.given, order, realm, self._seal)

    def _note(self, asker: Asker, action: str, filters: Filters, always: bool = False) -> None:
        """Write down who asks for whom, before anything is shown."""
        if filters.named or always:
            self._audit.record(self._clock(), asker.realm, asker.name, action, "events", **filters.named)
