"""Every error is a problem that says what to do, and none says what it should not."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Never

import pytest
import structlog
from starlette.requests import Request
from starlette.routing import Route
from starlette.testclient import TestClient

from riskengine.api.problems import KINDS, problem_of
from riskengine.app import build, start_logging
from riskengine.errors import NotFound, Overloaded, StoreUnavailable
from tests.api.conftest import Service, settings_for
from tests.fixtures_geo import World

SECRET = "ana@example.org from 192.0.2.99"


def test_a_path_that_does_not_exist_is_a_problem(service: Service) -> None:
    answer = service.client.get("/nowhere")

    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_method_that_does_not_exist_says_which_does(service: Service) -> None:
    answer = service.client.get("/score")

    assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


def test_every_answer_carries_the_request_id_and_is_kept_by_nobody(service: Service) -> None:
    given = service.client.get("/nowhere", headers={"X-Request-ID": "abc-123"})
    made = service.client.get("/healthz")
    refused = service.client.get("/healthz", headers={"X-Request-ID": "a b\tc"})

    assert given.headers["x-request-id"] == given.json()["request_id"] == "abc-123"
    assert given.json()["instance"] == "urn:riskengine:request:abc-123"
    assert re.fullmatch("[0-9a-f]{24}", made.headers["x-request-id"])
    assert re.fullmatch("[0-9a-f]{24}", refused.headers["x-request-id"])
    for answer in (given, made):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


@contextmanager
def json_logging() -> Iterator[None]:
    """Logs as a serving process writes them, for a while."""
    handlers, level = logging.root.handlers[:], logging.root.level
    start_logging("json")
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def broken(tmp_path: Path, world: World) -> Iterator[TestClient]:
    """The application with one more path, which fails with a text that must not be seen."""

    async def fail(request: Request) -> Never:
        raise LookupError(SECRET)

    app = build(settings_for(tmp_path, world))
    app.router.routes.append(Route("/broken", fail))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_a_defect_is_a_500_without_internals(broken: TestClient) -> None:
    answer = broken.get("/broken")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    for word in (SECRET, "LookupError", "Traceback", ".py"):
        assert word not in answer.text


def test_a_defect_is_logged_with_its_place_but_not_its_text(
    broken: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    with json_logging():
        broken.get("/broken", headers={"X-Request-ID": "find-me"})
        logging.getLogger("somebody").error("failed", exc_info=LookupError(SECRET))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    ours = next(line for line in lines if line["event"] == "internal error")
    assert (ours["request_id"], ours["level"], ours["chain"][0]["error"]) == ("find-me", "error", "LookupError")
    assert "test_problems.py" in ours["chain"][0]["trace"][-1]
    assert SECRET not in json.dumps(lines)


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [(Overloaded(3), 503, "3"), (StoreUnavailable("postgresql://u:p@db"), 503, "1"), (NotFound("no such"), 404, None)],
)
def test_what_may_be_tried_again_says_when(error: Exception, status: int, retry: str | None) -> None:
    problem = problem_of(error)

    assert problem.kind.status == status
    assert problem.headers.get("Retry-After") == retry
    assert "postgresql" not in json.dumps(problem.body())


def test_no_two_kinds_of_problem_share_a_code() -> None:
    codes: list[Any] = [kind.code for kind in KINDS]

    assert len(codes) == len(set(codes))
