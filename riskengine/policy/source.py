"""Sources that a policy names: CIDRs, AS numbers, countries; and which logins come from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

import numpy as np

from riskengine.batch import Batch, Located

Network = IPv4Network | IPv6Network
_MAPPED, _MAPPED_END = 0xFFFF << 32, (0x10000 << 32) - 1  # where IPv4 lies among 128-bit addresses


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges of addresses that do not overlap, in order: first and last of each, as 16 bytes that sort like numbers."""

    first: np.ndarray
    last: np.ndarray

    @classmethod
    def of(cls, networks: Iterable[Network]) -> "Ranges":
        """Return the ranges that these networks cover; IPv4 lies at ::ffff:0:0/96, and ::/0 does not mean it."""
        merged: list[list[int]] = []
        for first, last in sorted(ends for network in networks for ends in ends_of(network)):
            if merged and first <= merged[-1][1] + 1:
                merged[-1][1] = max(merged[-1][1], last)
            else:
                merged.append([first, last])
        return cls(*(np.array([pair[at].to_bytes(16) for pair in merged], "S16") for at in (0, 1)))

    def hold(self, items: Batch) -> np.ndarray:
        """Return which items' addresses lie in one of the ranges."""
        if not len(self.first):
            return np.zeros(len(items), bool)
        address = addresses_of(items)
        below = np.searchsorted(self.first, address, side="right") - 1
        return (below >= 0) & (address <= self.last[below])


def addresses_of(items: Batch) -> np.ndarray:
    """Return the items' addresses as 16 bytes that sort like numbers."""
    halves = np.stack([items["address_high"], items["address_low"]], axis=1).astype(">u8")
    return halves.view("S16")[:, 0]


def ends_of(network: Network) -> Iterable[tuple[int, int]]:
    """Yield first and last of a network as 128 bits; around what is IPv4 in two parts."""
    first, last = int(network[0]), int(network[-1])
    if network.version == 4:
        yield first + _MAPPED, last + _MAPPED
    elif first < _MAPPED and last > _MAPPED_END:
        yield first, _MAPPED - 1
        yield _MAPPED_END + 1, last
    else:
        yield first, last


@dataclass(frozen=True, slots=True)
class Sources:
    """Where logins come from, by address, AS number or country; with nothing in it, it names nobody.

    `private` are those of the CIDRs that are private themselves (`ranges` holds them too).
    """

    ranges: Ranges
    private: Ranges
    asns: np.ndarray
    countries: np.ndarray  # see batch.country_code

    @property
    def names_anybody(self) -> bool:
        """Whether there is any source in it."""
        return bool(len(self.ranges.first) or len(self.asns) or len(self.countries))

    def hold(self, items: Batch) -> np.ndarray:
        """Return which items come from one of the sources. What is unknown of an item matches nothing."""
        found = self.ranges.hold(items)
        if len(self.asns):
            found |= np.isin(items["asn"], self.asns) & (items["asn"] > 0)
        if len(self.countries):
            found |= np.isin(items["country"], self.countries) & (items["country"] > 0)
        return found

    def vouch(self, items: Batch) -> np.ndarray:
        """Return which items come from one of the sources, if that is to speak for them.

        An address that is nobody's on the internet (private, loopback) does so only through a CIDR that is private
        itself: 0.0.0.0/0 does not mean whoever gets a made-up 10.1.2.3 past a proxy.
        """
        found = self.hold(items)
        hidden = found & (items["located"] == Located.PRIVATE)
        return found & (~hidden | self.private.hold(items)) if hidden.any() else found


def sources(networks: Iterable[Network], asns: Iterable[int], countries: Iterable[int]) -> Sources:
    """Return sources by networks, AS numbers and country codes.

    >>> from ipaddress import ip_network
    >>> len(sources([ip_network("10.0.0.0/9"), ip_network("10.128.0.0/9")], [], []).ranges.first)
    1
    """
    networks = tuple(networks)
    hidden = [network for network in networks if is_private(network)]
    codes = np.array([*countries], np.int64)
    return Sources(Ranges.of(networks), Ranges.of(hidden), np.array([*asns], np.int64), codes)


def is_private(network: Network) -> bool:
    """Return whether all of a network is nobody's on the internet; the shortest such prefix there is has 7 bits.

    >>> from ipaddress import ip_network
    >>> [is_private(ip_network(text)) for text in ("10.0.0.0/8", "100.64.0.0/10", "fd00::/8", "0.0.0.0/0", "8.0.0.0/7")]
    [True, True, True, False, False]
    """
    return network.prefixlen >= 7 and not network[0].is_global and not network[-1].is_global


NOBODY = sources([], [], [])
