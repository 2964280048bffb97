"""Servers as real processes: begun, asked whether they answer, watched, ended."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.process import cpu_seconds

READY_SECONDS, STOP_SECONDS = 60.0, 30.0
IDLE_SECONDS = 0.05  # a server that spends next to nothing for so long has answered all
MOST_IDLE_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Server:
    """A running server. `database` is the process below which its database runs, where that is one of its own."""

    name: str
    port: int
    pid: int
    database: int | None = None

    def cpu(self) -> tuple[float, float]:
        """Return the CPU seconds that the server and its database have spent so far."""
        return cpu_seconds([self.pid]), cpu_seconds([self.database]) if self.database else 0.0

    def settle(self) -> None:
        """Wait until it has done what it was sent, so that the next measurement does not pay for it."""
        before, end = sum(self.cpu()), time.monotonic() + MOST_IDLE_WAIT_SECONDS
        while time.monotonic() < end:
            time.sleep(IDLE_SECONDS)
            now = sum(self.cpu())
            if now - before <= IDLE_SECONDS / 5:
                return
            before = now


def riskengine(*arguments: str, environment: Mapping[str, str]) -> str:
    """Run a riskengine command; return what it printed, or end with what it complained of."""
    ended = subprocess.run([program(), *arguments], env=environment, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"riskengine {' '.join(arguments[:2])} failed:\n{ended.stderr[-2000:]}")
    return ended.stdout


def program() -> str:
    """Return the riskengine command of this environment."""
    return str(Path(sys.executable).parent / "riskengine")


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def running(
    name: str, command: Sequence[str], port: int, environment: Mapping[str, str], log: Path, database: int | None = None
) -> Iterator[Server]:
    """Run a server while inside; it answers on `port` when this yields, and is stopped in the end."""
    with log.open("ab") as complaints:
        process = subprocess.Popen(command, env=environment, stdout=complaints, stderr=complaints)
    try:
        _await(process, port, log)
        yield Server(name, port, process.pid, database)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Wait until the server answers with anything but 503."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
                connection.request("GET", "/readyz")
                if connection.getresponse().status != 503:
                    return
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"a server does not answer:\n{log.read_text()[-2000:]}")


def post(port: int, key: str, body: Mapping[str, object]) -> dict[str, object]:
    """Send one POST /score; return its answer, or end with what came instead of a 200."""
    head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST", "/score", json.dumps(body), head)
        answer = connection.getresponse()
        text = answer.read()
    if answer.status != 200:
        raise SystemExit(f"POST /score on port {port} was answered with {answer.status}: {text[:500]!r}")
    found: dict[str, object] = json.loads(text)
    return found


def clean_environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would set up another riskengine, and `more`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RISKENGINE_")} | more
