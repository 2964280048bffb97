"""What one client may do in a process: how much at once, and how often.

What logins wait for has no rate: whoever floods an auth service with attempts must not buy the answer that it gives
without us. All of this is a process's own and in memory: several workers allow several times as much, a restart begins
anew.
"""

from collections.abc import Callable
from functools import partial

from riskengine.access.bucket import Buckets
from riskengine.errors import LimitReached
from riskengine.metrics import LIMITED

MINUTE_MS = 60_000
# When to come back to where all places are taken: they change by the ms.
RETRY_SECONDS = 1
# In the state of a request's scope: what ends it in the count of its client. The outermost application calls it.
LEAVE = "leave"

Leave = Callable[[], None]


class Slots:
    """How much each client has under way, `most` at once. For one thread."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken: dict[str, int] = {}

    def take(self, client: str) -> bool:
        """Return whether the client may begin one more; then it has to be given back."""
        taken = self._taken.get(client, 0)
        if taken >= self.most:
            return False
        self._taken[client] = taken + 1
        return True

    def give_back(self, client: str) -> None:
        """End one."""
        left = self._taken[client] - 1
        if left:
            self._taken[client] = left
        else:
            del self._taken[client]


class Limits:
    """Says of each request of a client whether it may begin.

    `logins` is how many requests that logins wait for a client may have under way at once, `requests` how many others,
    `rate` how many of those a minute. `clock` gives ms since 1970.
    """

    def __init__(
        self, clock: Callable[[], int], *, logins: int = 4_096, requests: int = 16, rate: int = 1_200
    ) -> None:
        self._clock, self._per_minute = clock, rate
        self.logins, self._requests = Slots(logins), Slots(requests)
        self._rate = Buckets(rate, MINUTE_MS)

    def begin_login(self, client: str) -> Leave:
        """Let a request begin that a login waits for, and return what ends it; LimitReached at too many at once."""
        return _begun(self.logins, client, "logins")

    def begin(self, client: str) -> Leave:
        """Let any other request begin, and return what ends it; LimitReached at too many at once, or in a minute."""
        leave = _begun(self._requests, client, "requests")
        try:
            self.count(client)
        except LimitReached:
            leave()
            raise
        return leave

    def count(self, whose: str) -> None:
        """Count one more request under this name; LimitReached at too many in a minute. Thread-safe."""
        wait = self._rate.take(whose, self._clock())
        if wait:
            LIMITED.labels("rate").inc()
            seconds = -(-wait // 1000)
            raise LimitReached(f"This client may ask {self._per_minute} times a minute; go on in {seconds} s.", seconds)


def _begun(slots: Slots, client: str, name: str) -> Leave:
    if not slots.take(client):
        LIMITED.labels(name).inc()
        raise LimitReached(f"{slots.most} requests of this client are under way; send the next after one of them.",
                           RETRY_SECONDS)  # fmt: skip
    return partial(slots.give_back, client)
