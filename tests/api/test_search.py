"""Searching over HTTP: the same filters in a URL and in a body, and what is refused."""

from typing import Any

import httpx2
import pytest

from riskengine.app import clock
from riskengine.check import format_time
from tests.api.conftest import NEW_YORK, TOKYO, Service


@pytest.fixture
def seen(service: Service, user: str) -> str:
    """A user with two logins: New York, and Tokyo ten minutes later."""
    now = clock()
    for ip, minutes in ((NEW_YORK, 20), (TOKYO, 10)):
        body = {"user_id": user, "ip": ip, "event_id": f"{user}-{minutes}"[-128:],
                "occurred_at": format_time(now - minutes * 60_000), "login": f"{user}@example.org"}  # fmt: skip
        assert service.post("/score", body).status_code == 200
    return user


def test_a_search_in_a_url_and_in_a_body_find_the_same(service: Service, seen: str) -> None:
    listed = service.get(f"/events?user_id={seen}&limit=1&total=true").json()
    body: dict[str, Any] = {"user_id": seen, "limit": 1, "total": True}
    found = service.post("/events/search", body).json()

    assert [one["event"]["ip"] for one in listed["events"]] == [TOKYO]
    assert found["events"] == listed["events"]
    assert listed["total"] == {"count": 2, "exact": True, "text": "2"}
    assert listed["scanned_to"] is not None
    rest = service.post("/events/search", body | {"after": listed["next"]}).json()
    assert [one["event"]["ip"] for one in rest["events"]] == [NEW_YORK]
    assert (rest["next"], rest["scanned_to"]) == (None, None)


def test_several_values_of_one_filter_are_given_one_by_one(service: Service, seen: str) -> None:
    found = service.get(f"/events?user_id={seen}&country=US&country=JP").json()
    assert len(found["events"]) == 2


@pytest.mark.parametrize(
    ("query", "code", "parameter"),
    [
        ("cidr=10.0.0.0/7", "invalid-parameter", "cidr"),
        ("min_score=many", "invalid-parameter", "min_score"),
        ("limit=1001", "invalid-parameter", "limit"),
        ("limit=1e2", "invalid-parameter", "limit"),
        ("order=size", "invalid-parameter", "order"),
        ("after=abc", "invalid-parameter", "after"),
        ("total=1", "invalid-parameter", "total"),
        ("login=a&login=b", "invalid-parameter", "login"),
        ("user=ana", "unknown-parameter", "user"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(service: Service, query: str, code: str, parameter: str) -> None:
    answer = service.get(f"/events?{query}")
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["parameter"]) == (code, parameter)


def test_a_field_that_makes_no_sense_is_named(service: Service) -> None:
    answer = service.post("/events/search", {"cidr": "10.0.0.0/7", "limit": 0, "colour": "red"})
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/limit"]
    assert service.post("/events/search", {"cidr": "10.0.0.0/7"}).json()["errors"][0]["pointer"] == "/cidr"


@pytest.mark.parametrize("method", ["GET /events", "POST /events/search"])
def test_no_key_another_scope_and_another_realm_see_nothing(service: Service, seen: str, method: str) -> None:
    def send(headers: dict[str, str]) -> httpx2.Response:
        verb, _, path = method.partition(" ")
        return service.client.request(verb, path, json={} if verb == "POST" else None, headers=headers)

    assert send({}).status_code == 401
    assert send(service.key("score", "report")).status_code == 403
    assert send(service.key("events:read", realm="elsewhere")).json()["events"] == []


def test_a_follower_gets_each_event_once_in_a_url_and_in_a_body(service: Service, user: str) -> None:
    def score(number: int) -> str:
        body = {"user_id": user, "ip": NEW_YORK, "event_id": f"{user}-{number}"[-128:]}
        assert service.post("/score", body).status_code == 200
        return str(body["event_id"])

    def ids(page: dict[str, Any]) -> list[str]:
        return [one["answer"]["event_id"] for one in page["events"]]

    wanted: dict[str, Any] = {"user_id": user, "order": "arrival", "limit": 2}
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    stored = [score(number) for number in range(3)]
    first = service.get(f"/events?{query}").json()
    rest = service.post("/events/search", wanted | {"after": first["next"]}).json()
    assert (ids(first), ids(rest)) == (stored[:2], stored[2:])
    assert rest["scanned_to"] is None
    nothing = service.get(f"/events?{query}&after={rest['next']}").json()
    assert (ids(nothing), nothing["scanned_to"]) == ([], None)
    now = service.get(f"/events?{query}&after=now").json()
    later = score(3)
    for cursor in (rest["next"], nothing["next"], now["next"]):
        assert ids(service.post("/events/search", wanted | {"after": cursor}).json()) == [later]


@pytest.mark.parametrize("after", ["now", "x" * 80])
def test_a_cursor_that_is_none_of_the_order_is_named(service: Service, seen: str, after: str) -> None:
    other = service.get(f"/events?user_id={seen}&order=arrival").json()["next"]
    for query in (f"after={after}", "order=arrival&after=xyz", f"order=arrival&after={other}"):
        answer = service.get(f"/events?{query}")
        assert (answer.status_code, answer.json()["parameter"]) == (400, "after")
    answer = service.post("/events/search", {"order": "arrival", "after": other})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/after")
