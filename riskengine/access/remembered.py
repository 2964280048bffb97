"""What was checked a moment ago, so that the store need not be asked at every request."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

# How long a credential is trusted without asking the store: the longest a revocation takes to work.
FRESH_MS = 2_000
# From when on it is time to ask again, so that nobody has to wait for the answer.
RENEW_MS = FRESH_MS // 2
MOST_REMEMBERED = 4_096

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class _Kept(Generic[V]):
    """A value as it was checked; `renewing`: it was said that it is time to ask again."""

    value: V
    checked_at: int
    expires_at: int
    renewing: bool = False


class Remembered(Generic[K, V]):
    """Values by key, the latest MOST_REMEMBERED that were checked. Every time is ms since 1970. Thread-safe."""

    def __init__(self) -> None:
        self._kept: OrderedDict[K, _Kept[V]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def recall(
        self, key: K, now: int, longest: int = FRESH_MS, renew: Callable[[], object] | None = None
    ) -> V | None:
        """Return the value if it was checked less than `longest` ago, and has not expired.

        `renew` is called once when it is time to ask again, while what is known still counts.
        """
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or not 0 <= now - kept.checked_at < longest or now >= kept.expires_at:
            return None
        if renew is not None and not kept.renewing and now - kept.checked_at >= RENEW_MS:
            kept.renewing = True
            renew()
        return kept.value

    def keep(self, key: K, value: V, now: int, expires_at: int) -> None:
        """Remember what was checked just now."""
        with self._lock:
            self._kept[key] = _Kept(value, now, expires_at)
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_REMEMBERED:
                self._kept.popitem(last=False)

    def forget(self, key: K) -> None:
        """Forget a value."""
        with self._lock:
            self._kept.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
