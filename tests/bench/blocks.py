"""Alternating blocks: each server in turn under the same load, so that what disturbs a block disturbs all of it."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench import generator
from tests.bench.counts import Counts
from tests.bench.interval import Middle, paired
from tests.bench.server import Server

SECONDS = 5  # longer than the write-ahead log is left alone, so that each server pays for its own pages


@dataclass(frozen=True)
class Sample:
    """One server in one block at one number of connections. CPU is of all its processes, its database's too."""

    server: str
    connections: int
    block: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    database_cpu_us: float
    other_status: int
    broken: int
    generator_cores: float
    fallbacks: float = 0.0  # decisions without the store

    @property
    def disturbed(self) -> bool:
        """Whether not all were decided as they should be: that costs more, or less, than what is measured."""
        return bool(self.fallbacks or self.other_status or self.broken)


@dataclass(frozen=True)
class Target:
    """A server with what it is sent: files of requests, and the key that they come with.

    `tokens` gives what they come with instead: as many as asked for, before each measurement.
    """

    server: Server
    requests: Sequence[Path]
    key: str
    tokens: Callable[[int], Sequence[str]] | None = None


@dataclass(frozen=True)
class Plan:
    """How long is measured: so many blocks of so many seconds, at these numbers of connections."""

    blocks: int
    seconds: int
    connections: Sequence[int]


def measure(targets: Sequence[Target], plan: Plan, progress: Callable[[str], None]) -> list[Sample]:
    """Return every server's samples; each is warmed up first, with what is then measured with.

    Each block begins with another one: who comes second finds what the first left behind, be it addresses that were
    located a moment ago or pages that are due to be moved.
    """
    for target in targets:
        progress(f"warming up {target.server.name}")
        _one(target, plan.seconds, max(plan.connections), -1)
    samples = []
    for block in range(plan.blocks):
        for connections in plan.connections:
            first = block % len(targets)
            for target in (*targets[first:], *targets[:first]):
                progress(f"block {block + 1} of {plan.blocks}, {connections} connections, {target.server.name}")
                samples.append(_one(target, plan.seconds, connections, block))
    return samples


def _one(target: Target, seconds: int, connections: int, block: int) -> Sample:
    server = target.server
    keys = [target.key] if target.tokens is None else target.tokens(connections)
    fallbacks = Counts.of(server.port).fallbacks
    own, database = server.cpu()
    requests = target.requests[block % len(target.requests)]
    load = generator.send(server.port, connections, seconds, requests, uuid.uuid4().hex[:16], keys)
    own_after, database_after = server.cpu()
    server.settle()
    # A block too short for any answer counts as one: it flatters the server, and leaves a ratio a number.
    answered = max(load.requests - load.other_status, 1)
    return Sample(
        server.name,
        connections,
        block,
        answered / load.seconds,
        load.p50_ms,
        load.p99_ms,
        (own_after - own + database_after - database) / answered * 1e6,
        (database_after - database) / answered * 1e6,
        load.other_status,
        load.broken,
        load.generator_cores,
        Counts.of(server.port).fallbacks - fallbacks,
    )


@dataclass(frozen=True)
class Row:
    """A server's medians over the blocks, at one number of connections."""

    server: str
    connections: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    database_cpu_us: float
    generator_cores: float
    not_200: int


def rows(samples: Sequence[Sample]) -> list[Row]:
    """Return a row for each number of connections and server, in the order measured."""
    found = []
    for connections, server in dict.fromkeys((one.connections, one.server) for one in samples):
        some = _of(samples, server, connections)
        found.append(
            Row(
                server,
                connections,
                rate=median(one.rate for one in some),
                p50_ms=median(one.p50_ms for one in some),
                p99_ms=median(one.p99_ms for one in some),
                cpu_us=median(one.cpu_us for one in some),
                database_cpu_us=median(one.database_cpu_us for one in some),
                generator_cores=median(one.generator_cores for one in some),
                not_200=sum(one.other_status + one.broken for one in some),
            )
        )
    return found


def ratio(samples: Sequence[Sample], above: str, below: str, connections: int, what: str = "rate") -> Middle:
    """Return how many times of `below`'s value `above` has, block by block."""
    return paired(*([float(getattr(one, what)) for one in _of(samples, name, connections)] for name in (above, below)))


def undisturbed(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples of the blocks in which nothing went wrong with any server."""
    bad = {one.block for one in samples if one.disturbed}
    return [one for one in samples if one.block not in bad]


def _of(samples: Sequence[Sample], server: str, connections: int) -> list[Sample]:
    return [one for one in samples if (one.server, one.connections) == (server, connections)]
