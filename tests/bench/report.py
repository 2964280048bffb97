"""The measurements as tables for people, and as JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.blocks import Row, Sample, ratio, rows
from tests.bench.compare import EMPTY, NAIVE, OURS
from tests.bench.counts import Counts
from tests.bench.interval import Middle
from tests.bench.open_loop import Latency
from tests.bench.server import Server
from tests.bench.stages import Stages

MOST_GENERATOR_CORES = 0.7


@dataclass(frozen=True)
class Report:
    """All that was measured."""

    setting: dict[str, Any]
    starts: list[float]
    replayed_per_second: float
    samples: list[Sample]
    open_loop: dict[str, Latency]
    counts: Counts
    stages: list[Stages]

    def ratios(self) -> dict[str, Middle]:
        """Return what one compares, by name."""
        found = {}
        for connections in dict.fromkeys(one.connections for one in self.samples):
            for other, letter in ((EMPTY, "a"), (NAIVE, "c")):
                found[f"b/{letter} requests/s, {connections}"] = ratio(self.samples, OURS, other, connections)
                found[f"b/{letter} CPU, {connections}"] = ratio(self.samples, OURS, other, connections, "cpu_us")
        return found

    def faults(self) -> list[str]:
        """Return what makes the run worthless: answers that were no 200 or took no store, a generator too busy."""
        found = [
            f"{row.not_200:,} requests to {row.server} at {row.connections} connections were not answered with 200"
            for row in rows(self.samples)
            if row.not_200 and row.server != NAIVE
        ]
        found += [
            f"{one.server} answered nothing in block {one.block + 1} at {one.connections} connections"
            for one in self.samples
            if one.rate < 1 and one.server != NAIVE
        ]
        found += [
            f"{one.not_200:,} requests of the open loop to {name} were not answered with 200"
            for name, one in self.open_loop.items()
            if one.not_200
        ]
        busiest = max(row.generator_cores for row in rows(self.samples))
        if busiest > MOST_GENERATOR_CORES:
            found.append(f"the load generator took {busiest:.2f} cores: it may have been what was measured")
        if self.counts.fallbacks:
            found.append(f"{self.counts.fallbacks:,.0f} decisions were answered without the store")
        return found

    def lines(self) -> list[str]:
        """Return the tables."""
        started = f"start to ready, once set up: {min(self.starts):.2f} to {max(self.starts):.2f} s"
        return [
            ", ".join(f"{name} {value}" for name, value in self.setting.items()),
            f"{started}; replay: {self.replayed_per_second:,.0f} events/s",
            f"b answered {self.counts}",
            "",
            *load_table(rows(self.samples)),
            "",
            f"{'ratio, at connections':28}median [90 % interval]",
            *(f"{name:28}{found}" for name, found in self.ratios().items()),
            "",
            "open loop at half of b's own maximum, latency from each request's time:",
            *(_latency(name, found) for name, found in self.open_loop.items()),
            "",
            *stage_table(self.stages),
            *(f"FAULT: {fault}" for fault in self.faults()),
        ]

    def write(self, path: Path) -> None:
        """Write everything, each sample too, as JSON."""
        whole = asdict(self) | {
            "rows": [asdict(row) for row in rows(self.samples)],
            "ratios": {name: asdict(found) for name, found in self.ratios().items()},
            "faults": self.faults(),
        }
        path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def wrong(servers: Sequence[Server], samples: Sequence[Sample]) -> Iterator[str]:
    """Yield what was wrong with the answers of our servers, which still run."""
    for row in rows(samples):
        if row.not_200:
            yield f"{row.not_200:,} requests to {row.server} were not answered with 200"
    for server in servers:
        fallbacks = Counts.of(server.port).fallbacks
        if fallbacks:
            yield f"{fallbacks:,.0f} decisions of {server.name} were answered without the store"


def load_table(found: Sequence[Row]) -> list[str]:
    """Return a line for each server at each number of connections: medians over the blocks."""
    lines = [
        f"{'connections':>11}  {'server':14}{'requests/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs':>9}"
        f"{'of it DB':>9}{'not 200':>8}{'generator':>10}"
    ]
    for row in found:
        lines.append(
            f"{row.connections:>11}  {row.server:14}{row.rate:>11,.0f}{row.p50_ms:>9.2f}{row.p99_ms:>9.2f}"
            f"{row.cpu_us:>9,.0f}{row.database_cpu_us:>9,.0f}{row.not_200:>8,}{row.generator_cores:>10.2f}"
        )
    return [*lines, "(CPU: of all processes of a server, per request; generator: the cores that wrk took)"]


def stage_table(found: Sequence[Stages]) -> list[str]:
    """Return a line for each stage, a column for each size of batch."""
    if not found:
        return []
    lines = [f"{'µs per event, batches of':26}" + "".join(f"{one.size:>8}" for one in found)]
    for stage in found[0].microseconds:
        lines.append(f"{stage:26}" + "".join(f"{one.microseconds[stage]:>8.1f}" for one in found))
    return lines


def _latency(name: str, found: Latency) -> str:
    return (
        f"{name:14}{found.rate:>8,.0f}/s  p50 {found.p50_ms:.2f}  p99 {found.p99_ms:.2f}  most {found.most_ms:.2f} ms"
        f"  (sender late by {found.sent_late_ms:.2f} ms at p99)"
    )
