"""Texts that repeat in a log, each understood once, however often it is spelled."""

import secrets
from collections.abc import Callable
from typing import Any

import numpy as np

from riskengine.check import Wrong
from riskengine.compiled import compiled

WRONG = -(1 << 62)  # stands for a text that is not what its field may hold
_LEAST = 1 << 10
_MOST = 1 << 18  # what is met after so many different ones is remembered instead of them
_NONE = -1
_HALF, _SIGN = np.uint64(32), np.uint64(1)


class Spellings:
    """What texts mean: two whole numbers each, as `meaning` says, which raises Wrong for what may not be."""

    def __init__(self, meaning: Callable[[str], tuple[int, int]], missing: tuple[int, int] = (WRONG, 0)) -> None:
        """`missing` is what no text at all means."""
        self._meaning, self._missing = meaning, missing
        # Odd, and unknown to who writes logs, so that nobody makes texts that fall together.
        self._spread = np.uint64(secrets.randbits(64) | 1)
        self._begin()

    def _begin(self) -> None:
        self._count = 0
        self._table = np.full(2 * _LEAST, _NONE, np.int64)
        self._begun = np.zeros(_LEAST + 1, np.int64)
        self._texts = np.empty(_LEAST, np.uint8)
        self._means = np.empty((_LEAST, 2), np.int64)

    def meanings(self, block: np.ndarray, text: str, spans: np.ndarray) -> np.ndarray:
        """Return what the texts at these places (begin and length; -1 for none) of a block mean, a row each.

        `text` is the block as text, a character a byte.
        """
        self._make_room(len(spans), int(np.maximum(spans[:, 1], 0).sum()))
        known = self._count
        numbers, fresh = _numbered(block, spans, self._table, self._begun, self._texts, known, self._spread)
        for number, (begin, length) in enumerate(spans[fresh].tolist(), known):
            try:
                self._means[number] = self._meaning(text[begin : begin + length])
            except Wrong:
                self._means[number] = WRONG, 0
        self._count += len(fresh)
        found = self._means[numbers]
        found[numbers == _NONE] = self._missing
        return found

    def _make_room(self, more: int, characters: int) -> None:
        """Make room for so many texts of so many characters in all."""
        if self._count > _MOST:
            self._begin()
        if self._count + more > len(self._means):
            size = 2 * (self._count + more)
            self._begun, self._means = _grown(self._begun, size + 1), _grown(self._means, size)
            self._table = _placed(2 * size, self._begun, self._texts, self._count, self._spread)
        used = int(self._begun[self._count])
        if used + characters > len(self._texts):
            self._texts = _grown(self._texts, 2 * (used + characters))


def _grown(array: np.ndarray, size: int) -> np.ndarray:
    """Return an array of `size` rows that begins with these; zeros follow."""
    found = np.zeros((size, *array.shape[1:]), array.dtype)
    found[: len(array)] = array
    return found


@compiled
def _hash(block: np.ndarray, begin: int, length: int, spread: np.uint64) -> np.uint64:
    found = spread
    for at in range(begin, begin + length):
        found = (found ^ np.uint64(block[at])) * spread
        found ^= found >> _HALF
    return found


@compiled
def _numbered(
    block: np.ndarray,
    spans: np.ndarray,
    table: np.ndarray,
    begun: np.ndarray,
    texts: np.ndarray,
    count: int,
    spread: np.uint64,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each text, new ones counted on from `count`, and the rows in which those stand first."""
    numbers, fresh, more = np.full(len(spans), _NONE, np.int64), np.empty(len(spans), np.int64), 0
    for row in range(len(spans)):
        begin, length = spans[row, 0], spans[row, 1]
        if begin < 0:
            continue
        place = _slot(table, block, begin, length, begun, texts, spread)
        if table[place] == _NONE:
            number = count + more
            table[place], fresh[more] = number, row
            more += 1
            texts[begun[number] : begun[number] + length] = block[begin : begin + length]
            begun[number + 1] = begun[number] + length
        numbers[row] = table[place]
    return numbers, fresh[:more]


@compiled
def _slot(
    table: np.ndarray,
    block: np.ndarray,
    begin: int,
    length: int,
    begun: np.ndarray,
    texts: np.ndarray,
    spread: np.uint64,
) -> Any:
    """Return where in a table a text stands, or the free place where it belongs."""
    place = np.int64(_hash(block, begin, length, spread) >> _SIGN) % len(table)
    while table[place] != _NONE and not _same(block, begin, length, begun, texts, table[place]):
        place = (place + 1) % len(table)
    return place


@compiled
def _same(block: np.ndarray, begin: int, length: int, begun: np.ndarray, texts: np.ndarray, number: int) -> bool:
    other = begun[number]
    if begun[number + 1] - other != length:
        return False
    for at in range(length):  # noqa: SIM110 - machine code knows no generators
        if block[begin + at] != texts[other + at]:
            return False
    return True


@compiled
def _placed(size: int, begun: np.ndarray, texts: np.ndarray, count: int, spread: np.uint64) -> np.ndarray:
    """Return a table of this size for the texts there are."""
    table = np.full(size, _NONE, np.int64)
    for number in range(count):
        place = _slot(table, texts, begun[number], begun[number + 1] - begun[number], begun, texts, spread)
        table[place] = number
    return table
