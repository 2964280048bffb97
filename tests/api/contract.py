"""The contract, hunted: whatever the OpenAPI document lets a caller send gets an answer that the document names.

`python -m tests.api.contract` sends 20,000 generated requests or more, by callers with every scope, with one, with a
key that nobody has, and with none; it prints how many got which status, and fails at the first that breaks the
contract.
"""

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import hypothesis
import schemathesis
import structlog
from hypothesis import HealthCheck, Phase, given
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from riskengine.access.caller import SCOPES
from riskengine.api import manual
from tests.api.conftest import Service, running, settings_for
from tests.fixtures_geo import write_world

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS: dict[str, Any] = {
    f"{found.ok().method} {found.ok().path}": found.ok()  # type: ignore[union-attr]
    for found in schemathesis.openapi.from_dict(manual.openapi()).get_all_operations()
}
# Wrong requests can be made only where something is sent.
WAYS = [
    (name, mode)
    for name, operation in OPERATIONS.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or {"requestBody", "parameters"} & set(operation.definition.raw)
]
NOBODY = {"Authorization": f"Bearer rk_{'0' * 16}_{'0' * 64}"}
# A machine that is busy with something else answers late, and the service says so: asked again, it may not.
TRIES, SLOW = 10, 503
AT_ONCE = 200  # of one way, before the next has its turn


def callers_of(service: Service) -> list[dict[str, str]]:
    """Return headers of who may call: half of the requests come from who may everything."""
    everybody = service.key(*SCOPES)
    return [everybody, {}, everybody, service.key("score"), everybody, NOBODY]


def hunt(
    name: str, mode: GenerationMode, service: Service, callers: Sequence[dict[str, str]], **how: Any
) -> Counter[int]:
    """Send generated requests of one way, by these callers in turn; return how many got which status."""
    seen: Counter[int] = Counter()

    @given(case=OPERATIONS[name].as_strategy(generation_mode=mode))
    @hypothesis.settings(
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        **how,
    )
    def check(case: Any) -> None:
        answer = _sent(case, service, callers[seen.total() % len(callers)])
        seen[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    check()
    return seen


def _sent(case: Any, service: Service, headers: dict[str, str]) -> Any:
    given = case.as_transport_kwargs(base_url="http://testserver", headers=headers)
    kept = {name.lower(): value for name, value in given["headers"].items()}
    if not headers:
        kept.pop("authorization", None)
    body = given.get("data")
    sent = {"json": given["json"]} if "json" in given else {"data" if isinstance(body, dict) else "content": body}
    for _ in range(TRIES):
        answer = service.client.request(given["method"], given["url"], params=given.get("params"), headers=kept, **sent)
        if answer.status_code != SLOW:
            break
        time.sleep(0.5)
    return answer


@click.command()
@click.option("--requests", default=20_000, help="How many to send at least.")
def main(requests: int) -> None:
    """Hunt until enough was sent; every round draws anew."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    seen: Counter[tuple[str, int]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        world = write_world(Path(folder))
        with running(settings_for(Path(folder) / "home", world, limit_rate=1_000_000)) as service:
            callers = callers_of(service)
            while seen.total() < requests:
                for name, mode in WAYS:
                    found = hunt(name, mode, service, callers, max_examples=AT_ONCE)
                    seen.update({(name, status): number for status, number in found.items()})
                click.echo(f"{seen.total()} requests", err=True)
    for (name, status), number in sorted(seen.items()):
        click.echo(f"{number:7} {status} {name}")
    click.echo(f"{seen.total()} requests, none broke the contract")


if __name__ == "__main__":
    main()
