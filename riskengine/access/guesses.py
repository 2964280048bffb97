"""Wrong credentials: how many come from where, and which right ones go on from there all the same.

Nobody guesses 256 random bits; what guessing costs is a look at the store for each. So an address from which too many
wrong credentials came is told to wait before any such look, and told so late: who guesses one after the other on some
connections gets nowhere, and costs next to nothing. But an address may be many: a proxy, a company, a village.
Who showed a right credential within the last hour, or shows what this server signed, goes on; only what this process
has not seen yet waits with the rest, until the wrong ones end or it meets a token of the bucket.

All of it is a process's own and in memory, of bounded size: who has more addresses than are remembered has as many
first tries anyway.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any

from riskengine.access.bucket import Buckets
from riskengine.access.limits import MINUTE_MS
from riskengine.errors import LimitReached
from riskengine.metrics import LIMITED

# How long a credential goes on that was right.
KNOWN_MS = 60 * MINUTE_MS
MOST_KNOWN = 4_096
# How many signatures of access tokens a minute are looked at from an address that has to wait: each costs half a ms.
SIGNATURES = 600

# After how long who has to wait is told so.
SLOWED_SECONDS = 1.0

# The other end of a connection, or who a trusted proxy says that it is: (host, port), as in a scope.
Client = Sequence[Any] | None


class Guesses:
    """Counts wrong credentials by the address they come from: `per_minute` are looked at. For one thread."""

    def __init__(self, clock: Callable[[], int], per_minute: int = 30) -> None:
        self._clock = clock
        self._failed = Buckets(per_minute, MINUTE_MS)
        self._signatures = Buckets(SIGNATURES, MINUTE_MS)
        # Digests of what was right, and when.
        self._known: OrderedDict[bytes, int] = OrderedDict()

    def wait(self, client: Client) -> int:
        """Return how many seconds a credential that is not known has to wait from there; 0: it is looked at."""
        if not len(self._failed):
            return 0
        return -(-self._failed.wait(source_of(client), self._clock()) // 1000)

    async def hold(self, client: Client, credential: str) -> None:
        """Raise LimitReached, after a while, where this credential has to wait, as far as can be told by itself."""
        seconds = self.wait(client)
        if seconds and not self.knows(credential):
            raise await refused(seconds)

    def failed(self, client: Client, credential: str) -> None:
        """Count a wrong credential; it is not known any more either."""
        self._failed.take(source_of(client), self._clock())
        self._known.pop(_digest(credential), None)

    def proved(self, credential: str) -> None:
        """Remember a right credential."""
        digest = _digest(credential)
        self._known[digest] = self._clock()
        self._known.move_to_end(digest)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def knows(self, credential: str) -> bool:
        """Return whether this credential was right within the last hour."""
        return 0 <= self._clock() - self._known.get(_digest(credential), -KNOWN_MS) < KNOWN_MS

    def may_check_signature(self, client: Client) -> bool:
        """Return whether one more signature from there may be looked at, and count it."""
        return not self._signatures.take(source_of(client), self._clock())


async def refused(seconds: int) -> LimitReached:
    """Return what is told to who has to wait, when it is time to tell it."""
    await asyncio.sleep(SLOWED_SECONDS)
    return refusal(seconds)


def refusal(seconds: int) -> LimitReached:
    """Return what is told to who has to wait, and count that."""
    LIMITED.labels("failures").inc()
    return LimitReached(f"Too many wrong credentials came from your address; go on in {seconds} s.", seconds)


def source_of(client: Client) -> str:
    """Return what wrong credentials are counted by: an IPv4 address, an IPv6 /64, else what is told instead of one.

    >>> source_of(("192.0.2.1", 4711)), source_of(("::ffff:192.0.2.1", 0)), source_of(("2001:db8::1:2:3:4", 0))
    ('192.0.2.1', '192.0.2.1', '2001:db8::/64')
    """
    return _source(str(client[0])) if client else ""


@lru_cache(1_024)
def _source(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode()).digest()
