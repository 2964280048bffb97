"""What a token costs: POST /score with an access key (a), one-time tokens (b) and a short-lived access token (c).

One server, in alternating blocks. Of one-time tokens there are as many chains as connections: each answer's Next-Token
pays for a later request. Every way the generator does the same work.
"""

import argparse
import http.client
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

from riskengine.app import start_logging
from tests.bench import blocks
from tests.bench.blocks import SECONDS, Plan, Sample, Target, ratio, rows
from tests.bench.generator import require_wrk
from tests.bench.home import DATABASES, Home, databases, made
from tests.bench.interval import Middle
from tests.bench.options import numbers, positive
from tests.bench.progress import done, say
from tests.bench.report import load_table
from tests.bench.server import Server, free_port, program, riskengine, running

KEY, ONE_TIME, ACCESS = "a access key", "b one-time", "c access token"
LOGINS, SCOPES = 2, ("score", "report")
SPARE = 900  # one-time tokens beyond one for each connection, for answers that bring none
MOST_CPU = 1.10  # what one-time tokens may cost, an access key being 1
_EXAMPLES = """\
examples:
  python -m tests.bench.tokens                         the whole of it, SQLite, about 6 minutes
  python -m tests.bench.tokens --short                 a quick look, half a minute
  python -m tests.bench.tokens --database postgresql   the same against a PostgreSQL server of its own"""


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.tokens",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--database", choices=DATABASES, default="sqlite", help="(sqlite)")
    parser.add_argument("--users", type=positive, metavar="N", help="users known beforehand (20,000; short: 2,000)")
    parser.add_argument("--blocks", type=positive, metavar="N", help="alternating blocks (18; short: 5)")
    parser.add_argument("--seconds", type=positive, metavar="S", help="of each measurement (5; short: 1)")
    parser.add_argument("--connections", type=numbers, default=(64,), metavar="N,N", help="(64)")
    parser.add_argument("--home", type=Path, metavar="FOLDER", help="keep what is made there, and use it again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample and result there")
    parser.add_argument("--short", action="store_true", help="a quick look; its numbers are rough")
    given = parser.parse_args(arguments)
    given.users = given.users or (2_000 if given.short else 20_000)
    given.blocks = given.blocks or (5 if given.short else 18)
    given.seconds = given.seconds or (1 if given.short else SECONDS)
    return given


@dataclass(frozen=True)
class Client:
    """A client that is registered with the server, and asks it for tokens."""

    port: int
    id: str
    secret: str

    @classmethod
    def registered(cls, home: Home, port: int, name: str, *options: str) -> "Client":
        """Return a new client with the scopes that the access key has."""
        scopes = [part for scope in SCOPES for part in ("--scope", scope)]
        told = json.loads(
            riskengine("clients", "create", name, *scopes, *options, "--json", environment=home.environment)
        )
        return cls(port, told["client_id"], told["client_secret"])

    def asked(self, **more: object) -> list[str]:
        """Return the tokens that it is given."""
        named = {"client_id": self.id, "client_secret": self.secret}
        form = urlencode({"grant_type": "client_credentials", **named, **more})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("POST", "/oauth/token", form, kind)
            answer = connection.getresponse()
            text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"POST /oauth/token was answered with {answer.status}: {text[:500]!r}")
        found = json.loads(text)
        tokens: list[str] = found.get("access_tokens", [found["access_token"]])
        return tokens


def ways(home: Home, server: Server) -> list[Target]:
    """Return the three ways to call one server, in the order in which they are measured."""
    one_time = Client.registered(home, server.port, "bench-one-time", "--one-time")
    access = Client.registered(home, server.port, "bench-access")
    given: dict[str, Callable[[int], Sequence[str]]] = {
        KEY: lambda count: [home.key] * count,
        ONE_TIME: lambda count: one_time.asked(count=count + SPARE),
        ACCESS: lambda count: access.asked() * count,
    }
    return [Target(replace(server, name=name), home.requests, home.key, tokens) for name, tokens in given.items()]


def measured(home: Home, plan: Plan) -> list[Sample]:
    """Return the samples."""
    port = free_port()
    command, log = [program(), "serve", "--port", str(port)], home.folder / "server.log"
    with running("riskengine", command, port, home.environment, log, home.postmaster) as server:
        return blocks.measure(ways(home, server), plan, say)


def ratios(samples: Sequence[Sample], connections: Sequence[int]) -> dict[str, Middle]:
    """Return what each kind of token costs beside an access key, by a name to print."""
    return {
        f"{way[0]}/a {what}, {count}": ratio(samples, way, KEY, count, name)
        for count in connections
        for way in (ONE_TIME, ACCESS)
        for what, name in (("CPU", "cpu_us"), ("requests/s", "rate"))
    }


def main() -> int:
    """Measure, print, and return 1 when one-time tokens surely cost more than they may, or nothing could be measured.

    Blocks in which the store was too slow, and so something was decided or refused without it, say nothing of that.
    """
    given = parsed()
    logging.disable(logging.INFO)
    start_logging("text")
    require_wrk()
    with ExitStack() as stack:
        folder = given.home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="riskengine-tokens-")))
        found = stack.enter_context(databases(folder.absolute(), given.database))
        home = made(found, "riskengine", given.users, LOGINS, SCOPES)
        everything = measured(home, Plan(given.blocks, given.seconds, given.connections))
    done()
    samples = blocks.undisturbed(everything)
    left = len({one.block for one in samples})
    faults = [] if left else ["the store was too slow in each block"]
    told = ratios(samples, given.connections) if left else {}
    for name, one in told.items():
        if name.startswith("b/a CPU") and one.low is not None and one.low > MOST_CPU:
            faults.append(f"{name} is {one}: one-time tokens may cost {MOST_CPU:.2f}")
    print("\n".join(load_table(rows(samples))))
    print(f"(of {left} blocks; in {given.blocks - left} more the store was too slow for the machine)\n")
    print(f"{'ratio, at connections':28}median [90 % interval]")
    print("\n".join([*(f"{name:28}{one}" for name, one in told.items()), *(f"FAULT: {one}" for one in faults)]))
    if given.json:
        whole = {
            "samples": [asdict(one) for one in everything],
            "ratios": {name: asdict(one) for name, one in told.items()},
            "faults": faults,
        }
        given.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
