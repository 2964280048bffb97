"""A login goes in, a decision comes out; what is not a login is refused by name and leaves nothing behind."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from riskengine.api.score import BARE_FIELDS
from tests.api.conftest import NEW_YORK, TOKYO, TOR, Service

Ago = Callable[[float], str]


def test_new_york_then_tokyo_ten_minutes_later_is_stepped_up_and_says_why(
    service: Service, user: str, ago: Ago
) -> None:
    first = service.post("/score", {"user_id": user, "ip": NEW_YORK, "occurred_at": ago(10)})
    second = service.post("/score", {"user_id": user, "ip": TOKYO, "occurred_at": ago(0)})

    assert (first.status_code, first.json()["decision"]) == (200, "allow")
    assert (second.status_code, second.json()["decision"]) == (200, "step_up")
    reason = second.json()["reasons"][0]
    assert reason["code"] == "impossible_travel"
    assert "New York to Tokyo" in reason["message"]


def test_tokyo_thirty_hours_later_is_not_an_impossible_journey(service: Service, user: str, ago: Ago) -> None:
    service.post("/score", {"user_id": user, "ip": NEW_YORK, "occurred_at": ago(30 * 60)})
    second = service.post("/score", {"user_id": user, "ip": TOKYO, "occurred_at": ago(0)})

    assert "impossible_travel" not in [reason["code"] for reason in second.json()["reasons"]]


def test_a_tor_exit_is_named_as_one(service: Service, user: str) -> None:
    answer = service.post("/score", {"user_id": user, "ip": TOR}).json()

    assert answer["network"]["kind"] == "tor"
    assert answer["decision"] == "step_up"


def test_a_key_that_may_only_score_learns_nothing_of_where_people_are(service: Service, user: str, ago: Ago) -> None:
    service.post("/score", {"user_id": user, "ip": NEW_YORK, "occurred_at": ago(10)})
    answer = service.post("/score", {"user_id": user, "ip": TOKYO, "occurred_at": ago(0)}, service.key("score"))

    assert set(answer.json()) == set(BARE_FIELDS)
    assert {tuple(reason) for reason in answer.json()["reasons"]} == {("code", "points")}
    told = answer.text.replace(answer.json()["step_up"]["challenge"], "")  # random letters, at times "JP"
    for name in ("Tokyo", "New York", "JP", "NTT", user):
        assert name not in told


def test_the_points_of_the_reasons_add_up_to_the_score(service: Service, user: str) -> None:
    answer = service.post("/score", {"user_id": user, "ip": TOR, "resource": "payroll"}).json()

    assert sum(round(reason["points"] * 10) for reason in answer["reasons"]) == round(answer["score"] * 10)


def test_the_same_id_and_body_gets_the_stored_answer_and_another_body_a_conflict(service: Service, user: str) -> None:
    body = {"user_id": user, "ip": NEW_YORK, "event_id": f"{user}-1"}
    first = service.post("/score", body)
    before = service.stored()

    again = service.post("/score", body)
    other = service.post("/score", {**body, "ip": TOKYO})

    assert again.json() == first.json()
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert TOKYO not in other.text
    assert service.stored() == before


def test_an_id_belongs_to_a_realm(service: Service, user: str) -> None:
    body = {"user_id": user, "ip": NEW_YORK, "event_id": f"{user}-1"}
    service.post("/score", body)

    elsewhere = service.post("/score", {**body, "ip": TOKYO}, service.key("score", "events:read", realm="other"))

    assert elsewhere.status_code == 200
    assert elsewhere.json()["travel"] is None


def test_a_preview_answers_the_same_and_saves_nothing(service: Service, user: str) -> None:
    before = service.stored()
    preview = service.post("/score/preview", {"user_id": user, "ip": TOR})
    again = service.post("/score/preview", {"user_id": user, "ip": TOR})

    assert preview.status_code == 200
    assert service.stored() == before
    assert preview.json()["score"] == again.json()["score"]
    assert preview.json()["score"] == service.post("/score", {"user_id": user, "ip": TOR}).json()["score"]


def test_a_batch_is_answered_in_order_and_a_bad_event_fails_alone(service: Service, user: str, ago: Ago) -> None:
    events = [
        {"user_id": user, "ip": NEW_YORK, "occurred_at": ago(10), "event_id": f"{user}-1"},
        {"user_id": user, "ip": "banana"},
        {"user_id": user, "ip": NEW_YORK, "occurred_at": "2999-01-01T00:00:00Z"},
        {"user_id": user, "ip": TOKYO, "occurred_at": ago(0), "event_id": f"{user}-2"},
        "no event",
    ]
    before = service.stored()

    answers = service.post("/score/batch", {"events": events}).json()["answers"]

    assert [answer.get("decision") for answer in answers] == ["allow", None, None, "step_up", None]
    assert [answer["problem"]["errors"][0]["pointer"] for answer in answers if "problem" in answer] == [
        "/ip",
        "/occurred_at",
        "",
    ]
    assert answers[3]["event_id"] == f"{user}-2"
    assert service.stored() == before + 2


def test_an_empty_batch_is_answered_with_an_empty_list(service: Service) -> None:
    assert service.post("/score/batch", {"events": []}).json() == {"answers": []}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({}, "/events"),
        ({"events": {}}, "/events"),
        ({"events": [{}] * 1001}, "/events"),
        ({"events": [], "more": 1}, ""),
    ],
)
def test_a_batch_that_is_none_is_refused_whole(body: Any, pointer: str, service: Service) -> None:
    answer = service.post("/score/batch", body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.fixture
def nothing_stored(service: Service) -> Iterator[None]:
    before = service.stored()
    yield
    assert service.stored() == before


FAR = (datetime.now(UTC) + timedelta(days=2)).isoformat()
OLD = (datetime.now(UTC) - timedelta(days=401)).isoformat()


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        pytest.param({"ip": "banana"}, "/ip", id="ip_banana"),
        pytest.param({"ip": None}, "/ip", id="ip_null"),
        pytest.param({"ip": 3232235777}, "/ip", id="ip_number"),
        pytest.param({"ip": "fe80::1%eth0"}, "/ip", id="ip_with_zone"),
        pytest.param({"user_id": 7}, "/user_id", id="user_number"),
        pytest.param({"user_id": ""}, "/user_id", id="user_empty"),
        pytest.param({"user_id": "a" * 257}, "/user_id", id="user_too_long"),
        pytest.param({"user_id": " ana"}, "/user_id", id="user_with_outer_blank"),
        pytest.param({"user_id": "an\u0000a"}, "/user_id", id="nul"),
        pytest.param({"user_id": "an\ud800a"}, "/user_id", id="lone_surrogate"),
        pytest.param({"user_id": None}, "/user_id", id="no_account_but_success"),
        pytest.param({"occurred_at": FAR}, "/occurred_at", id="far_future"),
        pytest.param({"occurred_at": OLD}, "/occurred_at", id="too_old"),
        pytest.param({"occurred_at": "2026-03-04T09:15:27"}, "/occurred_at", id="time_without_offset"),
        pytest.param({"occurred_at": 1772615731}, "/occurred_at", id="time_as_number"),
        pytest.param({"occurred_at": "0001-01-01T00:00:00Z"}, "/occurred_at", id="time_before_1970"),
        pytest.param({"outcome": "maybe"}, "/outcome", id="unknown_outcome"),
        pytest.param({"outcome": ["success"]}, "/outcome", id="outcome_as_list"),
        pytest.param({"ips": "192.0.2.1"}, "/ips", id="unknown_field"),
        pytest.param({"a/b~\n": 1}, "/a~1b~0?", id="unknown_field_with_odd_name"),
        pytest.param({"an\ud800a": 1}, "/an?a", id="surrogate_in_a_name"),
        pytest.param({"event_id": "a b"}, "/event_id", id="event_id_with_blank"),
        pytest.param({"position": {"latitude": 91, "longitude": 0}}, "/position/latitude", id="latitude_91"),
        pytest.param({"position": {"latitude": 10**400, "longitude": 0}}, "/position/latitude", id="huge_number"),
        pytest.param({"network": {"type": "wifi", "essid": "x"}}, "/network/essid", id="unknown_nested_field"),
        pytest.param({"network": []}, "/network", id="network_as_list"),
        pytest.param({"mfa": {"result": "passed", "amr": ["otp", 5]}}, "/mfa/amr/1", id="method_as_number"),
        pytest.param({"groups": ["g"] * 17}, "/groups", id="too_many_groups"),
        pytest.param({"timezone": "Mars/Base"}, "/timezone", id="no_such_zone"),
        pytest.param({"context": {"a": "x" * 5000}}, "/context", id="context_too_large"),
        pytest.param({"user_agent": "x" * 2049}, "/user_agent", id="user_agent_too_long"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_stored(fields: dict[str, Any], pointer: str, service: Service) -> None:
    body = json.dumps({"user_id": "ana", "ip": NEW_YORK, **fields})
    answer = service.client.post(
        "/score", content=body, headers={**service.headers, "Content-Type": "application/json"}
    )

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid-input"
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(b"", 400, "malformed-json", id="empty"),
        pytest.param(b"{", 400, "malformed-json", id="cut_off"),
        pytest.param(b'{"user_id": "ana", "ip": "192.0.2.1",}', 400, "malformed-json", id="trailing_comma"),
        pytest.param(b'{"user_id": "\xff", "ip": "192.0.2.1"}', 400, "malformed-json", id="invalid_utf8"),
        pytest.param(b'{"user_id": "\xed\xa0\x80", "ip": "192.0.2.1"}', 400, "malformed-json", id="raw_surrogate"),
        pytest.param('{"user_id": "ana"}'.encode("utf-16"), 400, "malformed-json", id="utf16"),
        pytest.param(b'{"user_id": "ana", "ip": NaN}', 400, "malformed-json", id="nan"),
        pytest.param(b'{"rtt": {"ms": Infinity}}', 400, "malformed-json", id="infinity"),
        pytest.param(b"[" * 60_000, 400, "malformed-json", id="nested_too_deeply"),
        pytest.param(b'{"rtt": ' + b"9" * 50_000 + b"}", 400, "malformed-json", id="number_too_long"),
        pytest.param(b'{"ip": "192.0.2.1", "ip": "192.0.2.2"}', 422, "invalid-input", id="duplicate_key"),
        pytest.param(b"[]", 422, "invalid-input", id="list"),
        pytest.param(b"null", 422, "invalid-input", id="null"),
        pytest.param(b'"ana"', 422, "invalid-input", id="string"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes, status: int, code: str, service: Service) -> None:
    for path in ("/score", "/score/preview", "/score/batch"):
        answer = service.client.post(
            path, content=body, headers={**service.headers, "Content-Type": "application/json"}
        )

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.json()["errors"]
        assert len(answer.content) < 2_000


def test_a_key_given_twice_is_named(service: Service) -> None:
    answer = service.client.post(
        "/score",
        content=b'{"user_id": "ana", "ip": "192.0.2.1", "ip": "192.0.2.2"}',
        headers={**service.headers, "Content-Type": "application/json"},
    )

    assert answer.json()["errors"] == [{"pointer": "/ip", "detail": "is given twice"}]


@pytest.mark.usefixtures("nothing_stored")
def test_a_body_of_40_megabytes_is_refused_unread(service: Service) -> None:
    read = 0

    def parts() -> Iterator[bytes]:
        nonlocal read
        for _ in range(40):
            read += 1
            yield b" " * 2**20

    headers = {**service.headers, "Content-Type": "application/json"}
    stated = service.client.post("/score", content=b" " * (40 * 2**20), headers=headers)
    streamed = service.client.post("/score", content=parts(), headers=headers)

    assert (stated.status_code, stated.json()["code"]) == (413, "too-large")
    assert (streamed.status_code, streamed.json()["code"]) == (413, "too-large")


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    ("path", "most"), [("/score", 65_536), ("/score/preview", 65_536), ("/score/batch", 2_097_152)]
)
def test_the_limit_on_a_body_is_exact(path: str, most: int, service: Service) -> None:
    headers = {**service.headers, "Content-Type": "application/json"}

    assert service.client.post(path, content=b" " * most, headers=headers).status_code == 400
    assert service.client.post(path, content=b" " * (most + 1), headers=headers).status_code == 413


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_a_body_that_is_not_declared_as_json_is_refused(content_type: str | None, service: Service) -> None:
    headers = service.headers | ({"Content-Type": content_type} if content_type else {})
    answer = service.client.post("/score", content=b'{"user_id": "ana", "ip": "192.0.2.1"}', headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")


def test_a_charset_beside_the_content_type_is_fine(service: Service, user: str) -> None:
    headers = {**service.headers, "Content-Type": "Application/JSON; charset=utf-8"}
    body = json.dumps({"user_id": user, "ip": NEW_YORK})

    assert service.client.post("/score", content=body, headers=headers).status_code == 200


def test_a_refusal_never_repeats_what_was_sent(service: Service) -> None:
    answer = service.post("/score", {"user_id": "ana-maria@example.org", "ip": "banana-split", "outcome": "ana"})

    for value in ("ana", "banana"):
        assert value not in answer.text


def test_a_body_with_ten_thousand_faults_gets_a_short_answer(service: Service) -> None:
    answer = service.post("/score", {f"field{number}": 1 for number in range(3_000)})

    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 20
    assert len(answer.content) < 3_000


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("path", ["/score", "/score/batch", "/score/preview"])
def test_without_a_key_or_scope_nothing_is_decided(path: str, service: Service) -> None:
    body = {"user_id": "ana", "ip": NEW_YORK}

    missing = service.client.post(path, json=body)
    wrong = service.post(path, body, {"Authorization": "Bearer rk_1_2"})
    lacking = service.post(path, body, service.key("report"))

    for answer in (missing, wrong):
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'Bearer realm="riskengine"'
    assert (lacking.status_code, lacking.json()["scope"]) == (403, "score")
    assert 'scope="score"' in lacking.headers["www-authenticate"]


def test_a_login_without_an_account_is_only_counted(service: Service) -> None:
    answer = service.post("/score", {"user_id": None, "login": "nobody", "ip": NEW_YORK, "outcome": "failure"})

    assert answer.status_code == 200
    assert answer.json()["user_ref"] is None


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        pytest.param("/score?access_token=x", {}, 400, id="a_query_parameter"),
        pytest.param("/score", {"Content-Type": "application/json; charset=utf-16"}, 415, id="another_charset"),
        pytest.param("/score", {"Content-Encoding": "gzip"}, 415, id="a_compressed_body"),
    ],
)
def test_what_a_body_is_said_to_be_is_believed_and_refused(
    path: str, headers: dict[str, str], status: int, service: Service
) -> None:
    before = service.stored()
    answer = service.post(path, {"user_id": "ana", "ip": NEW_YORK}, service.headers | headers)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert service.stored() == before


def test_a_body_in_utf8_may_say_so(service: Service) -> None:
    headers = service.headers | {"Content-Type": 'application/json; charset="UTF-8"'}

    assert service.post("/score", {"user_id": "utf8", "ip": NEW_YORK}, headers).status_code == 200


def test_the_time_of_a_report_is_named_as_its_own(service: Service) -> None:
    service.post("/score", {"user_id": "rep", "ip": NEW_YORK, "event_id": "rep-1"})
    answer = service.post("/events/rep-1/report", {"result": "confirmed_safe", "at": "2099-01-01T00:00:00Z"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/at"
