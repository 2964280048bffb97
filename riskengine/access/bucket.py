"""Token buckets: how often each of many keys may do something, in bounded memory."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock

# How many buckets that are full again, or too many, are let go of at most for each token that is asked for.
_LET_GO = 2


class Buckets:
    """A bucket of `size` tokens for each key, which fills up evenly within `span_ms`. Thread-safe.

    At most `most` buckets are remembered; beyond that the ones longest untouched count as full. Every time is ms since
    1970 and given by the caller; a clock that is put back makes nobody wait longer than for a bucket to fill up.

    >>> buckets = Buckets(2, 1_000)
    >>> [buckets.take("a", at) for at in (0, 0, 0, 499, 500)]
    [0, 0, 500, 1, 0]
    """

    def __init__(self, size: int, span_ms: int, most: int = 16_384) -> None:
        # In µs and whole numbers: floats of today's ms are off by a quarter of a µs.
        self._each, self._span, self._most = max(span_ms * 1000 // size, 1), span_ms * 1000, most
        # When each bucket will be full: all there is to know of it. One that is not here is full.
        self._full_at: OrderedDict[Hashable, int] = OrderedDict()
        self._lock = Lock()

    def take(self, key: Hashable, now: int) -> int:
        """Take a token and return 0; where there is none return in how many ms, at least 1, there will be one."""
        with self._lock:
            self._tidy(now)
            full_in = self._full_in(key, now) + self._each
            if full_in <= self._span:
                self._full_at[key] = now * 1000 + full_in
            self._full_at.move_to_end(key)
            return _ms(max(full_in - self._span, 0))

    def wait(self, key: Hashable, now: int) -> int:
        """Return in how many ms there will be a token, 0 if there is one, and take none."""
        if not self._full_at:
            return 0
        with self._lock:
            return _ms(max(self._full_in(key, now) + self._each - self._span, 0))

    def __len__(self) -> int:
        return len(self._full_at)

    def _full_in(self, key: Hashable, now: int) -> int:
        return min(max(self._full_at.get(key, 0) - now * 1000, 0), self._span)

    def _tidy(self, now: int) -> None:
        for _ in range(min(_LET_GO, len(self._full_at))):
            key, full_at = next(iter(self._full_at.items()))
            if full_at > now * 1000 and len(self._full_at) < self._most:
                break
            del self._full_at[key]


def _ms(us: int) -> int:
    return -(-us // 1000)
