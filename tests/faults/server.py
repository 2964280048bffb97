"""The real server as a process of its own: started, asked, killed; and the home it runs over."""

import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from riskengine.access.access import Access
from riskengine.app import clock, make_home, open_seal, open_store
from riskengine.seal import Keys, Seal
from riskengine.settings import Settings
from riskengine.store.sql import SqlStore
from tests.fixtures_geo import World
from tests.served import metric_in

ROOT = Path(__file__).parent.parent.parent
SCOPES = ("score", "report", "verdict", "events:read")


@dataclass
class Server:
    """`riskengine serve` over one home. `program` is what runs instead of `-m riskengine`, to put a fault in."""

    home: Path
    port: int
    key: str
    environment: dict[str, str]
    database_url: str
    program: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """What the processes over this home wrote to stderr, one after the other."""
        return self.home.parent / f"{self.home.name}.log"

    def start(self, ready: bool = True) -> None:
        """Start a process and wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, "serve"],
                env=self.environment,
                stderr=log,
                cwd=ROOT,
            )
        if ready:
            self.wait(lambda: self.ready()[0] == 200)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def workers(self) -> list[int]:
        """Return the ids of the processes that it started."""
        assert self.process is not None
        listed = subprocess.run(
            ["ps", "--ppid", str(self.process.pid), "-o", "pid="], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in listed.stdout.split()]

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        self.terminate()
        assert self.process is not None
        return self.process.wait(30)

    def ready(self) -> tuple[int, list[str]]:
        """Return status and reasons of /readyz; 0 while nobody listens."""
        try:
            status, content = self._get("/readyz")
        except OSError:
            return 0, []
        return status, json.loads(content).get("reasons", [])

    def metric(self, name: str) -> float:
        """Return the value of one metric without labels; NaN if there is none."""
        return metric_in(self._get("/metrics")[1].decode(), name)

    def ask(self, body: Any, path: str = "/score") -> tuple[int, dict[str, Any]]:
        """Send one request and wait for its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        found = answer.status, json.loads(answer.read())
        connection.close()
        return found

    def wait(self, done: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until `done`; AssertionError when it is not within `seconds`, or the process ends."""
        end = time.monotonic() + seconds
        while not done():
            assert self.process is not None
            assert self.process.poll() is None, f"the server ended: {self.told()}"
            assert time.monotonic() < end, f"it never came to be within {seconds} s: {self.told()}"
            time.sleep(0.02)

    def rss(self) -> int:
        """Return the process's resident memory in bytes."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def told(self) -> str:
        """Return the end of the log."""
        return self.log.read_text()[-3000:]

    def seal(self) -> Seal:
        return Seal(Keys.read(self.home / "keys" / "seal.json"))

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def server_over(
    home: Path,
    world: World,
    template: Path,
    database_url: str | None = None,
    direct_url: str | None = None,
    more: Mapping[str, str] | None = None,
    program: tuple[str, ...] = ("-m", "riskengine"),
) -> Server:
    """Make a home with keys and an access key for it, and return a server over it, not started.

    `template` is a migrated SQLite database; `program` is what runs as `riskengine`; `direct_url` reaches the same
    database as `database_url` around whatever the test puts in between.
    """
    url = direct_url or database_url
    settings = Settings(home=home, database_url=url) if url else Settings(home=home)
    make_home(settings)
    if settings.is_embedded:
        shutil.copy(template, home / "data" / "riskengine.db")
    if not settings.is_embedded:
        Keys.generate().write(settings.key_file)
    store: SqlStore = open_store(settings)
    open_seal(settings, store)
    key, _ = Access(store).create("faults", SCOPES, "default", clock())
    store.close()
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RISKENGINE_")} | {
        "PYTHONPATH": str(ROOT),
        "RISKENGINE_HOME": str(home),
        "RISKENGINE_PORT": str(port),
        "RISKENGINE_DRAIN_SECONDS": "0.3",
        "RISKENGINE_GEOIP_CITY": str(world.city),
        "RISKENGINE_GEOIP_ASN": str(world.asn),
        "RISKENGINE_GEOIP_ANONYMOUS": str(world.anonymous),
        **({"RISKENGINE_DATABASE_URL": database_url} if database_url else {}),
        **(more or {}),
    }
    return Server(home, port, key, environment, settings.database_url, program)
