"""The three servers that are compared, on one home."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from riskengine.live import now_ms
from tests.bench import naive
from tests.bench.home import Home
from tests.bench.people import history
from tests.bench.server import Server, clean_environment, free_port, program, running

EMPTY, OURS, NAIVE = "a empty", "b riskengine", "c naive"


@contextmanager
def servers(home: Home, naive_url: str) -> Iterator[list[Server]]:
    """Run all three while inside, in the order in which they are measured; the naive one learns the users first."""
    log = home.folder / "servers.log"
    naive_url = naive_url.replace("postgresql:", "postgresql+psycopg:", 1)
    city, asn = str(home.files.city), str(home.files.asn)
    naive.seed(naive_url, naive.Locations(city, asn), history(home.users, now_ms()))
    theirs = clean_environment(NAIVE_URL=naive_url, NAIVE_CITY=city, NAIVE_ASN=asn)
    with ExitStack() as stack:
        ports = [free_port() for _ in range(3)]
        commands = (
            (EMPTY, [sys.executable, "-m", "tests.bench.empty", str(ports[0])], clean_environment(), None),
            (OURS, [program(), "serve", "--port", str(ports[1])], home.environment, home.postmaster),
            (NAIVE, [sys.executable, "-m", "tests.bench.naive", str(ports[2])], theirs, home.postmaster),
        )
        yield [
            stack.enter_context(running(name, command, port, environment, log, postmaster))
            for port, (name, command, environment, postmaster) in zip(ports, commands, strict=True)
        ]
