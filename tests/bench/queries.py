"""How long the first pages take that the security team asks for, over a store of many events.

The store is built as tests/bench/scale.py builds its large one. Each page is asked for again and again over a warm
store, in turn, as API and console ask for it: with its audit line, and opened.
"""

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from riskengine.app import start_logging
from riskengine.audit import Audit
from riskengine.check import format_time
from riskengine.errors import StoreUnavailable
from riskengine.event import DAY_MS
from riskengine.inquiry.export import exported
from riskengine.inquiry.inquiry import Asker, Inquiry
from riskengine.inquiry.rollup import Rollup, state_of
from riskengine.live import now_ms
from riskengine.seal import Keys, Seal
from riskengine.store.sql import SqlStore
from riskengine.store.statistics import HOUR_MS
from tests.bench import bulk
from tests.bench.home import DATABASES, databases, made
from tests.bench.interval import percentile
from tests.bench.options import positive
from tests.bench.progress import done, say

SCOPES = ("score", "report", "events:read")
PROMISED_MS = 200
_EXAMPLES = """\
examples:
  python -m tests.bench.queries                           10 million events, both databases
  python -m tests.bench.queries --events 200000 --database sqlite"""


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.queries",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--database", choices=DATABASES, help="one of them (both)")
    parser.add_argument("--events", type=positive, default=10_000_000, metavar="N", help="(10,000,000)")
    parser.add_argument("--users", type=positive, metavar="N", help="(a tenth of the events)")
    parser.add_argument("--times", type=positive, default=40, metavar="N", help="each page is asked for (40)")
    parser.add_argument("--home", type=Path, metavar="FOLDER", help="keep what is made there, and use it again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    given = parser.parse_args(arguments)
    given.users = given.users or max(given.events // 10, 1)
    return given


def main() -> int:
    """Build, measure, print; return 1 when a page took longer than promised."""
    given = parsed()
    logging.disable(logging.INFO)
    start_logging("text")
    results: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        folder = given.home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="riskengine-queries-")))
        for kind in (given.database,) if given.database else DATABASES:
            with databases(folder.absolute() / kind, kind) as found:
                home = made(found, "queries", given.users, 1, SCOPES)
                _grown(home.url, home.folder, given.users, given.events - given.users)
                with closing(SqlStore(home.url)) as store:
                    _counted(store)
                    results[kind] = measured(store, Seal(Keys.read(_keys(home.folder))), given.times)
    done()
    lines = _lines(results, given)
    print("\n".join(lines))
    if given.json:
        given.json.write_text(json.dumps({"events": given.events, "seconds": results}, indent=1) + "\n")
    return 1 if any(line.endswith("!") for line in lines) else 0


def _keys(folder: Path) -> Path:
    return folder / "keys" / "seal.json"


def _grown(url: str, folder: Path, users: int, copies: int) -> None:
    """Fill the store up with copies, where it is not full."""
    kept = folder / "grown"
    if not kept.exists():
        bulk.grow(url, _keys(folder), users, copies, lambda number: say(f"{number:,} of {copies:,} events"))
        kept.write_text(str(copies))
    if kept.read_text() != str(copies):
        raise SystemExit(f"{folder} holds {kept.read_text()} copies: ask for those, or give another --home.")


def _counted(store: SqlStore) -> None:
    """Count all hours, as the servers of a store do beside scoring."""
    assert store.worker  # what was put in by hand comes before what it saves: see riskengine/store/arrivals.py
    now = now_ms()
    while (state := state_of(store)).whole_since is None or state.next_hour is not None:
        say(f"counting hours: {'none' if state.next_hour is None else now // HOUR_MS - state.next_hour} done")
        with suppress(StoreUnavailable):  # busy moving its log: the next run goes on, as in a server
            Rollup(store).run(max(now, state.due_at))


def pages(inquiry: Inquiry, store: SqlStore) -> dict[str, Callable[[], Any]]:
    """Return the first pages, by name."""
    asker, now = Asker("bench", "default"), now_ms()
    some = inquiry.search(asker, inquiry.filters({}, "default"), limit=100).events
    newest = next(one for one in some if "." in one.event["ip"])
    ip, ref = newest.event["ip"], newest.answer["user_ref"]

    def search(order: str = "time", total: bool = False, **given: Any) -> Callable[[], Any]:
        filters = inquiry.filters(given, "default")
        if total:
            return lambda: inquiry.total(asker, filters)
        return lambda: inquiry.search(asker, filters, order=order)

    def follow(after: str | None = None, **given: Any) -> Callable[[], Any]:
        filters = inquiry.filters(given, "default")
        return lambda: inquiry.follow(asker, filters, after=after)

    def counts(days: int, step: str) -> Callable[[], Any]:
        return lambda: inquiry.statistics(asker, {"since": format_time(now - days * DAY_MS), "step": step})

    day = format_time(now - DAY_MS)
    return {
        "newest": search(),
        "newest, counted": search(total=True),
        "a user": search(user_ref=ref),
        "an address": search(ip=ip),
        "a /24": search(cidr=f"{ip}/24"),
        "a /20": search(cidr=f"{ip}/20"),
        "not allowed": search(decision=["step_up", "deny"]),
        "denied": search(decision="deny"),
        "a rare country": search(country="ZZ"),
        "a device": search(device_id="no such device"),
        "fast journeys": search(min_speed_kmh=900),
        "strongest, not allowed": search("score", decision=["step_up", "deny"], since=format_time(now - 3_600_000)),
        "newest since yesterday": search(since=day),
        "one event": lambda: inquiry.event(asker, newest.answer["event_id"]),
        "one user": lambda: inquiry.user(asker, ref),
        "counts, a week by the hour": counts(7, "hour"),
        "counts, a month by the hour": counts(30, "hour"),
        "counts, 400 days by the day": counts(400, "day"),
        "followed from the first": follow(),
        "followed, a rare country": follow(country="ZZ"),
        "followed from now": follow("now"),
        "export, first part": lambda: list(
            islice(exported(inquiry.all(asker, inquiry.filters({}, "default")), "ndjson"), 1)
        ),
    }


def measured(store: SqlStore, seal: Seal, times: int) -> dict[str, list[float]]:
    """Return how long each page took, in seconds, each time after a first one."""
    asked = pages(Inquiry(store, seal, Audit(store, seal), now_ms), store)
    took: dict[str, list[float]] = {name: [] for name in asked}
    for turn in range(times + 1):
        say(f"turn {turn} of {times}")
        for name, ask in asked.items():
            began = time.perf_counter()
            ask()
            if turn:
                took[name].append(time.perf_counter() - began)
    return took


def _lines(results: dict[str, dict[str, list[float]]], given: argparse.Namespace) -> list[str]:
    lines = [f"{given.events:,} events of {given.users:,} users, each page {given.times} times",
             f"{'first page of':28}" + "".join(f"{kind + ' p50':>18}{'p95 ms':>10}" for kind in results)]  # fmt: skip
    for name in next(iter(results.values())):
        shares = [[percentile(took[name], share) * 1000 for share in (0.5, 0.95)] for took in results.values()]
        late = "  !" if any(p95 > PROMISED_MS for _, p95 in shares) else ""
        lines.append(f"{name:28}" + "".join(f"{p50:>18.1f}{p95:>10.1f}" for p50, p95 in shares) + late)
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
