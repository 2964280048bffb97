"""A trace follows a request into the batch that served it; it says nothing of a person, and costs nothing unasked."""

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Never

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.routing import Route
from starlette.testclient import TestClient

from riskengine import app as composition
from riskengine import tracing
from riskengine.app import build, clock, start_logging
from riskengine.errors import SettingsError
from riskengine.event import Event
from riskengine.journal import Journal
from riskengine.live import Live
from riskengine.metrics import STAGES
from riskengine.settings import Settings
from riskengine.store.memory import MemoryStore
from riskengine.tracing import TracedRequests, Tracing, start_tracing
from tests.doors import ADDRESSES, SEAL, engine_over
from tests.fixtures_geo import World

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0{}"
TRACE = 0x0AF7651916CD43DD8448EB211C80319C


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)


class Spans:
    """What was traced, by the name of the span."""

    def __init__(self) -> None:
        sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="the extra otel is not installed")
        export = pytest.importorskip("opentelemetry.sdk.trace.export")
        memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
        self._exporter = memory.InMemorySpanExporter()
        provider = sdk.TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(export.SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(provider)

    def all(self) -> list[Any]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[Any]:
        return [span for span in self.all() if span.name == name]


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def app(spans: Spans, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    async def fail(request: Request) -> Never:
        raise LookupError("ana@example.org")

    monkeypatch.setattr(composition, "start_tracing", lambda: spans.tracing)
    made = build(Settings(home=tmp_path, geoip_city=world.city, geoip_asn=world.asn))
    made.router.routes.append(Route("/broken", fail))
    return made


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        token, _ = app.state.parts.access.create("all", ("score", "events:read"), "default", clock())
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def score(client: TestClient, **headers: str) -> dict[str, Any]:
    body = {"user_id": "ana@example.org", "ip": ADDRESSES["new_york"], "event_id": "a-personal-event-id"}
    answer = client.post("/score", json=body, headers=headers)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def test_a_request_joins_its_callers_trace_and_so_do_its_batch_and_the_stages(client: TestClient, spans: Spans) -> None:
    score(client, traceparent=CALLER.format(1))

    [request], [batch] = spans.named("POST /score"), spans.named("batch")
    assert {span.context.trace_id for span in spans.all()} == {TRACE}
    assert f"{request.parent.span_id:016x}" == "b7ad6b7169203331"
    assert batch.parent.span_id == request.context.span_id
    assert [link.context.span_id for link in batch.links] == [request.context.span_id]
    assert [link.context.span_id for link in request.links] == [batch.context.span_id]
    stages = [span for span in spans.all() if span.parent.span_id == batch.context.span_id]
    assert [span.name for span in stages] == [
        *("handover", "locate", "lock", "load", "assess", "answer", "save", "commit", "handover"),
    ]
    assert all(batch.start_time <= stage.start_time <= stage.end_time <= batch.end_time for stage in stages)
    assert {stage.name for stage in stages} < set(STAGES)


def test_spans_say_what_happened_and_nothing_of_a_person(client: TestClient, spans: Spans) -> None:
    score(client)
    client.get("/events/a-personal-event-id?filter=ana@example.org")
    client.get("/no/such/ana@example.org")

    [request], [batch] = spans.named("POST /score"), spans.named("batch")
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/score",
        "http.response.status_code": 200,
        "riskengine.allow": 1,
    }
    assert batch.attributes["riskengine.items"] == batch.attributes["riskengine.requests"] == 1
    assert batch.attributes["riskengine.queue_seconds"] >= 0
    assert len(spans.named("GET /events/{event_id}")) == len(spans.named("GET")) == 1
    text = "".join(span.to_json() for span in spans.all())
    for personal in ("ana@example.org", ADDRESSES["new_york"], "a-personal-event-id", "/no/such"):
        assert personal not in text


def test_what_the_caller_does_not_sample_is_not_recorded(client: TestClient, spans: Spans) -> None:
    score(client, traceparent=CALLER.format(0))

    assert spans.all() == []


def test_a_defect_is_an_error_without_its_text_and_its_log_line_bears_the_trace(
    client: TestClient, spans: Spans, capsys: pytest.CaptureFixture[str]
) -> None:
    start_logging("json")
    client.get("/broken", headers={"traceparent": CALLER.format(1)})
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    [span] = spans.all()
    assert (span.status.is_ok, span.attributes["error.type"], span.events) == (False, "500", ())
    [line] = [line for line in lines if line["event"] == "internal error"]
    assert line["trace_id"] == f"{TRACE:032x}"


def test_one_batch_serves_many_and_links_to_each(
    spans: Spans, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = Live(engine_over(MemoryStore(), world), Journal(tmp_path, SEAL), tracing=spans.tracing)

    async def request(number: int) -> None:
        action = "nonsense" if number == 2 else "login"  # a defect of ours, so that the engine's thread logs something
        with spans.tracing.tracer.start_as_current_span(f"request {number}"):
            await live.score([Event(f"user {number}", ADDRESSES["new_york"], action=action)], "default", True)

    async def scene() -> None:
        await live.start()
        await asyncio.gather(*(request(number) for number in range(3)))
        await live.stop()

    start_logging("json")
    asyncio.run(scene())
    [batch] = spans.named("batch")
    requests = [spans.named(f"request {number}")[0] for number in range(3)]
    assert [link.context for link in batch.links] == [request.context for request in requests]
    assert all([link.context for link in request.links] == [batch.context] for request in requests)
    assert batch.context.trace_id == requests[0].context.trace_id != requests[1].context.trace_id
    assert [request.attributes.get("riskengine.allow") for request in requests] == [1, 1, None]
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line["trace_id"] for line in lines} == {f"{batch.context.trace_id:032x}"}
    assert "segment_broken" in {line["event"] for line in lines}


# --- asked for, or not --------------------------------------------------------------------------------------------


def test_unasked_there_is_no_tracing_in_the_application(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = build(Settings(home=tmp_path, geoip_city=world.city, geoip_asn=world.asn))
    start_logging("json")
    with TestClient(made) as client:
        client.get("/healthz", headers={"traceparent": CALLER.format(1)})
    said = capsys.readouterr().err

    assert made.state.parts.tracing is None
    assert TracedRequests not in [middleware.cls for middleware in list[Any](made.user_middleware)]
    assert "started" in said
    assert "trace_id" not in said


@pytest.mark.parametrize("exporter", ["none", "None "])
def test_what_is_switched_off_is_off(exporter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", exporter)
    switched_off = start_tracing()
    monkeypatch.delenv("OTEL_TRACES_EXPORTER")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    assert switched_off is start_tracing() is None


def test_asked_for_without_the_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    with pytest.raises(SettingsError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT asks .* pip install 'riskengine\[otel\]'\.$"):
        start_tracing()


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
)
def test_what_cannot_be_had_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"{name} {value} is not supported"):
        start_tracing()


def test_spans_reach_a_collector_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *given: Any) -> None:
            """Nothing is to be seen of it."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        found = start_tracing()
        assert found is not None
        found.tracer.start_span("sent").end()
        found.close()
        server.shutdown()

    [(path, body)] = got
    assert path == "/v1/traces"
    assert b"sent" in body
    assert b"service.name" in body
    assert b"riskengine" in body


def test_a_collector_that_hangs_holds_up_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
    monkeypatch.setattr(tracing, "CLOSE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        found = start_tracing()
        assert found is not None
        found.tracer.start_span("never sent").end()
        began = time.monotonic()
        found.close()

        assert time.monotonic() - began < 0.8
