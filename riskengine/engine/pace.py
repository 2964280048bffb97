"""How fast items are answered, learnt from the batches: it bounds how many may wait, so that none waits in vain."""

# Before the first full batch: what one slow core does.
FIRST_RATE = 2000.0
# A batch of at least this many shows the rate; in a small one the fixed costs count.
FULL = 16
LARGEST_BATCH = 256
# Shares of a batch's deadline: for one batch, and for all that wait. An item meets at worst the batch under way and
# what waits before it; the rest is for the way in and out, and for a machine that is busy with other things.
BATCH_SHARE, WAIT_SHARE = 0.25, 0.5
# A full batch counts for this much of what is known; the rate is that of about the last ten.
_NEW = 0.1


class Pace:
    """The rate at which batches are answered; `deadline` in seconds is how long a batch may take.

    Where a batch is answered without the store it counts as well: the rate is what callers get.
    """

    def __init__(self, deadline: float, most_waiting: int) -> None:
        self._deadline, self._most_waiting = deadline, most_waiting
        self.rate = FIRST_RATE

    def saw(self, items: int, seconds: float) -> None:
        """Learn from a batch that took so long, from when it was taken until it was answered."""
        if items >= FULL and seconds > 0:
            self.rate += _NEW * (items / seconds - self.rate)

    def largest(self) -> int:
        """Return how many items one batch may hold.

        >>> pace = Pace(0.5, 2048)
        >>> pace.largest(), pace.room()
        (250, 500)
        """
        return min(LARGEST_BATCH, max(FULL, int(self.rate * self._deadline * BATCH_SHARE)))

    def room(self) -> int:
        """Return how many items may wait: as many as are answered while it makes sense to wait."""
        return min(self._most_waiting, max(2 * FULL, int(self.rate * self._deadline * WAIT_SHARE)))
