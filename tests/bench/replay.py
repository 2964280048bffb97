"""How fast a log is replayed: riskengine's complete decisions beside scripts that only compute speeds (rivals.py).

Each contender is a process of its own that reads the same file and writes a line a login; they take turns, so that a
machine that slows down slows all of them. Memory is that of all processes of a contender together, at its peak.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import logins, world
from tests.bench.interval import Middle, middle, paired
from tests.bench.options import positive
from tests.bench.process import family
from tests.bench.progress import done, say

OURS, PLAIN, COLUMNS, HEAVY = "riskengine", "plain loop", "columns", "riskengine, heavy user"
HEAVY_SHARE, HEAVY_EACH = 0.1, 10  # one user's share beside the others, and how often each of those comes
MEMORY_FACTOR = 10
_LOOK_SECONDS = 1.0  # between looks at memory: one takes 20 ms for a process of 500 MB, which is not to be measured
_EXAMPLES = """\
examples:
  python -m tests.bench.replay                          a million logins of 100,000 users, about ten minutes
  python -m tests.bench.replay --short                  a twentieth of that, once
  python -m tests.bench.replay --memory                 riskengine alone, so many logins and ten times as many"""


@dataclass(frozen=True)
class Run:
    """How long one replay took, and the most memory that it held (PSS of its processes: shared pages once)."""

    contender: str
    block: int
    events: int
    seconds: float
    megabytes: float

    @property
    def rate(self) -> float:
        """Logins a second."""
        return self.events / self.seconds


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.replay",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--events", type=positive, metavar="N", help="logins in the log (1,000,000; short: 50,000)")
    parser.add_argument("--users", type=positive, metavar="N", help="(a tenth of the logins)")
    parser.add_argument("--jobs", type=positive, default=2, metavar="N", help="of riskengine (2)")
    parser.add_argument("--blocks", type=positive, metavar="N", help="rounds in which all take a turn (3; short: 1)")
    parser.add_argument("--memory", action="store_true", help="measure how memory grows with the log instead")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="keep the logs there, and use them again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there")
    parser.add_argument("--short", action="store_true", help="a quick look; its numbers are rough")
    given = parser.parse_args(arguments)
    given.events = given.events or (50_000 if given.short else 1_000_000)
    given.users = given.users or max(given.events // 10, 1)
    given.blocks = given.blocks or (1 if given.short else 3)
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table; 0."""
    given = parsed(arguments)
    with _folder(given.folder) as folder:
        files = world.write(folder / "world")
        course = Course(folder, files, given.jobs)
        runs = list(course.growth(given) if given.memory else course.race(given))
    sys.stdout.write("\n".join(_table(runs, given)) + "\n")
    if given.json:
        given.json.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n", encoding="utf-8")
    return 0


@dataclass(frozen=True)
class Course:
    """Where the contenders run: the folder of logs and outputs, the geolocation files, riskengine's jobs."""

    folder: Path
    files: world.Files
    jobs: int

    def race(self, given: argparse.Namespace) -> Iterator[Run]:
        """Yield the runs of all contenders, block by block."""
        ordinary = self._ordinary(given.events, given.users)
        heavy, heavy_events = self._heavy(given.events)
        for block in range(given.blocks):
            yield self._run(OURS, block, given.events, self._ours(ordinary))
            yield self._run(COLUMNS, block, given.events, self._rival("columns", ordinary))
            yield self._run(HEAVY, block, heavy_events, self._ours(heavy))
            yield self._run(PLAIN, block, given.events, self._rival("plain", ordinary))

    def growth(self, given: argparse.Namespace) -> Iterator[Run]:
        """Yield riskengine's runs with as many logins as given and with ten times as many, of as many users each."""
        for block, times in enumerate((1, MEMORY_FACTOR)):
            events = given.events * times
            yield self._run(OURS, block, events, self._ours(self._ordinary(events, given.users)))

    def _ordinary(self, events: int, users: int) -> Path:
        path = self.folder / f"ordinary-{events}-{users}.ndjson"
        if not path.exists():
            say(f"writing {events:,} logins")
            logins.write_ordinary(path, events, users)
        return path

    def _heavy(self, events: int) -> tuple[Path, int]:
        one, users = int(events * HEAVY_SHARE), max(events // HEAVY_EACH, 1)
        path = self.folder / f"heavy-{one}-{users}.ndjson"
        if not path.exists():
            say("writing the log with a heavy user")
            logins.write_heavy(path, one, users, HEAVY_EACH)
        return path, one + users * HEAVY_EACH

    def _ours(self, log: Path) -> list[str]:
        command = [sys.executable, "-m", "riskengine", "replay", str(log), "--out", str(self._out(OURS)), "--quiet"]
        return [*command, "--jobs", str(self.jobs)]

    def _rival(self, name: str, log: Path) -> list[str]:
        command = [sys.executable, "-m", "tests.bench.rivals", name]
        return [*command, str(log), str(self.files.city), str(self._out(name))]

    def _out(self, name: str) -> Path:
        return self.folder / f"{name}.out.ndjson"

    def _run(self, contender: str, block: int, events: int, command: list[str]) -> Run:
        say(f"block {block + 1}: {contender}, {events:,} logins")
        setting = {
            "RISKENGINE_HOME": str(self.folder / "home"),
            "RISKENGINE_GEOIP_CITY": str(self.files.city),
            "RISKENGINE_GEOIP_ASN": str(self.files.asn),
        }
        began, peak = time.perf_counter(), 0
        with subprocess.Popen(command, env=os.environ | setting) as running:
            while not _ended(running, _LOOK_SECONDS):
                peak = max(peak, _resident(running.pid))
            seconds = time.perf_counter() - began
        if running.returncode:
            raise SystemExit(f"{contender} ended with {running.returncode}")
        done()
        return Run(contender, block, events, seconds, peak / 2**20)


def _ended(running: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait so long; return whether the process has ended."""
    try:
        running.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _resident(root: int) -> int:
    """Return the bytes that all processes below one hold; of a page that several share each holds its part."""
    total = 0
    for pid in family(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # it ended while we looked
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """Yield a folder: the one to keep, or one that is gone afterwards."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="riskengine-replay-") as made:
        yield Path(made)


def _table(runs: Sequence[Run], given: argparse.Namespace) -> list[str]:
    lines = [f"{'contender':24}{'logins':>12}{'logins/s':>12}{'MB':>8}"]
    for contender, events in dict.fromkeys((run.contender, run.events) for run in runs):
        mine = [run for run in runs if (run.contender, run.events) == (contender, events)]
        rate, held = middle([run.rate for run in mine]).value, max(run.megabytes for run in mine)
        lines.append(f"{contender:24}{events:>12,}{rate:>12,.0f}{held:>8,.0f}")
    if not given.memory:
        lines += ["", "ratio of logins/s, median of the blocks"]
        lines += [f"{f'{OURS} / {other}':40}{_ratio(runs, other)}" for other in (PLAIN, COLUMNS)]
        lines.append(f"{f'{HEAVY} / {OURS}':40}{_ratio(runs, OURS, HEAVY)}")
    return lines


def _ratio(runs: Sequence[Run], below: str, above: str = OURS) -> Middle:
    rates = {name: [run.rate for run in runs if run.contender == name] for name in (above, below)}
    return paired(rates[above], rates[below])


if __name__ == "__main__":
    raise SystemExit(main())
