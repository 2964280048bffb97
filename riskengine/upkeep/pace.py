"""How upkeep leaves the store to those who wait for an answer."""

import time
from collections.abc import Callable
from dataclasses import dataclass

MOST_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """After each step rest `rests` times as long as it took; `stopped` says that no further step is wanted."""

    rests: float = 3.0
    stopped: Callable[[], bool] = lambda: False

    def rest(self, began: float) -> None:
        """Rest after a step that began at `began` (time.monotonic)."""
        time.sleep(min((time.monotonic() - began) * self.rests, MOST_PAUSE_SECONDS))


FLAT_OUT = Pace(0.0)
