"""When a batch breaks the engine: halved until the culprit is found, so that it alone fails, and soon."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from riskengine.engine.arrival import Arrival
from riskengine.engine.segment import Outcome
from riskengine.errors import RiskEngineError, StoreUnavailable

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Culprit(RiskEngineError):
    """An item that the engine could not decide; `cause` is the defect."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("the item could not be decided")
        self.__cause__ = cause


def halves(items: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Return what comes first and what comes after.

    One culprit among 64 takes 13 transactions so; one by one they would be 65, more than a batch has time for.
    """
    middle = len(items) // 2
    return items[:middle], items[middle:]


def halved(decide: Callable[[Sequence[Arrival]], list[Outcome]], arrivals: Sequence[Arrival]) -> list[Outcome]:
    """Return each item's outcome, in order; one that breaks `decide` fails alone."""
    try:
        return decide(arrivals)
    except StoreUnavailable:
        raise
    except Exception as error:
        _log.exception("batch_broken", items=len(arrivals))
        if len(arrivals) == 1:
            return [Culprit(error)]
    first, second = halves(arrivals)
    return halved(decide, first) + halved(decide, second)
