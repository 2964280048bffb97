"""How fast the scoring path is: an empty FastAPI route (a), riskengine (b) and a naive engine (c), side by side.

Each is a real process under a real load generator (wrk), in alternating blocks; every answer of b and c is durable.
"""

import argparse
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from riskengine.app import start_logging
from tests.bench import blocks, open_loop, stages, start
from tests.bench.blocks import SECONDS, Plan, Target, rows
from tests.bench.compare import EMPTY, OURS, servers
from tests.bench.counts import Counts
from tests.bench.generator import require_wrk
from tests.bench.home import DATABASES, Home, databases, made
from tests.bench.options import numbers, positive
from tests.bench.progress import done, say
from tests.bench.report import Report, stage_table
from tests.bench.server import post

OPEN_SECONDS, REPLAYED, STARTS = 10.0, 20_000, 3
LOGINS, SCOPES = 2, ("score", "report")
SHORT_SHARE = 0.1  # of all that in a short run
_EXAMPLES = """\
examples:
  python -m tests.bench                                the whole of it, SQLite, about 25 minutes
  python -m tests.bench --database postgresql          the same against a PostgreSQL server of its own
  python -m tests.bench --short                        a quick look, about a minute
  python -m tests.bench --home /tmp/bench --connections 64 --json bench.json
                                                       64 connections only; the users of /tmp/bench are made once
  python -m tests.bench --stages --home /tmp/bench     the table of stages alone"""


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--database", choices=DATABASES, default="sqlite", help="what b and c store in (sqlite)")
    parser.add_argument("--users", type=positive, metavar="N", help="users known beforehand (100,000; short: 2,000)")
    parser.add_argument("--blocks", type=positive, metavar="N", help="alternating blocks (20; short: 3)")
    parser.add_argument("--seconds", type=positive, metavar="S", help="of each measurement (5; short: 1)")
    parser.add_argument("--connections", type=numbers, metavar="N,N", help="(1,16,64,256; short: 1,64)")
    parser.add_argument("--home", type=Path, metavar="FOLDER", help="keep what is made there, and use it again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample and result there")
    parser.add_argument("--stages", action="store_true", help="only the table of microseconds per stage")
    parser.add_argument("--short", action="store_true", help="a quick look; its numbers are rough")
    given = parser.parse_args(arguments)
    given.users = given.users or (2_000 if given.short else 100_000)
    given.blocks = given.blocks or (3 if given.short else 20)
    given.seconds = given.seconds or (1 if given.short else SECONDS)
    given.connections = given.connections or ((1, 64) if given.short else (1, 16, 64, 256))
    given.share = SHORT_SHARE if given.short else 1.0
    return given


def main() -> int:
    """Measure, print, and return 1 when something was wrong with the answers."""
    given = parsed()
    logging.disable(logging.INFO)
    start_logging("text")
    if not given.stages:
        require_wrk()
        minutes = given.blocks * len(given.connections) * 3 * (given.seconds + 0.6) / 60 + 1
        print(f"about {minutes:.0f} min, and some for making {given.users:,} users known the first time", flush=True)
    with ExitStack() as stack:
        folder = given.home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="riskengine-bench-")))
        found = stack.enter_context(databases(folder.absolute(), given.database))
        home = made(found, "riskengine", given.users, LOGINS, SCOPES)
        if given.stages:
            table = stages.measure(home.environment, home.requests[-1], given.share)
            done()
            print("\n".join(stage_table(table)))
            return 0
        report = measured(home, found.url("naive"), given)
    done()
    if given.json:
        report.write(given.json)
    print("\n".join(report.lines()))
    return 1 if report.faults() else 0


def measured(home: Home, naive_url: str, given: argparse.Namespace) -> Report:
    """Return everything there is to say of the servers on this home."""
    say("stages")  # first: where they have to be mended, nothing else was measured in vain
    table = stages.measure(home.environment, home.requests[-1], given.share)
    say("starting and replaying")
    starts = start.seconds_to_ready(home, max(int(STARTS * given.share), 1))
    replayed = start.replayed_per_second(home, int(REPLAYED * given.share))
    with servers(home, naive_url) as running:
        for server in running:
            post(server.port, home.key, {"user_id": "u00000000", "ip": "11.0.0.2", "event_id": os.urandom(8).hex()})
        plan = Plan(given.blocks, given.seconds, given.connections)
        samples = blocks.measure([Target(server, home.requests, home.key) for server in running], plan, say)
        rate = max(row.rate for row in rows(samples) if row.server == OURS) / 2
        latencies = {}
        for server in running:
            if server.name in (EMPTY, OURS):
                say(f"open loop, {server.name}")
                bodies = open_loop.requests(home.requests[:1], home.key)
                latencies[server.name] = open_loop.measure(server.port, rate, OPEN_SECONDS * given.share, bodies)
        counts = Counts.of(next(server.port for server in running if server.name == OURS))
    setting = {
        "database": given.database,
        "users": f"{given.users:,}",
        "blocks": given.blocks,
        "seconds": given.seconds,
        "cores": len(os.sched_getaffinity(0)),
        "Python": platform.python_version(),
    }
    return Report(setting, starts, replayed, samples, latencies, counts, table)


if __name__ == "__main__":
    sys.exit(main())
