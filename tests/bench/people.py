"""The users of the benchmark, the logins that made them known, and the requests that are sent: the same every time."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from riskengine.check import format_time
from riskengine.event import DAY_MS
from tests.bench.world import NETWORKS, address

# Of a hundred requests: something new, or a wrong password; all others are as their user always comes.
NEW_DEVICE, NEW_NETWORK, BOTH_NEW, FAILURE = 2.0, 1.0, 0.5, 1.0
FILES, BODIES, FEW_BODIES = 8, 32_768, 4_096  # of requests that are made ready; few where users are few
FEW_USERS = 10_000
_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 "
    "Edg/142.0.0.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 "
    "Safari/605.1.15",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 "
    "Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
)


@dataclass(frozen=True)
class User:
    """One user, by number: who they are, and how they always come."""

    number: int

    def body(self) -> dict[str, Any]:
        """Return the request of an ordinary login, without an event id or a time."""
        return {
            "user_id": f"u{self.number:08d}",
            "ip": address(self.number % NETWORKS, self.number // NETWORKS),
            "user_agent": _AGENTS[self.number % len(_AGENTS)],
            "device_id": _digest("device", self.number),
        }


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def history(users: int, until: int, logins: int = 1) -> Iterator[dict[str, Any]]:
    """Yield so many logins of each user in the three weeks before `until` (ms since 1970), in order of time.

    Each was confirmed by a second factor, so that all they showed is trusted.
    """
    for turn in range(logins):
        for number in range(users):
            at = until - 21 * DAY_MS + (turn * users + number) * 20 * DAY_MS // (logins * users)
            body = User(number).body() | {"mfa": "passed", "occurred_at": format_time(at)}
            yield {"event_id": f"h{turn}-{number:08d}", **body}


def requests(users: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield requests without event ids, for ever: any user, mostly as they always come."""
    random = Random(seed)
    while True:
        body = User(random.randrange(users)).body()
        drawn = random.random() * 100
        if drawn < NEW_DEVICE + BOTH_NEW:
            body["device_id"] = _digest("new", random.random())
        if NEW_DEVICE <= drawn < NEW_DEVICE + BOTH_NEW + NEW_NETWORK:
            body["ip"] = address(random.randrange(NETWORKS), random.randrange(250))
        if drawn > 100 - FAILURE:
            body["outcome"] = "failure"
        yield {**body, "session_id": _digest("session", random.random())}


def write_requests(folder: Path, users: int) -> list[Path]:
    """Write files of requests, a JSON object a line without its event id; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"requests-{number}.ndjson" for number in range(FILES)]
    bodies = FEW_BODIES if users <= FEW_USERS else BODIES
    for seed, path in enumerate(paths):
        with path.open("w", encoding="utf-8") as file:
            for body in islice(requests(users, seed), bodies):
                file.write(json.dumps(body, separators=(",", ":")) + "\n")
    return paths
