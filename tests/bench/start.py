"""How long a set-up server takes until it is ready, and how fast a log is replayed."""

import json
import time
from itertools import islice
from pathlib import Path

from riskengine.live import now_ms
from tests.bench.home import Home
from tests.bench.people import history
from tests.bench.server import free_port, program, riskengine, running


def seconds_to_ready(home: Home, starts: int) -> list[float]:
    """Return how long each of so many starts took until /readyz said so."""
    found = []
    for _ in range(starts):
        port = free_port()
        began = time.monotonic()
        command = [program(), "serve", "--port", str(port)]
        with running("start", command, port, home.environment, home.folder / "servers.log"):
            found.append(time.monotonic() - began)
    return found


def replayed_per_second(home: Home, lines: int) -> float:
    """Return how many events a second `riskengine replay` decides, its start included, when it saves nothing."""
    log: Path = home.folder / "log.ndjson"
    log.write_text("".join(json.dumps(body) + "\n" for body in islice(history(lines // 2, now_ms(), 2), lines)))
    began = time.monotonic()
    riskengine("replay", str(log), "--out", str(home.folder / "out.ndjson"), "--quiet", environment=home.environment)
    took = time.monotonic() - began
    for file in (log, home.folder / "out.ndjson"):
        file.unlink()
    return lines / took
