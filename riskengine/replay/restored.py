"""Answers put back into the order of their log: they wait in a file that has no name until all are there."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from tempfile import TemporaryFile

import numpy as np

from riskengine.replay.pipeline import Decided

AT_ONCE = 1 << 13  # items


def in_input_order(decided: Iterable[Decided]) -> Iterator[Decided]:
    """Yield the same answers by the numbers of their items."""
    pieces: defaultdict[int, list[tuple[int, np.ndarray, np.ndarray]]] = defaultdict(list)
    with TemporaryFile() as file:
        end = 0
        for numbers, lines in decided:
            to = numbers // AT_ONCE
            order = np.argsort(to, kind="stable")
            for part in np.split(order, np.flatnonzero(np.diff(to[order])) + 1) if len(order) else ():
                some = [lines[at] for at in part.tolist()]
                pieces[int(to[part[0]])].append((end, numbers[part], np.array([len(line) for line in some])))
                end += file.write(b"".join(some))
        for _, parts in sorted(pieces.items()):
            found: list[tuple[int, bytes]] = []
            for begun, numbers, sizes in parts:
                file.seek(begun)
                of = zip(numbers.tolist(), sizes.tolist(), strict=True)
                found += [(number, file.read(size)) for number, size in of]
            found.sort(key=lambda one: one[0])
            yield Decided(np.array([number for number, _ in found]), [line for _, line in found])
