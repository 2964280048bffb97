"""What a process counts of itself, by every name it has.

Labels are route templates, codes and stages; never a person's data. What happens for each request or batch is first
put down in `Bins` and `Tally`, at a fraction of the price, and moved over to the metrics by `flush`. Where
PROMETHEUS_MULTIPROC_DIR is set when this is imported, each worker keeps its metrics in files of that folder, and any
worker's `exposition` is the sum over all.
"""

import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import nan
from threading import Lock
from time import monotonic
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

# Whether other processes count too: then each has to flush by itself, because any of them may be asked for the sum.
SHARED = "PROMETHEUS_MULTIPROC_DIR" in os.environ
# Our own registry: the library's global one would be shared with whatever else runs in the process.
REGISTRY = CollectorRegistry()
# When each series began would double their number, and several workers could not tell it.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Binned(Histogram):
    """A histogram that takes many observations in one step."""

    def add(self, counts: Sequence[int], total: float) -> None:
        """Add so many observations to each bucket, and `total`, which is what they come to."""
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)

    def bins(self, counted: Counter | None = None) -> "Bins":
        """Return where to observe; each flush also adds the number of observations to `counted`."""
        return Bins(self, self._upper_bounds, counted)


# Guards all that is not flushed yet. One for all: a batch has a dozen things to put down and takes it once.
_lock = Lock()


class Bins:
    """Observations for one histogram since the last flush."""

    __slots__ = ("_bounds", "_counted", "_counts", "_metric", "_sum")

    def __init__(self, metric: Binned, bounds: Sequence[float], counted: Counter | None) -> None:
        self._metric, self._bounds, self._counted = metric, bounds, counted
        self._counts, self._sum = [0] * len(bounds), 0.0
        _UNFLUSHED.append(self)

    def observe(self, value: float) -> None:
        """Put down one observation, in any thread."""
        with _lock:
            self.put(value)

    def put(self, value: float) -> None:
        """Put down one observation; the caller holds the lock."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def flush(self) -> None:
        """Move what was put down over to the metric."""
        with _lock:
            counts, total = self._counts, self._sum
            self._counts, self._sum = [0] * len(counts), 0.0
        if number := sum(counts):
            self._metric.add(counts, total)
            if self._counted is not None:
                self._counted.inc(number)


class Tally:
    """What a counter has to be raised by since the last flush, by its labels. Who adds to `new` holds the lock."""

    __slots__ = ("_counter", "new")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self.new: defaultdict[tuple[str, ...], int] = defaultdict(int)
        _UNFLUSHED.append(self)

    def flush(self) -> None:
        """Move what was counted over to the metric."""
        with _lock:
            new, self.new = self.new, defaultdict(int)
        for labels, number in new.items():
            self._counter.labels(*labels).inc(number)


_UNFLUSHED: list[Bins | Tally] = []

# --- requests ---------------------------------------------------------------------------------------------------------

REQUESTS = Counter("riskengine_requests", "HTTP requests answered", ("route", "status"), registry=REGISTRY)
REQUEST_SECONDS = Binned(
    "riskengine_request_seconds",
    "Time from the first byte of a request to the start of its answer",
    ("route",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=REGISTRY,
)

LIMITED = Counter(
    "riskengine_limited", "Requests refused with 429, by the limit that was reached", ("limit",), registry=REGISTRY
)

# --- batches ----------------------------------------------------------------------------------------------------------

QUEUED = Gauge("riskengine_queue_items", "Events and reports that wait", registry=REGISTRY, multiprocess_mode="livesum")
BATCHES = Binned(
    "riskengine_batch_items",
    "Items decided in one batch",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=REGISTRY,
)
STAGE_SECONDS = Binned(
    "riskengine_stage_seconds",
    "Time that one batch spent in each stage",
    ("stage",),
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=REGISTRY,
)

# --- decisions --------------------------------------------------------------------------------------------------------

DECISIONS = Counter(
    "riskengine_decisions",
    "Decisions answered; neither previews nor repeats of the same event",
    ("decision", "source"),
    registry=REGISTRY,
)
REASONS = Counter("riskengine_reasons", "Reasons given with these decisions", ("code",), registry=REGISTRY)
DEGRADED = Counter("riskengine_degraded", "What these decisions had to do without", ("code",), registry=REGISTRY)

# --- what decisions rest on -------------------------------------------------------------------------------------------

READY = Gauge(
    "riskengine_ready",
    "1 while requests may be sent here, else 0; of several workers, the lowest",
    registry=REGISTRY,
    multiprocess_mode="livemin",
)
STORE_FAILURES = Counter(
    "riskengine_store_failures", "Times that the store failed or was too slow and was given up on", registry=REGISTRY
)
JOURNALED = Gauge(
    "riskengine_journal_pending",
    "Answered events that the store has not taken yet",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
GEO_HELD = Gauge(
    "riskengine_geolocation_held",
    "1 while new geolocation files are held back, else 0",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
POLICY_PROBLEMS = Gauge(
    "riskengine_policy_problems",
    "Policy files or activated policies that cannot be taken up; what was in force stays",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
GEO_AGE = Gauge(
    "riskengine_geolocation_age_days",
    "Age of the geolocation data in whole days",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
LOCATED = Counter(
    "riskengine_located_addresses", "Addresses located, by whether the cache held them", ("cache",), registry=REGISTRY
)
LOCATED_HIT, LOCATED_MISS = LOCATED.labels("hit"), LOCATED.labels("miss")

# --- processes --------------------------------------------------------------------------------------------------------

WORKERS = Gauge("riskengine_workers", "Processes that serve", registry=REGISTRY, multiprocess_mode="livesum")
# The names that everybody's dashboards know. The library's own collector could only speak of the worker that was asked.
CPU_SECONDS = Counter("process_cpu_seconds", "CPU time spent by all workers", registry=REGISTRY)
MEMORY = Gauge(
    "process_resident_memory_bytes",
    "Resident memory of all workers; what they share is counted in each",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
OPEN_FILES = Gauge(
    "process_open_fds", "Open file descriptors of all workers", registry=REGISTRY, multiprocess_mode="livesum"
)
STARTED = Gauge(
    "process_start_time_seconds",
    "When the worker that has lived longest started, since 1970",
    registry=REGISTRY,
    multiprocess_mode="livemin",
)
UPKEEP_FAILURES = Counter("riskengine_upkeep_failures", "Runs of upkeep that failed", registry=REGISTRY)


# In the order in which a batch goes through them: it waits, is handed to the engine's thread (and back), …; where the
# store does not answer, all from then until it was answered without is `fallback`.
STAGES = ("queue", "handover", "locate", "lock", "load", "assess", "answer", "save", "commit", "fallback")


class Stages:
    """Where the time of one batch goes: each lap ends one of STAGES, which began where the lap before ended.

    `began` and the ends in `laps` are seconds of time.monotonic. Nobody but the batch adds laps, one thread at a time.
    """

    __slots__ = ("began", "laps")

    def __init__(self, began: float | None = None) -> None:
        self.began = monotonic() if began is None else began
        self.laps: list[tuple[str, float]] = []

    def lap(self, stage: str) -> None:
        """End a stage now; one that is lapped again takes both times together."""
        self.laps.append((stage, monotonic()))

    def spans(self) -> list[tuple[str, float, float]]:
        """Return each stage with its begin and end, in order.

        >>> stages = Stages(1.0)
        >>> stages.laps += [("load", 3.0), ("assess", 3.5)]
        >>> stages.spans()
        [('load', 1.0, 3.0), ('assess', 3.0, 3.5)]
        """
        laps = list(self.laps)
        begins = [self.began, *(end for _, end in laps)]
        return [(stage, begin, end) for begin, (stage, end) in zip(begins, laps, strict=False)]


@cache
def answered(route: str, status: int) -> Bins:
    """Return where the seconds of requests to a route that got this status are put down."""
    return REQUEST_SECONDS.labels(route).bins(REQUESTS.labels(route, str(status)))


_STAGES = {stage: STAGE_SECONDS.labels(stage).bins() for stage in STAGES}
_batches = BATCHES.bins()
_decisions, _reasons, _degraded = Tally(DECISIONS), Tally(REASONS), Tally(DEGRADED)


def observe_batch(items: int, stages: Stages) -> None:
    """Count one batch, and the time it spent in each stage."""
    spent: dict[str, float] = {}
    begin = stages.began
    for stage, end in list(stages.laps):
        spent[stage] = spent.get(stage, 0.0) + end - begin
        begin = end
    with _lock:
        _batches.put(items)
        for stage, seconds in spent.items():
            _STAGES[stage].put(seconds)


def count_decisions(answers: Iterable[Mapping[str, Any]]) -> None:
    """Count what full answers decided and why."""
    with _lock:
        for answer in answers:
            _decisions.new[answer["decision"], answer["source"]] += 1
            for reason in answer["reasons"]:
                _reasons.new[reason["code"],] += 1
            for code in answer["degraded"]:
                _degraded.new[code,] += 1


class _Process:
    """What the kernel says of this process, taken over at each flush."""

    def __init__(self) -> None:
        self._source = ProcessCollector(registry=None)
        self._cpu_seconds = 0.0

    def flush(self) -> None:
        found = {metric.name: metric.samples[0].value for metric in self._source.collect()}
        MEMORY.set(found.get("process_resident_memory_bytes", nan))
        OPEN_FILES.set(found.get("process_open_fds", nan))
        STARTED.set(found.get("process_start_time_seconds", nan))
        spent = found.get("process_cpu_seconds", self._cpu_seconds)
        CPU_SECONDS.inc(spent - self._cpu_seconds)
        self._cpu_seconds = spent


_process, _flushing = _Process(), Lock()


def flush() -> None:
    """Bring up to date what is not counted as it happens."""
    with _flushing:
        for part in list(_UNFLUSHED):
            part.flush()
        _process.flush()


def exposition() -> tuple[bytes, str]:
    """Return everything counted so far, by all workers, in Prometheus' text format, and its content type.

    What other workers counted since their last `flush` is missing.
    """
    flush()
    registry = REGISTRY
    if SHARED:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST
