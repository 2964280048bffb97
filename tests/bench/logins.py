"""The logs that replays are measured with: riskengine's own NDJSON, in order of time, the same every time."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from riskengine.check import format_time
from riskengine.event import DAY_MS
from tests.bench.people import FAILURE, User
from tests.bench.world import NETWORKS, address

BEGAN, DAYS = 1_772_323_200_000, 90  # 2026-03-01, in ms since 1970
_ELSEWHERE = 0.3  # of logins come from a user's second address
_HOSTS_OF_HOMES = 64  # the first hosts of a network are homes, those after them second addresses


def write_ordinary(path: Path, events: int, users: int) -> None:
    """Write logins of users who come about equally often, each from two addresses."""
    random = Random(1)
    _write(path, ((random.randrange(users), random) for _ in range(events)), events)


def write_heavy(path: Path, heavy: int, users: int, each: int) -> None:
    """Write so many logins of one user among `each` of every other one."""
    events, random = heavy + users * each, Random(2)
    whose = [0] * heavy + [1 + number for number in range(users)] * each
    random.shuffle(whose)
    _write(path, ((number, random) for number in whose), events)


def _write(path: Path, logins: Iterator[tuple[int, Random]], events: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for at, (number, random) in enumerate(logins):
            file.write(json.dumps(_login(at, events, number, random), separators=(",", ":")) + "\n")


def _login(at: int, events: int, number: int, random: Random) -> dict[str, Any]:
    body = User(number).body()
    if random.random() < _ELSEWHERE:
        body["ip"] = address((7 * number + 13) % NETWORKS, _HOSTS_OF_HOMES + number // NETWORKS)
    if random.random() * 100 < FAILURE:
        body["outcome"] = "failure"
    moment = format_time(BEGAN + at * DAYS * DAY_MS // events)
    return {"event_id": f"e{at:08d}", "occurred_at": moment, **body}
