"""A verdict over a search, over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.conftest import NEW_YORK, Service

PATH = "/events/verdicts"


def test_it_is_counted_given_and_undone(service: Service, user: str, ago: Callable[[float], str]) -> None:
    for minutes in (3, 2, 1):
        body = {"user_id": user, "ip": NEW_YORK, "occurred_at": ago(minutes), "event_id": f"{user}-{minutes}"}
        assert service.post("/score", body).status_code == 200

    def state() -> str:
        return str(service.get(f"/events/{user}-1").json()["state"])

    counted = service.post(PATH, {"filters": {"user_id": user}, "result": "confirmed_compromised"}).json()
    assert (counted["count"], counted["applied"], state()) == (3, 0, "open")
    given = service.post(PATH, {"confirm": counted["confirm"]}).json()
    assert given == counted | {"applied": 3, "confirm": None}
    assert state() == "confirmed_compromised"
    undo = f"{PATH}/{given['id']}/undo"
    asked = service.post(undo, {}).json()
    assert (asked["count"], asked["result"], state()) == (3, "withdrawn", "confirmed_compromised")
    assert service.post(undo, {"confirm": asked["confirm"]}).json()["applied"] == 3
    assert state() == "open"
    told = [one["result"] for one in service.get(f"/events/{user}-1").json()["reports"]]
    assert told == ["confirmed_compromised", "withdrawn"], "what was done is still told"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param({}, "/filters", id="nothing"),
        pytest.param({"filters": {}}, "/result", id="no_result"),
        pytest.param({"filters": [], "result": "dismissed"}, "/filters", id="no_filters"),
        pytest.param({"filters": {"asn": "x"}, "result": "dismissed"}, "/filters/asn", id="filter"),
        pytest.param({"filters": {}, "result": "withdrawn"}, "/result", id="no_verdict"),
        pytest.param({"filters": {}, "confirm": "x"}, "/confirm", id="both"),
        pytest.param({"confirm": "x"}, "/confirm", id="no_note"),
        pytest.param([], "", id="no_object"),
    ],
)
def test_what_makes_no_sense_is_named(service: Service, body: Any, pointer: str) -> None:
    answer = service.post(PATH, body)

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_only_who_may_judge_may(service: Service) -> None:
    key = service.key("score", "report", "events:read", "events:export", "admin")

    assert service.post(PATH, {"filters": {}, "result": "dismissed"}, key).status_code == 403
    assert service.post(f"{PATH}/0123456789/undo", {}, key).status_code == 403
    assert service.post(f"{PATH}/0123456789/undo", {}).status_code == 404


def test_a_single_report_withdraws_nothing(service: Service, user: str) -> None:
    event_id = service.post("/score", {"user_id": user, "ip": NEW_YORK}).json()["event_id"]

    assert service.post(f"/events/{event_id}/report", {"result": "withdrawn"}).status_code == 422
