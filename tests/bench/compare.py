"""The three servers that are compared, on one home."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.bench.home import Home
from tests.bench.server import Server, clean_environment, free_port, program, running

EMPTY, OURS, NAIVE = "a empty", "b riskengine", "c naive"


@contextmanager
def servers(home: Home) -> Iterator[list[Server]]:
    """Run all three while inside, in the order in which they are measured."""
    log = home.folder / "servers.log"
    theirs = clean_environment(NAIVE_URL=home.naive_url, NAIVE_CITY=str(home.files.city), NAIVE_ASN=str(home.files.asn))
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
