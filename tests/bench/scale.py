"""How what a store holds makes it slower and larger: an almost empty one beside one with millions of events.

Both are served at once and measured in alternating blocks. Users become known through `riskengine replay --save`, one
login each; the events beyond those are copied in bulk, each really sealed (see tests/bench/bulk.py).
"""

import argparse
import http.client
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from riskengine.app import start_logging
from tests.bench import blocks, bulk
from tests.bench.blocks import Plan, Sample, Target, ratio, rows
from tests.bench.generator import require_wrk
from tests.bench.home import DATABASES, Databases, Home, databases, made
from tests.bench.interval import percentile
from tests.bench.options import numbers, positive
from tests.bench.process import family, own_bytes
from tests.bench.progress import done, say
from tests.bench.report import load_table, wrong
from tests.bench.server import free_port, program, running

SMALL_USERS, SMALL_LOGINS = 5_000, 2
SMALL, LARGE = "small", "large"
CI_SHARE = 0.01
SCOPES = ("score", "report", "events:read")
READS = 50  # of GET /events/{id} in each block
# What building takes on disk beyond the finished store: sorting for indexes, the log.
_ROOM = 1.25
_EXAMPLES = """\
examples:
  python -m tests.bench.scale                          10 million events, 1 million users, SQLite
  python -m tests.bench.scale --ci                     a hundredth of that, a few minutes
  python -m tests.bench.scale --database postgresql --events 1000000 --users 100000 --json scale.json"""


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.scale",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--database", choices=DATABASES, default="sqlite", help="(sqlite)")
    parser.add_argument("--events", type=positive, metavar="N", help="in the large store (10,000,000; ci: 100,000)")
    parser.add_argument("--users", type=positive, metavar="N", help="in the large store (1,000,000; ci: 10,000)")
    parser.add_argument("--blocks", type=positive, metavar="N", help="alternating blocks (20; ci: 5)")
    parser.add_argument("--seconds", type=positive, default=2, metavar="S", help="of each measurement (2)")
    parser.add_argument("--connections", type=numbers, default=(64,), metavar="N,N", help="(64)")
    parser.add_argument("--home", type=Path, metavar="FOLDER", help="keep what is made there, and use it again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample and result there")
    parser.add_argument("--ci", action="store_true", help="a hundredth of it all, in fewer blocks")
    given = parser.parse_args(arguments)
    share = CI_SHARE if given.ci else 1.0
    given.events = given.events or int(10_000_000 * share)
    given.users = given.users or int(1_000_000 * share)
    given.blocks = given.blocks or (5 if given.ci else 20)
    if given.events < given.users:
        parser.error("--events must be no fewer than --users: each user comes with a login")
    return given


@dataclass(frozen=True)
class Size:
    """What a store takes on disk: with `events` of `users`, and of one of each, in bytes."""

    events: int
    users: int
    total: int
    an_event: float
    a_user: float
    built_per_second: float | None = None


@dataclass(frozen=True)
class Standing:
    """What a server takes of memory, mapped files apart (USS), and how long it takes to show one event of its store."""

    megabytes: list[float]
    read_p50_ms: float
    read_p99_ms: float


def main() -> int:
    """Build, measure, print; return 1 when something was wrong with the answers."""
    given = parsed()
    logging.disable(logging.INFO)
    start_logging("text")
    require_wrk()
    with ExitStack() as stack:
        folder = given.home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="riskengine-scale-")))
        found = stack.enter_context(databases(folder.absolute(), given.database))
        small, small_size = _small(found, given.users)
        _require_room(found, small_size, given.events)
        large, large_size = _large(found, given.users, given.events)
        os.sync()
        sizes = {SMALL: small_size, LARGE: large_size}
        samples, standing, faults = measured({SMALL: small, LARGE: large}, sizes, given)
    done()
    ratios = {
        f"large/small {what}, {connections}": ratio(samples, LARGE, SMALL, connections, name)
        for connections in given.connections
        for what, name in (("CPU", "cpu_us"), ("requests/s", "rate"))
    }
    print("\n".join([*_size_lines(sizes, standing), "", *load_table(rows(samples)), ""]))
    print("\n".join([*(f"{name:32}{one}" for name, one in ratios.items()), *(f"FAULT: {one}" for one in faults)]))
    if given.json:
        whole: dict[str, Any] = {
            "setting": {"database": given.database, "blocks": given.blocks, "seconds": given.seconds},
            "sizes": {name: asdict(one) for name, one in sizes.items()},
            "standing": {name: asdict(one) for name, one in standing.items()},
            "samples": [asdict(one) for one in samples],
            "ratios": {name: asdict(one) for name, one in ratios.items()},
            "faults": faults,
        }
        given.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return 1 if faults else 0


def _small(found: Databases, users: int) -> tuple[Home, Size]:
    users = min(SMALL_USERS, users)
    home = made(found, SMALL, users, SMALL_LOGINS, SCOPES)
    events, total = users * SMALL_LOGINS, bulk.size(home.url)
    return home, Size(events, users, total, total / events, 0.0)


def _require_room(found: Databases, small: Size, events: int) -> None:
    """Say what the large store will take, and end with a sentence when the disk has no room for that."""
    wanted, free = small.an_event * events * _ROOM, shutil.disk_usage(found.folder).free
    built = (found.folder / LARGE / "grown.json").exists()
    print(f"the large store will take about {small.an_event * events / 1e9:.1f} GB, {wanted / 1e9:.1f} GB to build it",
          flush=True)  # fmt: skip
    if wanted > free and not built:
        raise SystemExit(f"{found.folder} has only {free / 1e9:.1f} GB free: ask for fewer --events, or name a --home.")


def _large(found: Databases, users: int, events: int) -> tuple[Home, Size]:
    """Return the large store, built where it is not there."""
    home = made(found, LARGE, users, 1, SCOPES)
    url, folder = home.url, home.folder
    kept = folder / "grown.json"
    if not kept.exists():
        before, began, copies = bulk.size(url), time.monotonic(), events - users
        bulk.grow(
            url, folder / "keys" / "seal.json", users, copies, lambda number: say(f"{number:,} of {copies:,} events")
        )
        rate = copies / (time.monotonic() - began)
        total = bulk.size(url)
        an_event = (total - before) / copies if copies else 0.0
        # Each user came with a login: what is left without it is the user's.
        grown = Size(events, users, total, an_event, before / users - an_event, rate)
        kept.write_text(json.dumps(asdict(grown)) + "\n")
    size = Size(**json.loads(kept.read_text()))
    if size.events != events:
        raise SystemExit(f"{folder} holds {size.events:,} events: ask for those, or give another --home.")
    return home, size


def measured(
    homes: dict[str, Home], sizes: dict[str, Size], given: argparse.Namespace
) -> tuple[list[Sample], dict[str, Standing], list[str]]:
    """Return the samples of both servers, what they take, and what was wrong with their answers."""
    with ExitStack() as stack:
        targets = {}
        for name, home in homes.items():
            port = free_port()
            command, log = [program(), "serve", "--port", str(port)], home.folder / "server.log"
            server = stack.enter_context(running(name, command, port, home.environment, log, home.postmaster))
            targets[name] = Target(server, home.requests, home.key)
        plan = Plan(given.blocks, given.seconds, given.connections)
        samples = blocks.measure(list(targets.values()), plan, say)
        say("reading events")
        reads: dict[str, list[float]] = {name: [] for name in targets}
        ids = {SMALL: _small_ids(sizes[SMALL]), LARGE: _large_ids(sizes[LARGE])}
        for _ in range(given.blocks):
            for name, target in targets.items():
                reads[name] += _read(target, [next(ids[name]) for _ in range(READS)])
        standing = {
            name: Standing(
                [own_bytes(pid) / 1e6 for pid in family(target.server.pid)],
                *(percentile(reads[name], share) * 1000 for share in (0.5, 0.99)),
            )
            for name, target in targets.items()
        }
        faults = list(wrong([target.server for target in targets.values()], samples))
    return samples, standing, faults


def _small_ids(size: Size) -> Iterator[str]:
    random = Random(1)
    while True:
        yield f"h{random.randrange(SMALL_LOGINS)}-{random.randrange(size.users):08d}"


def _large_ids(size: Size) -> Iterator[str]:
    random, copies = Random(1), size.events - size.users
    while True:
        yield bulk.event_id(random.randrange(copies)) if copies else f"h0-{random.randrange(size.users):08d}"


def _read(target: Target, ids: Sequence[str]) -> list[float]:
    """Return how long GET /events/{id} took for each of these, one after the other, in seconds."""
    found = []
    with closing(http.client.HTTPConnection("127.0.0.1", target.server.port, timeout=30)) as connection:
        for event_id in ids:
            began = time.perf_counter()
            connection.request("GET", f"/events/{event_id}", headers={"Authorization": f"Bearer {target.key}"})
            answer = connection.getresponse()
            text = answer.read()
            found.append(time.perf_counter() - began)
            if answer.status != 200 or json.loads(text)["answer"]["event_id"] != event_id:
                raise SystemExit(f"GET /events/{event_id} was answered with {answer.status}: {text[:300]!r}")
    return found


def _size_lines(sizes: dict[str, Size], standing: dict[str, Standing]) -> list[str]:
    lines = [f"{'store':8}{'events':>12}{'users':>11}{'on disk MB':>12}{'an event':>10}{'a user':>9}{'built/s':>9}"
             f"{'USS MB':>9}{'GET p50 ms':>12}{'p99 ms':>9}"]  # fmt: skip
    for name, size in sizes.items():
        one, built = standing[name], f"{size.built_per_second:,.0f}" if size.built_per_second else "-"
        memory = " ".join(f"{megabytes:.0f}" for megabytes in one.megabytes)
        a_user = f"{size.a_user:,.0f}" if size.a_user else "-"
        lines.append(
            f"{name:8}{size.events:>12,}{size.users:>11,}{size.total / 1e6:>12,.0f}{size.an_event:>10,.0f}{a_user:>9}"
            f"{built:>9}{memory:>9}{one.read_p50_ms:>12.2f}{one.read_p99_ms:>9.2f}"
        )
    return [
        *lines,
        "(an event, a user: bytes on disk, indexes and counters included; USS: private memory, files apart)",
    ]


if __name__ == "__main__":
    sys.exit(main())
