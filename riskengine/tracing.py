"""Traces, where OTEL_* variables ask for them: each request, the batch that served it, and the batch's stages.

One batch serves many requests: its span belongs to the trace of the first of them, and it and each request it served
link to each other. Attributes are route templates, codes and counts; never a path, a query or anything of a person.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from threading import Thread
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry import propagate
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
    use_span,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riskengine.errors import SettingsError
from riskengine.metrics import Stages

if TYPE_CHECKING:  # the package is an extra
    from opentelemetry.sdk.trace import TracerProvider

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_NS = 1_000_000_000
CLOSE_SECONDS = 3.0  # a collector that does not answer may not hold up a stop


class Tracing:
    """Writes spans by the tracer of a provider."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self.tracer = provider.get_tracer("riskengine")

    def close(self) -> None:
        """Send off what is still to be sent, for a few seconds at most."""
        last = Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(CLOSE_SECONDS)

    def current(self) -> Span:
        """Return the span of the request that is served just now."""
        return get_current_span()

    def decided(self, outcomes: Sequence[Any]) -> None:
        """Note on the span of the request served just now how many of its events got which decision."""
        found = Counter(one["decision"] for one in outcomes if isinstance(one, Mapping))
        self.current().set_attributes({f"riskengine.{decision}": number for decision, number in found.items()})

    @contextmanager
    def batch(self, served: Sequence[Span | None], stages: Stages) -> Iterator[None]:
        """Write the span of a batch around it, from its last lap on, and those of its stages at its end.

        `served` is the span of the request that each item came with. Nothing is written when none is to be recorded.
        """
        requests = [span for span in dict.fromkeys(served) if span is not None and span.is_recording()]
        if not requests:
            yield
            return
        offset = time_ns() - monotonic_ns()
        span = self.tracer.start_span(
            "batch",
            set_span_in_context(requests[0]),
            start_time=offset + int(stages.laps[-1][1] * _NS),
            links=[Link(request.get_span_context()) for request in requests],
            attributes={"riskengine.items": len(served), "riskengine.requests": len(requests)},
        )
        for request in requests:
            request.add_link(span.get_span_context())
        with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            yield
            self._stages(span, stages, offset)

    def _stages(self, batch: Span, stages: Stages, offset: int) -> None:
        """Write the stages of a batch as its children; the time in the queue was before it and is an attribute."""
        context = set_span_in_context(batch)
        for stage, begin, end in stages.spans():
            if stage == "queue":
                batch.set_attribute("riskengine.queue_seconds", round(end - begin, 6))
            else:
                span = self.tracer.start_span(stage, context, start_time=offset + int(begin * _NS))
                span.end(offset + int(end * _NS))


class TracedRequests:
    """ASGI middleware: a span around each request, in the trace that the caller's `traceparent` names."""

    def __init__(self, app: ASGIApp, tracing: Tracing, routes: Sequence[Route]) -> None:
        self._app, self._tracer = app, tracing.tracer
        self._templates = {route.endpoint: route.path for route in routes}
        self._carried = {name.encode(): name for name in propagate.get_global_textmap().fields}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything that is not HTTP passes untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        carried = ((self._carried.get(name), value) for name, value in scope["headers"])
        parent = propagate.extract({name: value.decode("latin-1") for name, value in carried if name})
        span = self._tracer.start_span(
            method, parent, SpanKind.SERVER, {"http.request.method": method, "url.scheme": scope["scheme"]}
        )

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._tell(span, method, scope.get("endpoint"), message["status"])
            await send(message)

        with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            await self._app(scope, receive, answer)

    def _tell(self, span: Span, method: str, endpoint: Any, status: int) -> None:
        span.set_attribute("http.response.status_code", status)
        if route := self._templates.get(endpoint):
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute("error.type", str(status))


def start_tracing() -> Tracing | None:
    """Return traces that go where OTEL_* variables say; None where they name no place.

    SettingsError says in one sentence what is asked for and cannot be had.
    """
    asked = _asked(os.environ)
    if asked is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            f"{asked} asks for traces, and what sends them is not installed: pip install 'riskengine[otel]'."
        ) from error
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "riskengine"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


def _asked(environ: Mapping[str, str]) -> str | None:
    """Return the variable that asks for traces, None where there is none or another forbids them."""
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none":
        return None
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER")
    asked = next((name for name in names if environ.get(name)), None)
    if asked is None:
        return None
    if exporter not in ("", "otlp"):
        raise SettingsError(f"OTEL_TRACES_EXPORTER {exporter} is not supported: otlp or none.")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if (protocol := environ.get(name, "http/protobuf")) != "http/protobuf":
            raise SettingsError(f"{name} {protocol} is not supported: http/protobuf.")
    return asked


def add_trace_id(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add to a log line the trace of the request, or batch, that it speaks of; a structlog processor."""
    context = get_current_span().get_span_context()
    if context.is_valid:
        line["trace_id"] = f"{context.trace_id:032x}"
    return line
