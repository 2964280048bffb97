"""What a process counts of itself. Labels are route templates, codes and names of states; never a person's data."""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

# Our own registry: the library's global one would be shared with whatever else runs in the process.
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

REQUESTS = Counter("riskengine_requests", "HTTP requests answered", ("route", "status"), registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "riskengine_request_seconds",
    "Time from the first byte of a request to the start of its answer",
    ("route",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=REGISTRY,
)
DECISIONS = Counter(
    "riskengine_decisions",
    "Decisions answered, previews not counted",
    ("decision", "source"),
    registry=REGISTRY,
)
BATCHES = Histogram(
    "riskengine_batch_items",
    "Items decided in one batch",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=REGISTRY,
)
FALLBACKS = Counter("riskengine_fallbacks", "Events answered without the store", registry=REGISTRY)
JOURNALED = Gauge("riskengine_journal_pending", "Answered events that the store has not taken yet", registry=REGISTRY)
READY = Gauge("riskengine_ready", "1 when /readyz last said so, else 0", registry=REGISTRY)
GEO_HELD = Gauge(
    "riskengine_geolocation_held", "1 while new geolocation files are held back, else 0", registry=REGISTRY
)
POLICY_PROBLEMS = Gauge(
    "riskengine_policy_problems",
    "Policy files or activated policies that cannot be taken up; what was in force stays",
    registry=REGISTRY,
)


def exposition() -> tuple[bytes, str]:
    """Return everything counted so far in Prometheus' text format, and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
