"""Every case over HTTP, each in a realm of its own: what the engine must decide, a caller must be told."""

from typing import Any

import pytest

from riskengine.app import clock
from riskengine.check import format_time
from riskengine.engine.saved import spelled
from riskengine.event import DAY_MS, Event, Report
from tests.api.conftest import ALL_SCOPES, Service
from tests.doors import EPOCH, Case, check, load_cases

CASES = load_cases()
# Live refuses what is more than 400 days old, and the clock is not to be waited for.
BEGAN = 399 * DAY_MS


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_over_http(case: Case, service: Service) -> None:
    headers = service.key(*ALL_SCOPES, realm=case.name[:60])
    shift = clock() - BEGAN - EPOCH

    for step in case.steps:
        answer = service.post(*_request(step.item, shift), headers)
        assert answer.status_code == (409 if "refused" in step.then else 200), f"{case.name}: {answer.text}"
        check(case.name, step.then, answer.json())


def _request(item: Event | Report, shift: int) -> tuple[str, dict[str, Any]]:
    if isinstance(item, Event):
        body = spelled(item)
        assert item.occurred_at is not None
        return "/score", body | {"occurred_at": format_time(item.occurred_at + shift)}
    assert item.at is not None
    return f"/events/{item.event_id}/report", {"result": item.result, "at": format_time(item.at + shift)}
