"""When a batch breaks the engine: its items one by one, so that the culprit alone fails."""

from collections.abc import Callable, Sequence

import structlog

from riskengine.engine.arrival import Arrival
from riskengine.engine.segment import Outcome
from riskengine.errors import RiskEngineError, StoreUnavailable

_log = structlog.get_logger(__name__)


class Culprit(RiskEngineError):
    """An item that the engine could not decide; `cause` is the defect."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("the item could not be decided")
        self.__cause__ = cause


def one_by_one(decide: Callable[[Arrival], Outcome], arrivals: Sequence[Arrival]) -> list[Outcome]:
    """Return each item's outcome by itself, so that one that breaks the engine fails alone."""
    outcomes: list[Outcome] = []
    for arrival in arrivals:
        try:
            outcomes.append(decide(arrival))
        except StoreUnavailable:
            raise
        except Exception as error:
            _log.exception("item_failed")
            outcomes.append(Culprit(error))
    return outcomes
