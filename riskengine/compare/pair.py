"""One event decided twice."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from riskengine.event import Event

Answer = Mapping[str, Any]  # the full one of POST /score


class Pair(NamedTuple):
    """One event, with the answer it got before (or by one policy) and the one it gets after (or by the other)."""

    event: Event
    before: Answer
    after: Answer
