"""Blocks over HTTP: who may, what is answered, and that the server heeds them."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.conftest import TOKYO, Service

ORDER = {"value": TOKYO, "for": "24h", "why": "ticket 4711"}


def denied(service: Service, body: dict[str, Any]) -> bool:
    answer = service.post("/score/preview", body)
    assert answer.status_code == 200, answer.text
    return bool(answer.json()["decision"] == "deny")


def until(done: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_block_is_put_up_heeded_listed_and_lifted(service: Service, user: str, ago: Callable[[float], str]) -> None:
    body = {"user_id": user, "ip": TOKYO, "device_id": f"{user}-laptop"}
    for minutes in (3, 2, 3000):
        service.post("/score", body | {"occurred_at": ago(minutes)})

    made = service.post("/blocks", ORDER | {"value": f"device:{user}-laptop"})

    assert made.status_code == 200, made.text
    told = made.json()
    assert told.pop("last_day") == {"count": 2, "exact": True, "text": "2"}
    assert (told["kind"], told["value"], told["by"], told["why"]) == (
        "device", f"device:{user}-laptop", "all", "ticket 4711",
    )  # fmt: skip
    until(lambda: denied(service, body))
    assert told in service.get("/blocks").json()["blocks"]
    lifted = service.client.delete(f"/blocks/{told['id']}", headers=service.headers)
    assert lifted.json() == told | {"lifted_at": lifted.json()["lifted_at"]}
    assert lifted.json()["lifted_at"] is not None
    until(lambda: not denied(service, body))
    assert told["id"] not in str(service.get("/blocks").json())
    assert lifted.json() in service.get("/blocks?all=true").json()["blocks"]


def test_a_caller_who_only_scores_is_told_the_reason_and_not_why(service: Service, user: str) -> None:
    service.post("/blocks", ORDER | {"value": f"user:{user}", "why": "secret"})
    body, key = {"user_id": user, "ip": TOKYO}, service.key("score")
    until(lambda: denied(service, body))

    answer = service.post("/score", body, key).json()

    assert [reason["code"] for reason in answer["reasons"]] == ["blocked"]
    assert "secret" not in str(answer)


def test_a_wide_network_that_is_meant_is_not_counted(service: Service) -> None:
    refused = service.post("/blocks", ORDER | {"value": "100.0.0.0/6"})
    made = service.post("/blocks", ORDER | {"value": "100.0.0.0/6", "force": True})
    service.client.delete(f"/blocks/{made.json()['id']}", headers=service.headers)

    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/value")
    assert (made.status_code, made.json()["last_day"]) == (200, None)


@pytest.mark.parametrize("scope", ["score", "report", "events:read", "events:export", "admin"])
def test_only_who_may_judge_may_shut_out(service: Service, scope: str) -> None:
    key = service.key(scope)

    assert service.post("/blocks", ORDER, key).status_code == 403
    assert service.client.delete("/blocks/0123456789", headers=key).status_code == 403
    assert service.get("/blocks", key).status_code == (200 if scope == "events:read" else 403)


def test_another_realms_block_is_not_there(service: Service) -> None:
    made = service.post("/blocks", ORDER | {"value": "user:x"}, service.key("verdict", realm="other")).json()

    assert service.client.delete(f"/blocks/{made['id']}", headers=service.headers).status_code == 404
    assert made["id"] not in str(service.get("/blocks?all=true").json())


@pytest.mark.parametrize(
    ("path", "status"), [("/blocks?all=yes", 400), ("/blocks?every=true", 400), ("/blocks?all=true&all=true", 400)]
)
def test_a_parameter_that_makes_no_sense_is_named(service: Service, path: str, status: int) -> None:
    answer = service.get(path)

    assert (answer.status_code, answer.json()["parameter"] in ("all", "every")) == (status, True)


@pytest.mark.parametrize("body", [[], "x", 7])
def test_a_body_that_is_no_object_is_refused(service: Service, body: Any) -> None:
    assert service.post("/blocks", body).status_code == 422
