"""Kinds of network: their codes, what each means for place and trust, and how evidence resolves to one kind."""

from enum import IntEnum, IntFlag

import numpy as np

from riskengine.compiled import Row, compiled
from riskengine.errors import Fault, InvalidInput


class Kind(IntEnum):
    """What sort of network an address belongs to; the code is what columns and records hold."""

    UNKNOWN = 0
    BROADBAND = 1
    MOBILE = 2
    SATELLITE = 3
    INFLIGHT = 4
    PUBLIC_WIFI = 5
    CORPORATE_PROXY = 6
    RELAY = 7
    CDN = 8
    HOSTING = 9
    VPN = 10
    TOR = 11
    RESIDENTIAL_PROXY = 12
    ABUSE = 13
    PRIVATE = 14


KINDS = tuple(kind.name.lower() for kind in Kind)


class Trait(IntFlag):
    """Evidence about an address, one bit each, as databases and lists state it."""

    ANONYMOUS_VPN = 1
    TOR_EXIT = 2
    HOSTING = 4
    PUBLIC_PROXY = 8
    RESIDENTIAL_PROXY = 16
    ANONYMOUS = 32
    CELLULAR = 64
    SATELLITE = 128
    CAFE = 256
    PRIVATE = 512
    FLAG_ANONYMOUS_PROXY = 1024
    FLAG_SATELLITE = 2048
    FLAG_ANYCAST = 4096
    FLAG_DROP = 8192
    RELAY = 16384
    CORPORATE = 32768


def _table(*kinds: Kind) -> np.ndarray:
    """Return a column of booleans that a kind code indexes."""
    table = np.zeros(len(Kind), bool)
    table[list(kinds)] = True
    return table


# Who sits behind these hides where they are: what a login from one teaches is provisional at most.
ANONYMISING = _table(Kind.VPN, Kind.TOR, Kind.HOSTING, Kind.RESIDENTIAL_PROXY, Kind.ABUSE)

# The address stands for a gateway, not for a person: no journey is measured to or from it.
PLACELESS = _table(
    Kind.VPN,
    Kind.TOR,
    Kind.RELAY,
    Kind.CORPORATE_PROXY,
    Kind.CDN,
    Kind.HOSTING,
    Kind.RESIDENTIAL_PROXY,
    Kind.ABUSE,
    Kind.PRIVATE,
)

# A place is known, but only roughly: a journey that ends here is evidence, never a verdict on its own.
WIDE = _table(Kind.MOBILE, Kind.SATELLITE, Kind.INFLIGHT, Kind.PUBLIC_WIFI)

# Strangers may share the network, or it hides who is behind it.
EXPOSED = ANONYMISING | _table(Kind.PUBLIC_WIFI, Kind.INFLIGHT)


def kind_of(name: str) -> Kind:
    """Return the kind called `name`.

    >>> kind_of("public_wifi").value
    5
    """
    try:
        return Kind[name.upper()]
    except KeyError as error:
        raise InvalidInput([Fault("", f"is not a kind of network: one of {', '.join(KINDS)}")]) from error


_UNKNOWN, _BROADBAND = int(Kind.UNKNOWN), int(Kind.BROADBAND)

# Strongest first; the first that holds names the kind. The libloc flags are noisy (a mobile carrier carries 82
# anonymous-proxy flags), so they speak only where the ASN table is silent.
_BY_TRAIT = (
    (Trait.PRIVATE, Kind.PRIVATE),
    (Trait.TOR_EXIT, Kind.TOR),
    (Trait.RESIDENTIAL_PROXY, Kind.RESIDENTIAL_PROXY),
    (Trait.RELAY, Kind.RELAY),
    (Trait.ANONYMOUS_VPN | Trait.PUBLIC_PROXY | Trait.ANONYMOUS, Kind.VPN),
    (Trait.HOSTING, Kind.HOSTING),
    (Trait.SATELLITE, Kind.SATELLITE),
    (Trait.CAFE, Kind.PUBLIC_WIFI),
    (Trait.CELLULAR, Kind.MOBILE),
)
_BY_FLAG = (
    (Trait.FLAG_DROP, Kind.ABUSE),
    (Trait.FLAG_ANONYMOUS_PROXY, Kind.VPN),
    (Trait.FLAG_SATELLITE, Kind.SATELLITE),
)


_TRAITS, _TRAIT_KINDS = (np.array(column, np.int64) for column in zip(*_BY_TRAIT, strict=True))
_FLAGS, _FLAG_KINDS = (np.array(column, np.int64) for column in zip(*_BY_FLAG, strict=True))


@compiled
def kind_by(traits: int, listed: int, located: bool) -> int:
    """Return an address's kind code from its evidence: databases' traits, then the ASN table, then flags.

    `traits` holds `Trait` bits, `listed` the kind code of the ASN table (0 where it is silent), `located` whether any
    database knows the address at all: one that is known and unremarkable is broadband.

    >>> kind_by(0, 0, True), kind_by(0, 9, True), kind_by(2, 9, True)
    (1, 9, 11)
    """
    for at in range(len(_TRAITS)):
        if traits & _TRAITS[at]:
            return int(_TRAIT_KINDS[at])
    if listed > 0:
        return listed
    for at in range(len(_FLAGS)):
        if traits & _FLAGS[at]:
            return int(_FLAG_KINDS[at])
    return _BROADBAND if located else _UNKNOWN


@compiled
def resolved(item: Row) -> int:
    """Return the kind code of an item's address, by `kind_by`."""
    return kind_by(item.traits, item.listed, item.asn + item.country > 0)
