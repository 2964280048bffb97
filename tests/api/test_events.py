"""A stored event can be read by who may, and reports on it are taken in from who may report."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from riskengine.audit import audit_row
from riskengine.explain import explain
from tests.api.conftest import NEW_YORK, TOKYO, Service

Ago = Callable[[float], str]


def stepped_up(service: Service, user: str, ago: Ago) -> str:
    """Return the id of an event that was stepped up: Tokyo ten minutes after New York."""
    service.post("/score", {"user_id": user, "ip": NEW_YORK, "occurred_at": ago(10)})
    answer = service.post("/score", {"user_id": user, "ip": TOKYO, "occurred_at": ago(0), "event_id": f"{user}-2"})
    assert answer.json()["decision"] == "step_up"
    return str(answer.json()["event_id"])


def test_an_event_is_read_as_it_was_stored_with_its_reports(service: Service, user: str, ago: Ago) -> None:
    event_id = stepped_up(service, user, ago)
    service.post(f"/events/{event_id}/report", {"result": "step_up_failed"})

    found = service.get(f"/events/{event_id}")

    assert found.status_code == 200
    assert found.json()["event"]["user_id"] == user
    assert found.json()["answer"]["decision"] == "step_up"
    assert [report["result"] for report in found.json()["reports"]] == ["step_up_failed"]


def test_an_event_is_read_with_what_would_have_changed_its_decision(service: Service, user: str, ago: Ago) -> None:
    found = service.get(f"/events/{stepped_up(service, user, ago)}").json()

    assert found["explanation"] == explain(found["answer"])
    assert "from which a second factor is asked for" in found["explanation"][0]


@pytest.mark.parametrize("event_id", ["never-seen", "with%20blank", "%00", "%ED%A0%80", "a" * 200])
def test_an_event_that_does_not_exist_is_not_found(event_id: str, service: Service) -> None:
    read = service.get(f"/events/{event_id}")
    report = service.post(f"/events/{event_id}/report", {"result": "confirmed_safe"})

    assert (read.status_code, read.json()["code"]) == (404, "not-found")
    assert (report.status_code, report.json()["code"]) == (404, "not-found")


def test_an_event_of_another_realm_does_not_exist(service: Service, user: str, ago: Ago) -> None:
    event_id = stepped_up(service, user, ago)
    foreign = service.key("events:read", "report", "verdict", realm="other")

    assert service.get(f"/events/{event_id}", foreign).status_code == 404
    assert service.post(f"/events/{event_id}/report", {"result": "step_up_passed"}, foreign).status_code == 404


def test_reading_needs_its_scope(service: Service, user: str, ago: Ago) -> None:
    event_id = stepped_up(service, user, ago)

    assert service.client.get(f"/events/{event_id}").status_code == 401
    assert service.get(f"/events/{event_id}", service.key("score", "report")).json()["scope"] == "events:read"


def test_a_parameter_that_does_not_exist_is_refused_by_name(service: Service) -> None:
    answer = service.get("/events/any?verbose=1")

    assert (answer.status_code, answer.json()["code"], answer.json()["parameter"]) == (
        400,
        "unknown-parameter",
        "verbose",
    )


def test_reading_is_audited_with_the_event_sealed(service: Service, user: str, ago: Ago) -> None:
    event_id = stepped_up(service, user, ago)
    service.get(f"/events/{event_id}", service.key("events:read"))

    line = audited(service)[-1]

    assert (line["realm"], line["actor"], line["action"], line["object"]) == ("default", "test", "event.read", "event")
    assert event_id.encode() not in line["detail"]
    row = audit_row(line["at"], line["actor"], line["action"], line["object"])
    detail = service.parts.seal.open(line["detail"], "default", "audit", row)
    assert json.loads(detail)["event_id"] == event_id


def test_a_verdict_is_audited_and_how_a_step_up_ended_is_not(service: Service, user: str, ago: Ago) -> None:
    event_id = stepped_up(service, user, ago)
    before = len(audited(service))
    path = f"/events/{event_id}/report"
    assert service.post(path, {"result": "step_up_failed"}, service.key("report")).status_code == 200
    assert len(audited(service)) == before
    assert service.post(path, {"result": "confirmed_compromised"}, service.key("verdict")).status_code == 200

    [line] = audited(service)[before:]

    assert (line["actor"], line["action"]) == ("test", "event.verdict")
    row = audit_row(line["at"], line["actor"], line["action"], line["object"])
    detail = json.loads(service.parts.seal.open(line["detail"], "default", "audit", row))
    assert (detail["event_id"], detail["result"]) == (event_id, "confirmed_compromised")


def audited(service: Service) -> list[dict[str, Any]]:
    """Return the audit trail, oldest first."""
    engine = create_engine(service.settings.database_url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT at, realm, actor, action, object, detail FROM audit ORDER BY id"))
        lines = [dict(row) for row in rows.mappings()]
    engine.dispose()
    return lines


def test_a_pass_is_taken_in_once_and_again(service: Service, user: str, ago: Ago) -> None:
    event_id = stepped_up(service, user, ago)
    body = {"result": "step_up_passed", "amr": ["otp"]}

    first = service.post(f"/events/{event_id}/report", body)
    again = service.post(f"/events/{event_id}/report", body)

    assert (first.status_code, again.status_code) == (200, 200)
    assert len(service.get(f"/events/{event_id}").json()["reports"]) == 1


def test_a_pass_on_an_event_that_was_allowed_is_a_conflict(service: Service, user: str) -> None:
    allowed = service.post("/score", {"user_id": user, "ip": NEW_YORK}).json()
    answer = service.post(f"/events/{allowed['event_id']}/report", {"result": "step_up_passed"})

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("result", "scope"), [("step_up_passed", "report"), ("step_up_abandoned", "report"), ("confirmed_safe", "verdict")]
)
def test_a_report_needs_the_scope_of_its_result(result: str, scope: str, service: Service, user: str, ago: Ago) -> None:
    event_id = stepped_up(service, user, ago)
    other = "verdict" if scope == "report" else "report"

    lacking = service.post(f"/events/{event_id}/report", {"result": result}, service.key(other))
    having = service.post(f"/events/{event_id}/report", {"result": result}, service.key(scope))

    assert (lacking.status_code, lacking.json()["scope"]) == (403, scope)
    assert having.status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/result"),
        ({"result": "passed"}, "/result"),
        ({"result": "remediated"}, "/result"),
        ({"result": "step_up_passed", "event_id": "x"}, "/event_id"),
        ({"result": "step_up_passed", "at": "yesterday"}, "/at"),
        ({"result": "step_up_passed", "amr": "otp"}, "/amr"),
        ({"result": "step_up_passed", "note": "x"}, "/note"),
        ([], ""),
    ],
)
def test_a_wrong_report_is_refused_by_field(body: Any, pointer: str, service: Service, user: str, ago: Ago) -> None:
    event_id = stepped_up(service, user, ago)
    answer = service.post(f"/events/{event_id}/report", body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert service.get(f"/events/{event_id}").json()["reports"] == []


def test_a_compromised_user_is_at_risk_until_remediated(service: Service, user: str, ago: Ago) -> None:
    event_id = stepped_up(service, user, ago)
    service.post(f"/events/{event_id}/report", {"result": "confirmed_compromised"})
    at_risk = service.post("/score", {"user_id": user, "ip": NEW_YORK}).json()

    ended = service.post("/users/remediate", {"user_id": user})
    after = service.post("/score", {"user_id": user, "ip": NEW_YORK}).json()

    assert at_risk["decision"] == "step_up"
    assert ended.status_code == 200
    assert after["decision"] == "allow"


@pytest.mark.parametrize("body", [{}, [], {"user_id": None}, {"user_id": ""}, {"user_id": "a", "b": 1}, {"user_id": 1}])
def test_remediating_nobody_is_refused(body: Any, service: Service) -> None:
    assert service.post("/users/remediate", body).status_code == 422


def test_remediating_a_user_never_seen_is_not_found(service: Service) -> None:
    answer = service.post("/users/remediate", {"user_id": "never-seen-user"})

    assert answer.status_code == 404
    assert "never-seen-user" not in answer.text


def test_remediating_needs_the_scope_of_a_verdict(service: Service) -> None:
    assert service.post("/users/remediate", {"user_id": "a"}, service.key("report")).json()["scope"] == "verdict"
