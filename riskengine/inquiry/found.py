"""One stored event, opened."""

from typing import Any, NamedTuple

from riskengine.check import format_time
from riskengine.engine.saved import opened, raw_of
from riskengine.seal import Seal
from riskengine.store.contract import EventRow


class Found(NamedTuple):
    """One stored event: `event` as it was sent with `received_at`, `answer` as it was given, `state` open or the last
    report that counts."""

    event: dict[str, Any]
    answer: dict[str, Any]
    state: str

    def told(self) -> dict[str, Any]:
        """Return it as the API says it."""
        return {"event": self.event, "answer": self.answer, "state": self.state}


def found_in(row: EventRow, seal: Seal) -> Found:
    """Return a stored event opened."""
    event = {**raw_of(row, seal), "received_at": format_time(row.received_at)}
    return Found(event, opened(row, seal)["answer"], row.state)
