"""`make measure`: what the product promises of time, measured on this machine against the real server.

Prints how long a set-up start takes to be ready, what one lone request takes on an idle server (a new connection is not
counted), a durable decision's rate at 64 connections, and how fast a log is replayed.
"""

import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.fixtures_geo import write_world

ROOT = Path(__file__).parent.parent
RISKENGINE = str(Path(sys.executable).parent / "riskengine")
LONE, EACH, CONNECTIONS, LINES = 300, 40, 64, 20_000


def main() -> None:
    """Measure, and print one line each."""
    with tempfile.TemporaryDirectory() as folder:
        environment, port = _environment(Path(folder))
        subprocess.run([RISKENGINE, "db", "upgrade"], env=environment, check=True, capture_output=True)
        create = [RISKENGINE, "keys", "create", "--name", "measure", "--scope", "score", "--scope", "report"]
        key = subprocess.run(create, env=environment, check=True, capture_output=True, text=True).stdout.strip()
        starts = []
        for _ in range(3):
            server, seconds = _start(environment, port)
            starts.append(seconds)
            _stop(server)
        print(f"start to ready, once set up: {min(starts):.2f} to {max(starts):.2f} s")
        server, _ = _start(environment, port)
        lone = _lone(port, key)
        print(
            f"one lone request: p50 {1000 * statistics.median(lone):.1f} ms, "
            f"p99 {1000 * sorted(lone)[int(len(lone) * 0.99)]:.1f} ms"
        )
        print(f"{CONNECTIONS} connections: {_many(port, key):,.0f} durable decisions/s")
        _stop(server)
        print(f"replay: {_replay(Path(folder), environment):,.0f} events/s")


def _environment(folder: Path) -> tuple[dict[str, str], int]:
    world = write_world(folder / "world")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RISKENGINE_")}
    return kept | {
        "RISKENGINE_HOME": str(folder / "home"),
        "RISKENGINE_PORT": str(port),
        "RISKENGINE_DRAIN_SECONDS": "0",
        "RISKENGINE_GEOIP_CITY": str(world.city),
        "RISKENGINE_GEOIP_ASN": str(world.asn),
        "RISKENGINE_GEOIP_ANONYMOUS": str(world.anonymous),
    }, port


def _start(environment: dict[str, str], port: int) -> tuple[subprocess.Popen[bytes], float]:
    """Start a server; return it and the seconds until /readyz said 200."""
    began = time.monotonic()
    server = subprocess.Popen([RISKENGINE, "serve"], env=environment, stderr=subprocess.DEVNULL)
    while time.monotonic() - began < 30:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return server, time.monotonic() - began
        except OSError:
            time.sleep(0.01)
    raise SystemExit("the server does not become ready")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGTERM)
    if server.wait(30) != 0:
        raise SystemExit(f"the server ended with {server.returncode}")


def _score(connection: http.client.HTTPConnection, key: str, number: int) -> float:
    """Send one login and return the seconds until its answer was read."""
    body = json.dumps(
        {"user_id": f"user-{number % 997}", "ip": f"192.0.2.{number % 60}", "device_id": f"d{number % 997}"}
    )
    began = time.monotonic()
    connection.request("POST", "/score", body, {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise SystemExit(f"the server answered {answer.status}")
    return time.monotonic() - began


def _lone(port: int, key: str) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for number in range(20):
        _score(connection, key, number)
    found = []
    for number in range(LONE):
        time.sleep(0.005)  # idle in between
        found.append(_score(connection, key, number))
    return found


def _many(port: int, key: str) -> float:
    """Return decisions per second with CONNECTIONS callers that each wait for their answer."""

    def call(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for number in range(EACH):
            _score(connection, key, first * EACH + number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(CONNECTIONS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return CONNECTIONS * EACH / (time.monotonic() - began)


def _replay(folder: Path, environment: dict[str, str]) -> float:
    log = folder / "log.ndjson"
    with log.open("w") as file:
        for number in range(LINES):
            second = f"2026-03-{1 + number // 5000:02d}T{number // 250 % 20:02d}:{number // 10 % 60:02d}:00Z"
            line = {"user_id": f"u{number % 2003}", "ip": f"192.0.2.{number % 60}", "occurred_at": second}
            file.write(json.dumps(line) + "\n")
    began = time.monotonic()
    command = [RISKENGINE, "replay", str(log), "--out", str(folder / "out.ndjson"), "--quiet"]
    subprocess.run(command, env=environment, check=True)
    return LINES / (time.monotonic() - began)


if __name__ == "__main__":
    main()
