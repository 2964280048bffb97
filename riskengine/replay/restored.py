"""Answers put back into the order of their log: they wait in a file that has no name until all are there."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from tempfile import TemporaryFile
from typing import IO

import numpy as np

from riskengine.replay.loom import Lines, chained, joined
from riskengine.replay.pipeline import Decided

AT_ONCE = 1 << 13  # items


def in_input_order(decided: Iterable[Decided]) -> Iterator[Decided]:
    """Yield the same answers by the numbers of their items."""
    pieces: defaultdict[int, list[tuple[int, np.ndarray, np.ndarray]]] = defaultdict(list)
    with TemporaryFile() as file:
        end = 0
        for numbers, lines in decided:
            to, texts = numbers // AT_ONCE, lines.split()
            order = np.argsort(to, kind="stable")
            for part in np.split(order, np.flatnonzero(np.diff(to[order])) + 1) if len(order) else ():
                some = [texts[at] for at in part.tolist()]
                pieces[int(to[part[0]])].append((end, numbers[part], np.array([len(text) for text in some])))
                end += file.write(b"".join(some))
        for _, parts in sorted(pieces.items()):
            numbers = np.concatenate([one[1] for one in parts])
            lines = chained([_read(file, begun, sizes) for begun, _, sizes in parts])
            place = np.empty(len(numbers), np.int64)
            place[np.argsort(numbers)] = np.arange(len(numbers))
            yield Decided(np.sort(numbers), joined([lines], [place]))


def _read(file: IO[bytes], begun: int, sizes: np.ndarray) -> Lines:
    ends = np.cumsum(sizes)
    file.seek(begun)
    return Lines(np.frombuffer(file.read(int(ends[-1])), np.uint8), ends)
