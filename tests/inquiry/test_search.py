"""Every filter finds what it should, page by page, newest or strongest first, in a bounded number of steps."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from sqlalchemy import event as sql_event
from sqlalchemy import text

from riskengine.check import format_time
from riskengine.errors import InvalidInput
from riskengine.inquiry import inquiry as pages
from riskengine.inquiry.inquiry import Asker, Inquiry, Page, Total
from riskengine.seal import Seal
from riskengine.store import search
from riskengine.store.sql import SqlStore
from tests.inquiry.conftest import CROWD, NOW, OTHERS
from tests.inquiry.events import BEGIN_MS, HOUR_MS, Login, save

ASKER = Asker("tester", "default")
LATE = BEGIN_MS + 20 * HOUR_MS


def within(network: str) -> Callable[[Login], bool]:
    return lambda one: ip_address(one.ip) in ip_network(network)


FILTERS: list[tuple[dict[str, Any], Callable[[Login], bool]]] = [
    ({}, lambda one: True),
    ({"user_id": "ana"}, lambda one: one.user == "ana"),
    ({"user_id": "nobody"}, lambda one: False),
    ({"login": "root"}, lambda one: one.login == "root"),
    ({"ip": CROWD[0].ip}, lambda one: one.ip == CROWD[0].ip),
    ({"cidr": "192.0.2.0/24"}, within("192.0.2.0/24")),
    ({"cidr": "192.0.2.64/27"}, within("192.0.2.64/27")),
    ({"cidr": "198.51.0.0/17"}, within("198.51.0.0/17")),
    ({"cidr": "192.0.0.0/9"}, within("192.0.0.0/9")),
    ({"cidr": "::ffff:192.0.2.0/121"}, within("192.0.2.0/25")),
    ({"cidr": "2001:db8::/32"}, within("2001:db8::/32")),
    ({"cidr": "2001:db8:1::/121"}, within("2001:db8:1::/121")),
    ({"cidr": f"{CROWD[0].ip}"}, lambda one: one.ip == CROWD[0].ip),
    ({"device_id": "d1"}, lambda one: one.device == "d1"),
    ({"session_id": "s1"}, lambda one: one.session == "s1"),
    ({"asn": "AS64496"}, lambda one: one.asn == 64496),
    ({"asn": [64496, 64497]}, lambda one: one.asn is not None),
    ({"network": "vpn"}, lambda one: one.network == "vpn"),
    ({"country": "jp"}, lambda one: one.country == "JP"),
    ({"city": "New York"}, lambda one: one.city == "New York"),
    ({"decision": "deny"}, lambda one: one.decision == "deny"),
    ({"decision": ["deny", "step_up"]}, lambda one: one.decision != "allow"),
    ({"decision": "allow"}, lambda one: one.decision == "allow"),
    ({"level": "medium"}, lambda one: one.level == "medium"),
    ({"outcome": "failure"}, lambda one: one.outcome == "failure"),
    ({"state": "confirmed_safe"}, lambda one: one.state == "confirmed_safe"),
    ({"resource": "payroll"}, lambda one: one.resource == "payroll"),
    ({"reason": "new_country"}, lambda one: "new_country" in one.reasons),
    ({"reason": "new"}, lambda one: False),
    ({"min_score": 45}, lambda one: one.score >= 45),
    ({"min_score": "12.5", "max_score": "45"}, lambda one: 12.5 <= one.score <= 45),
    ({"since": format_time(LATE)}, lambda one: one.occurred_at >= LATE),
    ({"until": format_time(LATE)}, lambda one: one.occurred_at < LATE),
    ({"min_speed_kmh": 900}, lambda one: one.speed is not None and one.speed >= 900),
    (
        {"user_id": "bo", "cidr": "192.0.2.0/25", "decision": ["deny", "step_up"], "since": format_time(BEGIN_MS)},
        lambda one: one.user == "bo" and within("192.0.2.0/25")(one) and one.decision != "allow",
    ),
]
IDS = ["+".join(given) + f"-{at}" for at, (given, _) in enumerate(FILTERS)]


def newest(logins: list[Login]) -> list[str]:
    return [one.id for one in sorted(logins, key=lambda one: (one.occurred_at, one.number), reverse=True)]


def ids(page: Page) -> list[str]:
    return [found.answer["event_id"] for found in page.events]


def walked(inquiry: Inquiry, given: dict[str, Any], asker: Asker = ASKER, **options: Any) -> list[str]:
    """Return the ids of all pages of a search."""
    filters, found, after = inquiry.filters(given, asker.realm), list[str](), None
    for _ in range(1_000):
        page = inquiry.search(asker, filters, after=after, **options)
        found += ids(page)
        after = page.next
        if after is None:
            return found
    raise AssertionError("a search does not end")


@pytest.mark.parametrize(("given", "wanted"), FILTERS, ids=IDS)
def test_a_search_finds_what_matches_newest_first_whatever_the_pages(
    inquiry: Inquiry, given: dict[str, Any], wanted: Callable[[Login], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    matching = [one for one in CROWD if wanted(one)]
    by_score = sorted(matching, key=lambda one: (one.score, one.occurred_at, one.number), reverse=True)

    assert walked(inquiry, given, limit=1_000) == newest(matching)
    assert walked(inquiry, given, limit=7, order="score") == [one.id for one in by_score]
    filters = inquiry.filters(given, "default")
    total = inquiry.total(ASKER, filters)
    assert total == Total(len(matching), True) or (filters.sealed and not total.exact)
    for few in (search.FEW, 3):
        monkeypatch.setattr(search, "FEW", few)
        monkeypatch.setattr(pages, "LOOKED_AT", 40)
        monkeypatch.setattr(pages, "OPENED", 9)
        assert walked(inquiry, given, limit=7) == newest(matching)


def test_another_realm_sees_its_own_events_alone(inquiry: Inquiry) -> None:
    asker = Asker("tester", "other")
    assert walked(inquiry, {}, asker, limit=30) == newest(OTHERS)
    user_of_default = inquiry.search(ASKER, inquiry.filters({"user_id": "ana"}, "default")).events[0].answer["user_ref"]
    assert walked(inquiry, {"user_ref": user_of_default}, asker) == []


def test_pages_stay_right_while_events_arrive(inquiry: Inquiry, sql_store: SqlStore, seal: Seal) -> None:
    filters = inquiry.filters({}, "default")
    first = inquiry.search(ASKER, filters, limit=50)
    save(sql_store, seal, [Login(5_000 + at, occurred_at=NOW - at) for at in range(20)])
    found, after = ids(first), first.next
    while after is not None:
        page = inquiry.search(ASKER, filters, limit=50, after=after)
        found, after = found + ids(page), page.next
    assert found == newest(CROWD)


@pytest.mark.parametrize("asked", [{"decision": "deny"}, {}])
def test_a_cursor_of_another_search_is_refused_by_name(inquiry: Inquiry, asked: dict[str, Any]) -> None:
    cursor = inquiry.search(ASKER, inquiry.filters({"decision": "step_up"}, "default"), limit=1).next
    assert cursor is not None
    for asker, after, order in [
        (ASKER, cursor, "time"),
        (ASKER, cursor[:-4] + "AAAA", "time"),
        (ASKER, "%%%", "time"),
        (ASKER, "ü", "time"),
        (Asker("tester", "other"), cursor, "time"),
    ]:
        with pytest.raises(InvalidInput, match="/after is not a cursor of this search"):
            inquiry.search(asker, inquiry.filters(asked, asker.realm), after=after, order=order)


def test_a_cursor_opens_however_its_filters_are_spelled(inquiry: Inquiry) -> None:
    cursor = inquiry.search(ASKER, inquiry.filters({"country": "JP", "asn": 64496}, "default"), limit=1).next
    again = inquiry.filters({"asn": ["AS64496"], "country": "jp"}, "default")
    assert inquiry.search(ASKER, again, limit=1, after=cursor).events


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cidr": "10.0.0.0/7"}, "/cidr is too wide: an IPv4 network must have a length of at least /8"),
        ({"cidr": "2001::/31"}, "/cidr is too wide: an IPv6 network must have a length of at least /32"),
        ({"cidr": "somewhere"}, "/cidr must be a network"),
        ({"ip": "300.1.1.1"}, "/ip must be an IPv4 or IPv6 address"),
        ({"ip": "192.0.2.1", "cidr": "192.0.2.0/24"}, "/cidr cannot be asked for together with ip"),
        ({"user_ref": "ana"}, "/user_ref must be a user_ref"),
        ({"decision": "maybe"}, "/decision must be one of allow, step_up, deny"),
        ({"decision": []}, "/decision must name at least one"),
        ({"asn": True}, "/asn must be the number"),
        ({"asn": 0}, "/asn must be the number"),
        ({"country": "USA"}, "/country must be two letters"),
        ({"min_score": 101}, "/min_score must lie between 0 and 100"),
        ({"min_score": "x"}, "/min_score must be a number"),
        ({"min_score": 50, "max_score": 40}, "/max_score must be no less than min_score"),
        ({"since": "yesterday"}, "/since must be an RFC 3339 time"),
        ({"since": format_time(LATE), "until": format_time(LATE)}, "/until must be later than since"),
        ({"reason": "x%"}, "/reason must be the code of a reason"),
        ({"colour": "red"}, "/colour is not a field"),
        ({"login": "a\x1b[31m"}, r"/login holds the control character U\+001B"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_by_name(empty: Inquiry, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        empty.filters(given, "default")


def test_by_score_asks_for_a_narrower_range_than_everything(inquiry: Inquiry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "BY_SCORE", 100)
    with pytest.raises(InvalidInput, match="/since must make the time range narrower"):
        inquiry.search(ASKER, inquiry.filters({}, "default"), order="score")
    narrow = inquiry.filters({"since": format_time(BEGIN_MS + 45 * HOUR_MS)}, "default")
    assert inquiry.search(ASKER, narrow, order="score").events


def test_totals_are_exact_up_to_a_bound(inquiry: Inquiry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "COUNTED", 299)
    assert str(inquiry.total(ASKER, inquiry.filters({}, "default"))) == "299+"
    monkeypatch.setattr(pages, "COUNTED", 300)
    assert str(inquiry.total(ASKER, inquiry.filters({}, "default"))) == "300"
    monkeypatch.setattr(pages, "COUNT_LOOKED_AT", 50)
    assert not inquiry.total(ASKER, inquiry.filters({"country": "JP"}, "default")).exact


def test_who_asked_for_whom_is_written_down(inquiry: Inquiry, sql_store: SqlStore) -> None:
    inquiry.search(ASKER, inquiry.filters({"decision": "deny"}, "default"))
    inquiry.search(ASKER, inquiry.filters({"cidr": "192.0.2.0/24"}, "default"))
    with sql_store.reading() as connection:
        trail = connection.execute(text("SELECT actor, action, object, detail FROM audit")).all()
    assert [row[:3] for row in trail] == [("tester", "events.search", "events")]
    assert b"192.0.2.0" not in bytes(trail[0].detail)


@pytest.mark.parametrize(("given", "wanted"), FILTERS, ids=IDS)
def test_no_statement_of_a_page_reads_without_a_bound_or_a_whole_table(
    inquiry: Inquiry, sql_store: SqlStore, given: dict[str, Any], wanted: Callable[[Login], bool]
) -> None:
    asked: list[tuple[str, Any]] = []
    engine = sql_store.engine
    listen = lambda c, cursor, statement, parameters, context, many: asked.append((statement, parameters))  # noqa: E731
    sql_event.listen(engine, "before_cursor_execute", listen)
    filters = inquiry.filters(given, "default")
    inquiry.search(ASKER, filters)
    inquiry.total(ASKER, filters)
    sql_event.remove(engine, "before_cursor_execute", listen)
    statements = [one for one in asked if "FROM events" in one[0]]
    assert statements
    for statement, parameters in statements:
        assert "LIMIT" in statement or "events.id IN" in statement
        if engine.dialect.name == "sqlite":
            with engine.connect() as connection:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            assert not [step.detail for step in plan if step.detail == "SCAN events"], statement
