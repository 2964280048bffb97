"""One event decided twice."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

from riskengine.event import Event

Answer = Mapping[str, Any]  # the full one of POST /score


class Pair(NamedTuple):
    """One event, with the answer it got before (or by one policy) and the one it gets after (or by the other)."""

    event: Event
    before: Answer
    after: Answer


def paired(
    before: Iterable[tuple[int, Answer]], after: Iterable[tuple[int, Answer]]
) -> Iterator[tuple[int, Answer, Answer]]:
    """Yield (number, before, after) of the answers that bear the same number.

    Both come in the same order, so no more is held than the numbers that one side lacks: an event that breaks the
    engine under one policy has no answer there.
    """
    held: tuple[dict[int, Answer], dict[int, Answer]] = {}, {}
    for both in zip_longest(before, after):
        for side, found in zip(held, both, strict=True):
            if found is not None:
                side[found[0]] = found[1]
        for number in sorted(held[0].keys() & held[1].keys()):
            yield number, held[0].pop(number), held[1].pop(number)
