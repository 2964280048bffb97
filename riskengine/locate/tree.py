"""The search tree of a MaxMind-format file, walked for whole columns of addresses at once.

The format (MaxMind DB 2.0): a node is two records of 24, 28 or 32 bits; a record below the number of nodes is the next
node, equal to it is "nothing known", above it points into the data section.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from riskengine.compiled import compiled, signed

NOTHING = -1
# 2000::/3, where global IPv6 addresses lie.
_GLOBAL, _GLOBAL_BITS = np.uint64(1 << 61), 3
SEPARATOR = 16  # zero bytes between the tree and the data section
_V4_BITS, _V6_BITS = 32, 128
_SPACE_BEFORE_V4 = 96  # in an IPv6 tree IPv4 lies below ::/96


@dataclass(frozen=True, slots=True)
class Leaves:
    """Where walks ended: `offset` of the record in the file or NOTHING, and `prefix`, the bits of the address used."""

    offset: np.ndarray
    prefix: np.ndarray


class Tree:
    """One tree over the bytes of its file; ValueError if it does not fit into them."""

    def __init__(self, raw: np.ndarray, node_count: int, record_bits: int, ip_version: int) -> None:
        if record_bits not in (24, 28, 32) or ip_version not in (4, 6) or node_count < 1:
            raise ValueError("its header makes no sense")
        width = record_bits // 4
        self.size = node_count * width
        if self.size + SEPARATOR > len(raw):
            raise ValueError("its tree is cut off")
        self._nodes = raw[: self.size].reshape(node_count, width)
        self._count, self._bits, self._version = node_count, record_bits, ip_version
        self._v4_root = 0
        if ip_version == 6:
            self._v4_root = self._below(np.uint64(0), 0, _SPACE_BEFORE_V4)

    def find(self, high: np.ndarray, low: np.ndarray) -> Leaves:
        """Return the leaves of addresses given as two columns of 64 bits, IPv4 as ::ffff:a.b.c.d."""
        ends, prefix = _leaves(self._nodes, self._bits, high, low, self._v4_root, self._version)
        return Leaves(np.where(ends > self._count, ends - self._count + self.size, NOTHING), prefix)

    def sample(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return up to `count` addresses that have a record, as `find` takes them, always the same ones.

        Each is a walk that takes either side alike wherever something is known on both: so it finds what there is also
        in a tree that is almost empty. In an IPv6 tree that holds IPv4 too, each has half.
        """
        rng, walks = np.random.default_rng(0), []
        v6 = self._version == 6
        v6_root = self._below(_GLOBAL, 0, _GLOBAL_BITS) if v6 else self._count
        both = v6_root != self._count and self._v4_root != self._count
        if self._v4_root != self._count:
            top, _ = self._walk(rng, self._v4_root, np.zeros(count // 2 if both else count, np.uint64), 0, _V4_BITS)
            walks.append((np.zeros_like(top), np.uint64(0xFFFF << 32) | top >> np.uint64(32)))
        if v6_root != self._count:
            begun = np.full(count // 2 if both else count, _GLOBAL)
            walks.append(self._walk(rng, v6_root, begun, _GLOBAL_BITS, _V6_BITS))
        if not walks:
            return np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        high, low = zip(*walks, strict=True)
        return np.concatenate(high), np.concatenate(low)

    def _walk(
        self, rng: np.random.Generator, root: int, high: np.ndarray, first: int, bits: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return where walks from `root` end, which lies below the first bits of `high`; the bits left are drawn."""
        value, low = np.full(len(high), root, np.int64), np.zeros(len(high), np.uint64)
        for depth in range(first, bits):
            side = rng.integers(0, 2, len(high))
            on = np.flatnonzero(value < self._count)
            there = self._records(value[on], side[on])
            nothing = there == self._count
            side[on] ^= nothing
            value[on] = np.where(nothing, self._records(value[on], side[on]), there)
            half, shift = (high, 63 - depth) if depth < 64 else (low, 127 - depth)
            half |= side.astype(np.uint64) << np.uint64(shift)
        known = value > self._count
        return high[known], low[known]

    def _below(self, high: np.uint64, root: int, bits: int) -> int:
        """Return the record that the walk of the first bits of `high` ends with."""
        return int(_descend(self._nodes, self._bits, high, np.uint64(0), root, bits)[0])

    def _records(self, node: np.ndarray, side: np.ndarray) -> np.ndarray:
        """Return the left (0) or right (1) record of each node."""
        return _records(self._nodes, self._bits, node, side)


@compiled
def _leaves(
    nodes: np.ndarray, width: int, high: np.ndarray, low: np.ndarray, v4_root: int, version: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the record that the walk of each address ended with, and after how many bits."""
    ends, prefixes = np.empty(len(high), np.int64), np.empty(len(high), np.int64)
    for at in range(len(high)):
        if high[at] == 0 and low[at] >> np.uint64(32) == np.uint64(0xFFFF):
            top = low[at] << np.uint64(32)
            end, depth = _descend(nodes, width, top, top, v4_root, _V4_BITS)
        elif version == 6:
            end, depth = _descend(nodes, width, high[at], low[at], 0, _V6_BITS)
        else:
            end, depth = len(nodes), 0
        # A walk that ends on a node ran out of bits: the tree is damaged, and nothing can be said of the neighbours.
        ends[at], prefixes[at] = end, _V6_BITS if end < len(nodes) else depth
    return ends, prefixes


@compiled
def _descend(nodes: np.ndarray, width: int, high: np.uint64, low: np.uint64, root: int, bits: int) -> tuple[int, int]:
    """Return the record that a walk from `root` ended with, and after how many bits."""
    value, depth = root, 0
    while depth < bits and value < len(nodes):
        half, shift = (high, 63 - depth) if depth < 64 else (low, 127 - depth)
        value = _record(nodes, width, value, signed(half >> np.uint64(shift) & np.uint64(1)))
        depth += 1
    return value, depth


@compiled
def _records(nodes: np.ndarray, width: int, node: np.ndarray, side: np.ndarray) -> np.ndarray:
    found = np.empty(len(node), np.int64)
    for at in range(len(node)):
        found[at] = _record(nodes, width, node[at], side[at])
    return found


@compiled
def _record(nodes: np.ndarray, width: int, node: int, side: Any) -> int:
    """Return one record of a node; of 28 bits the middle byte holds the four highest of both."""
    size = width // 8
    first = side * (size + (1 if width == 28 else 0))
    value = 0
    if width == 28:
        middle = signed(nodes[node, 3])
        value = middle >> 4 if side == 0 else middle & 15
    for at in range(size):
        value = value << 8 | signed(nodes[node, first + at])
    return value
