"""What is documented is what is done."""

import json
import re
from collections.abc import Callable
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from riskengine import event, network
from riskengine.api import blocks, events, health, manual, oauth, schema, score, search, verdicts
from riskengine.errors import InvalidInput
from tests.api.conftest import NEW_YORK, TOKYO, Service


def test_the_documented_fields_of_an_event_are_those_it_has() -> None:
    assert set(schema.EventBody.model_fields) == set(event.EVENT_FIELDS)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (schema.MfaBody, event.Mfa),
        (schema.NetworkBody, event.NetworkClaim),
        (schema.PositionBody, event.Position),
        (schema.RttBody, event.Rtt),
    ],
)
def test_the_documented_fields_of_what_an_event_holds_are_those_it_has(model: type[BaseModel], kind: Any) -> None:
    assert set(model.model_fields) == set(kind.__dataclass_fields__)


@pytest.mark.parametrize(
    ("documented", "real"),
    [
        (schema.Outcome, event.OUTCOMES),
        (schema.MfaResult, event.MFA_RESULTS),
        (schema.Action, event.ACTIONS),
        (schema.Sensitivity, event.SENSITIVITIES),
        (schema.NetworkType, event.NETWORK_TYPES),
        (schema.Kind, network.KINDS),
        (schema.ReportResult, (*event.STEP_UP_RESULTS, *event.VERDICTS)),
    ],
)
def test_the_documented_choices_are_those_there_are(documented: Any, real: tuple[str, ...]) -> None:
    assert get_args(documented) == real


FULL: dict[str, Any] = {
    "user_id": "ana", "ip": "192.0.2.10", "event_id": "e-1", "occurred_at": "2026-03-04T09:15:27Z", "login": "Ana",
    "outcome": "success", "mfa": {"result": "passed", "amr": ["otp"], "at": "2026-03-04T09:15:27Z"},
    "action": "login", "user_agent": "Mozilla/5.0", "device_id": "d", "session_id": "s", "groups": ["staff"],
    "resource": "payroll", "sensitivity": "high",
    "network": {"type": "wifi", "ssid": "cafe", "bssid": "aa:bb", "secured": False, "public": True},
    "position": {"latitude": 40.7, "longitude": -74.0, "accuracy_m": 20}, "timezone": "Europe/Lisbon",
    "rtt": {"ms": 20, "edge": "fra"}, "context": {"a": 1},
}  # fmt: skip


def test_a_full_event_is_right_by_the_document_and_by_the_engine() -> None:
    assert set(FULL) == set(event.EVENT_FIELDS)
    schema.EventBody.model_validate(FULL)
    event.parse_event(FULL)


@pytest.mark.parametrize("name", list(event.EVENT_FIELDS))
@pytest.mark.parametrize(
    "value", [7, "", [7], {"x": 1}, True, "x" * 3000], ids=["7", "empty", "list", "object", "true", "long"]
)
def test_what_the_document_forbids_the_engine_refuses(name: str, value: Any) -> None:
    body = {**FULL, name: value}
    try:
        event.parse_event(body)
    except InvalidInput:
        return
    schema.EventBody.model_validate_json(json.dumps(body), strict=True)


def test_every_path_that_is_served_is_documented_and_no_other() -> None:
    parts = (score, search, events, blocks, verdicts, oauth, health)
    routes = [route for part in parts for route in part.ROUTES]
    served = {(route.path, method) for route in routes
              for method in (route.methods or set()) - {"HEAD"}}  # fmt: skip
    documented = {(path, method.upper()) for path, methods in manual.openapi()["paths"].items() for method in methods}

    assert documented == served


def test_real_answers_have_the_documented_shape(service: Service, user: str, ago: Callable[[float], str]) -> None:
    first = service.post("/score", {"user_id": user, "ip": NEW_YORK, "occurred_at": ago(10)}).json()
    second = service.post("/score", {"user_id": user, "ip": TOKYO, "occurred_at": ago(0)}).json()
    bare = service.post("/score", {"user_id": user, "ip": TOKYO}, service.key("score")).json()
    batch = service.post("/score/batch", {"events": [{"user_id": user, "ip": TOKYO}, {}]}).json()
    problem = service.post("/score", {}).json()

    for answer in (first, second, bare):
        schema.Answer.model_validate(answer, strict=True)
    for answer in (first, second):
        assert set(answer) == set(schema.Answer.model_fields)
    assert set(bare) == {name for name, field in schema.Answer.model_fields.items() if field.is_required()}
    schema.BatchAnswer.model_validate(batch, strict=True)
    schema.Problem.model_validate(problem, strict=True)
    schema.StoredEvent.model_validate(service.get(f"/events/{first['event_id']}").json(), strict=True)


def test_the_document_is_served_and_complete(service: Service) -> None:
    document = service.client.get("/openapi.json").json()

    assert document["openapi"].startswith("3.1")
    referred = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert referred <= set(document["components"]["schemas"])


def test_the_page_needs_no_other_host_and_no_script(service: Service) -> None:
    answer = service.client.get("/docs")

    assert answer.status_code == 200
    assert "http" not in re.sub(r"urn:\S+", "", answer.text).replace("HTTP", "")
    assert "<script" not in answer.text
    assert "POST /score/batch" in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")


def test_a_full_answer_holds_what_is_documented_and_nothing_else(service: Service) -> None:
    service.post("/score", {"user_id": "manual-1", "ip": NEW_YORK})
    answer = service.post("/score", {"user_id": "manual-1", "ip": TOKYO, "event_id": "manual-2"}).json()
    read = schema.Answer.model_validate(answer)
    stored = schema.StoredEvent.model_validate(service.get("/events/manual-2").json())

    assert answer["decision"] == "step_up"
    for part in (read, read.location, read.network, read.travel, read.data, read.policy, read.step_up, *read.reasons):
        assert part is not None
        assert not part.model_extra
    assert not stored.model_extra
