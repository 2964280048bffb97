"""Addresses as numbers, and which of them can be nowhere: private, reserved, documentation."""

from collections.abc import Sequence
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from socket import AF_INET, AF_INET6, inet_pton

MAPPED = 0xFFFF << 32  # ::ffff:0:0/96, where IPv4 lies among 128-bit addresses
_MAPPED_BYTES = b"\0" * 10 + b"\xff\xff"


class Scope(IntEnum):
    """Whether an address can be somewhere."""

    PUBLIC = 0
    PRIVATE = 1  # not locatable, whatever a database says
    DOCUMENTATION = 2  # not locatable, unless the operator's own file knows it


# IANA special-purpose registries (RFC 6890 and updates), without what is globally reachable.
_PRIVATE = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
    *("::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
)
_DOCUMENTATION = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")


def number(text: str) -> int | None:
    """Return an address as 128 bits, IPv4 as ::ffff:a.b.c.d; None if it is not an address.

    >>> hex(number("192.0.2.1"))
    '0xffffc0000201'
    >>> number("::ffff:192.0.2.1") == number("192.0.2.1")
    True
    """
    try:
        if ":" in text:
            return int.from_bytes(inet_pton(AF_INET6, text))
        return int.from_bytes(_MAPPED_BYTES + inet_pton(AF_INET, text))
    except (OSError, ValueError):  # ValueError: a NUL inside, or no ASCII
        return None


def is_v4(value: int) -> bool:
    """Return whether a 128-bit address is an IPv4 one.

    >>> is_v4(number("192.0.2.1")), is_v4(number("2001:db8::1"))
    (True, False)
    """
    return value >> 32 == 0xFFFF


def plain(value: int) -> str:
    """Return the text that a MaxMind-format reader understands: IPv4 unmapped.

    >>> plain(number("::ffff:192.0.2.1")), plain(number("2001:db8::1"))
    ('192.0.2.1', '2001:db8:0:0:0:0:0:1')
    """
    if is_v4(value):
        return f"{value >> 24 & 255}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"
    return ":".join(f"{value >> shift & 0xFFFF:x}" for shift in range(112, -1, -16))


def scope(value: int) -> Scope:
    """Return whether a 128-bit address can be somewhere.

    >>> [scope(number(text)).name for text in ("100.64.0.1", "2001:db8::1", "::ffff:8.8.8.8")]
    ['PRIVATE', 'DOCUMENTATION', 'PUBLIC']
    """
    spans = _SPANS_V4 if is_v4(value) else _SPANS_V6
    for first, last, found in spans:
        if first <= value <= last:
            return found
    return Scope.PUBLIC


def _spans(networks: Sequence[str], found: Scope) -> list[tuple[int, int, Scope]]:
    """Return first, last and scope of each network, as 128-bit numbers."""
    spans = []
    for text in networks:
        network: IPv4Network | IPv6Network = ip_network(text)
        base = MAPPED if network.version == 4 else 0
        first = base + int(network.network_address)
        spans.append((first, first + network.num_addresses - 1, found))
    return spans


_SPANS = _spans(_PRIVATE, Scope.PRIVATE) + _spans(_DOCUMENTATION, Scope.DOCUMENTATION)
_SPANS_V4 = [span for span in _SPANS if is_v4(span[0])]
_SPANS_V6 = [span for span in _SPANS if not is_v4(span[0])]
