"""The blocks in force, as a batch is held against them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from riskengine.batch import Batch
from riskengine.engine.admit import Entry
from riskengine.engine.block import Block
from riskengine.policy.source import Ranges, addresses_of, ends_of

_Key = tuple[str, str, bytes | int | None]


class Blocks:
    """Blocks of all realms, few enough to lie in memory; those that expire meanwhile hold nothing any more."""

    def __init__(self, blocks: Sequence[Block] = ()) -> None:
        self._by_name: defaultdict[_Key, list[Block]] = defaultdict(list)
        # Of each network first and last address; one around what is IPv4 is two.
        self._parts: list[Block] = []
        ends: list[tuple[int, int]] = []
        for one in blocks:
            if one.target.kind == "address":
                of_one = list(ends_of(one.target.network))
                self._parts += [one] * len(of_one)
                ends += of_one
            else:
                key = one.token if one.target.asn is None else one.target.asn
                self._by_name[one.realm, one.target.kind, key].append(one)
        self._ranges = Ranges.of(one.target.network for one in self._parts)
        self._first, self._last = (np.array([pair[at].to_bytes(16) for pair in ends], "S16") for at in (0, 1))

    def holding(self, entries: Sequence[Entry], columns: Batch) -> dict[int, Block]:
        """Return, by index, the block that holds each of these events: of several the one that lasts longest.

        `columns` are where they come from, row by row. What counts is the moment at which an event arrived, and not the
        time it states, which is its sender's word. One that was decided before is held by what held it then.
        """
        found = {one.index: one.arrival.block for one in entries if one.arrival.block is not None}
        if not (self._parts or self._by_name):
            return found
        near, asns = self._ranges.hold(columns), columns["asn"].tolist()
        addresses = addresses_of(columns)
        for at, one in enumerate(entries):
            candidates = [*self._naming(one, asns[at]), *(self._around(addresses[at]) if near[at] else ())]
            in_force = [
                block
                for block in candidates
                if block.realm == one.arrival.realm and block.expires_at > one.arrival.received_at
            ]
            if in_force:
                found[one.index] = max(in_force, key=lambda block: (block.expires_at, block.id))
        return found

    def _naming(self, one: Entry, asn: int) -> Iterator[Block]:
        """Yield the blocks of an event's user, device and autonomous system."""
        names = (("user", one.tokens.user_ref), ("device", one.tokens.device), ("asn", asn or None))
        for kind, key in names:
            if key is not None:
                yield from self._by_name.get((one.arrival.realm, kind, key), ())

    def _around(self, address: np.bytes_) -> Iterator[Block]:
        """Yield the blocks of networks that hold an address."""
        for at in np.flatnonzero((self._first <= address) & (address <= self._last)).tolist():
            yield self._parts[at]
