"""Whatever the OpenAPI document lets a caller send gets an answer that the document names, and never a 500."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from riskengine.api import manual
from tests.api.conftest import Service

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
DOCUMENT = schemathesis.openapi.from_dict(manual.openapi())
OPERATIONS: dict[str, Any] = {
    f"{found.ok().method} {found.ok().path}": found.ok()  # type: ignore[union-attr]
    for found in DOCUMENT.get_all_operations()
}
# Wrong requests can be made only where something is sent.


def _sent(given: dict[str, Any]) -> dict[str, Any]:
    """Return a body as the client is to be given it: JSON, a form, or bytes."""
    if "json" in given:
        return {"json": given["json"]}
    return {"data" if isinstance(given.get("data"), dict) else "content": given.get("data")}


WAYS = [
    (name, mode)
    for name, operation in OPERATIONS.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or {"requestBody", "parameters"} & set(operation.definition.raw)
]


@pytest.mark.parametrize(("name", "mode"), WAYS, ids=[f"{name}, {mode.value}" for name, mode in WAYS])
def test_nothing_that_can_be_sent_breaks_the_contract(name: str, mode: GenerationMode, service: Service) -> None:
    operation = OPERATIONS[name]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=15,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Any) -> None:
        given = case.as_transport_kwargs(base_url="http://testserver", headers=service.headers)
        answer = service.client.request(
            given["method"],
            given["url"],
            params=given.get("params"),
            headers=dict(given["headers"]),
            **_sent(given),
        )
        case.validate_response(answer, checks=CHECKS)

    check()
