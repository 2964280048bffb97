"""The real command with several workers, and callers that keep connections to it open."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from riskengine.access.access import Access
from riskengine.app import clock, make_home, open_seal, open_store
from riskengine.seal import Keys
from riskengine.settings import Settings
from tests.fixtures_geo import World

SCOPES = ("score", "report", "verdict", "events:read")
START_SECONDS = 60.0
IDLE_SECONDS = 2.0


def metric_in(text: str, name: str) -> float:
    """Return the value of one metric without labels in what /metrics says; NaN if there is none."""
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else float("nan")


@dataclass
class Served:
    """A running `riskengine serve`, with an access key of every scope."""

    settings: Settings
    process: subprocess.Popen[bytes]
    log: Path
    token: str

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return what was logged under this event so far."""
        every = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in every if line["event"] == event]

    def until_logged(self, event: str, times: int = 1, seconds: float = START_SECONDS) -> None:
        """Wait until an event was logged so many times; fail if that does not happen, or the process ends."""
        end = time.monotonic() + seconds
        while len(self.lines(event)) < times:
            assert self.process.poll() is None, f"ended with {self.process.poll()}: {self.log.read_text()}"
            assert time.monotonic() < end, f"{event} was not logged {times} times: {self.log.read_text()}"
            time.sleep(0.02)

    def until_drained(self, seconds: float = START_SECONDS) -> None:
        """Wait until nothing is left in the journal that the store does not have."""
        end = time.monotonic() + seconds
        while metric_in(self._metrics(), "riskengine_journal_pending"):
            assert time.monotonic() < end, "the journal was not drained"
            time.sleep(0.05)

    def _metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.settings.port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def workers(self) -> list[int]:
        """Return the process ids of the workers that run."""
        listed = subprocess.run(
            ["ps", "--ppid", str(self.process.pid), "-o", "pid="], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in listed.stdout.split()]

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 60) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


def settings_of(home: Path, world: World, **given: Any) -> Settings:
    """Return settings in the tests' world, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    places = {"geoip_city": world.city, "geoip_asn": world.asn, "geoip_anonymous": world.anonymous}
    return Settings(home=home, port=port, **{"drain_seconds": 0.0, **places, **given})


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment in which the command reads these settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RISKENGINE_")}
    given = settings.model_dump(mode="json", exclude_unset=True)
    return kept | {f"RISKENGINE_{name.upper()}": str(value) for name, value in given.items() if value is not None}


@contextmanager
def serving(
    settings: Settings, token: str | None = None, program: tuple[str, ...] = ("-m", "riskengine")
) -> Iterator[Served]:
    """Run `riskengine serve` until the block ends; it is ready, its log is in a file of its home.

    `token` is the access key of an earlier run over the same home, `program` what runs as `riskengine`.
    """
    token = token or _token(settings)
    log = settings.home / "serve.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, *program, "serve"], env=environment_of(settings), stderr=stderr
        )
    served = Served(settings, process, log, token)
    try:
        served.until_logged("workers ready" if settings.workers > 1 else "ready")
        yield served
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _token(settings: Settings) -> str:
    """Make an access key, and what the store needs before it can hold one."""
    make_home(settings)
    if not settings.is_embedded:
        Keys.generate().write(settings.key_file)
    store = open_store(settings)
    try:
        open_seal(settings, store)
        return Access(store).create("all", SCOPES, "default", clock())[0]
    finally:
        store.close()


class Caller:
    """One kept connection; HTTP by hand, so that the machine's cores are left to the server."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {served.token}\r\nContent-Type: application/json\r\n"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._used = 0.0

    async def connect(self) -> "Caller":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._served.settings.port)
        self._used = time.monotonic()
        return self

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Send a body; return the status and the answer."""
        content = json.dumps(body).encode()
        return await self._call(f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(content)}\r\n\r\n", content)

    async def get(self, path: str) -> tuple[int, Any]:
        return await self._call(f"GET {path} HTTP/1.1\r\n{self._head}\r\n", b"")

    async def score(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to one login, which must be one."""
        status, answer = await self.post("/score", body)
        assert status == 200, answer
        assert isinstance(answer, dict)
        return answer

    async def _call(self, head: str, content: bytes) -> tuple[int, Any]:
        if time.monotonic() - self._used > IDLE_SECONDS:  # the server closes what is idle for longer
            self.close()
            await self.connect()
        assert self._reader is not None
        assert self._writer is not None
        self._writer.write(head.encode() + content)
        got = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(got.split("content-length:")[1].split("\r\n")[0])
        self._used = time.monotonic()
        return int(got.split()[1]), json.loads(await self._reader.readexactly(length))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
