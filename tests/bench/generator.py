"""The load: wrk with a script, for as many connections as wanted, each of which waits for its answer."""

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).parent / "score.lua"
_TIMEOUT = "30s"


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw. `generator_cores` is what wrk itself took.

    Latencies are those of callers that wait; for a long answer wrk adds those of the requests that it held back. It
    counts statuses from 400 on as `other_status`; our servers answer nothing between 200 and that.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    other_status: int
    broken: int
    generator_cores: float


def require_wrk() -> None:
    """End with a sentence unless wrk is there or could be installed."""
    if shutil.which("wrk"):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "wrk"]):
            if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
                break
    if not shutil.which("wrk"):
        raise SystemExit("The load generator wrk is missing and cannot be installed here: install the package wrk.")


def send(port: int, connections: int, seconds: int, requests: Path, run: str, keys: Sequence[str]) -> Load:
    """Load a server on loopback for so many seconds; `run` begins every event id, so it must be new each time.

    Of several `keys` each waits for its answer before it is sent again, and the answer's Next-Token takes its place.
    """
    before = _children()
    ended = subprocess.run(
        [
            *("wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"),
            *("--timeout", _TIMEOUT, "--script", str(_SCRIPT), f"http://127.0.0.1:{port}/score", "--"),
            *(str(requests), run),
        ],
        env=os.environ | {"BENCH_KEYS": " ".join(keys)},
        capture_output=True,
        text=True,
        timeout=seconds + 60,
    )
    if ended.returncode:
        raise SystemExit(f"wrk failed: {ended.stderr[-500:] or ended.stdout[-500:]}")
    return parsed(ended.stdout, _children() - before)


def parsed(output: str, cpu: float) -> Load:
    """Return what wrk and its script printed; `cpu` is how many seconds of it wrk spent."""
    last = output.rstrip().rpartition("\n")[2]
    if not last.startswith("{"):
        raise SystemExit(f"wrk did not come to an end: {output[-500:]}")
    found: Mapping[str, float] = json.loads(last)
    return Load(
        int(found["requests"]),
        found["seconds"],
        found["p50_ms"],
        found["p99_ms"],
        int(found["other_status"]),
        int(found["broken"]),
        cpu / found["seconds"],
    )


def _children() -> float:
    """Return the CPU seconds of all ended children."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
