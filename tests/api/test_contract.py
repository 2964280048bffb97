"""Whatever the OpenAPI document lets a caller send gets an answer that the document names, and never a 500.

`make contract` sends a thousand times as much.
"""

import pytest
from schemathesis import GenerationMode

from tests.api.conftest import Service
from tests.api.contract import OPERATIONS, WAYS, callers_of, hunt

# The service runs in a thread beside, whose jitter draws from `random` while Hypothesis watches it.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
IDS = [f"{name}, {mode.value}" for name, mode in WAYS]


@pytest.mark.parametrize(("name", "mode"), WAYS, ids=IDS)
def test_nothing_that_can_be_sent_breaks_the_contract(name: str, mode: GenerationMode, service: Service) -> None:
    callers = callers_of(service)

    assert hunt(name, mode, service, callers[:1], max_examples=15, derandomize=True)


@pytest.mark.parametrize("name", [name for name, found in OPERATIONS.items() if "security" in found.definition.raw])
def test_who_may_not_call_is_told_so_as_the_document_says(name: str, service: Service) -> None:
    none, nobody = callers_of(service)[1], callers_of(service)[5]

    seen = hunt(name, GenerationMode.POSITIVE, service, [none, nobody], max_examples=4, derandomize=True)

    assert set(seen) <= {401}, "whatever else is wrong, it is not told to who is not known"
