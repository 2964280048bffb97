"""Records of MaxMind-format files, whatever their schema, as one shape; what cannot be read is unknown.

Schemas: MaxMind City and Enterprise (nested), DB-IP City Lite as DB-IP makes it (nested, no radius) and as
the npm packages re-pack it (flat, "" is unknown), GeoLite2-ASN and GeoIP2-ISP, IPinfo (the number as
"AS64500"), and Anonymous-IP with its Plus edition.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from riskengine.network import Trait

NAN = math.nan
_LARGEST_ASN = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Spot:
    """What a City record says: degrees and km (NaN unknown), names (None unknown), `Trait` bits."""

    latitude: float = NAN
    longitude: float = NAN
    radius_km: float = NAN
    city: str | None = None
    region: str | None = None
    country: str | None = None
    timezone: str | None = None
    asn: int = 0
    as_name: str | None = None
    traits: int = 0


@dataclass(frozen=True, slots=True)
class System:
    """What an ASN record says: the number (0 unknown) and the name."""

    asn: int = 0
    name: str | None = None


# Kinds of user behind a network (GeoIP2 Enterprise). The same people come to a college or school every day,
# so it is not taken for a café.
_USER_TYPES = {
    "cafe": Trait.CAFE,
    "traveler": Trait.CAFE,
    "library": Trait.CAFE,
    "cellular": Trait.CELLULAR,
    "hosting": Trait.HOSTING,
    "content_delivery_network": Trait.HOSTING,
    "consumer_privacy_network": Trait.RELAY,
    "business": Trait.CORPORATE,
    "government": Trait.CORPORATE,
    "military": Trait.CORPORATE,
}
_CONNECTION_TYPES = {
    "Cellular": Trait.CELLULAR,
    "Satellite": Trait.SATELLITE,
    "Corporate": Trait.CORPORATE,
}
_CLAIMS = {
    "is_anonymous_vpn": Trait.ANONYMOUS_VPN,
    "is_tor_exit_node": Trait.TOR_EXIT,
    "is_hosting_provider": Trait.HOSTING,
    "is_public_proxy": Trait.PUBLIC_PROXY,
    "is_anonymous_proxy": Trait.PUBLIC_PROXY,
    "is_residential_proxy": Trait.RESIDENTIAL_PROXY,
    "is_satellite_provider": Trait.SATELLITE,
}


def read_city(record: object) -> Spot:
    """Return what a City or Enterprise record says, nested or flat.

    >>> read_city({"city": "Tokyo", "country_code": "JP", "latitude": 35.5, "longitude": ""}).country
    'JP'
    """
    if not isinstance(record, Mapping):
        return Spot()
    return _flat(record) if isinstance(record.get("country_code"), str) else _nested(record)


def _flat(record: Mapping[str, Any]) -> Spot:
    latitude, longitude = _point(record.get("latitude"), record.get("longitude"))
    return Spot(
        latitude,
        longitude,
        city=_text(record.get("city")),
        region=_text(record.get("state1")),
        country=_letters(record.get("country_code")),
        timezone=_text(record.get("timezone")),
    )


def _nested(record: Mapping[str, Any]) -> Spot:
    location, traits = _map(record.get("location")), _map(record.get("traits"))
    latitude, longitude = _point(location.get("latitude"), location.get("longitude"))
    subdivisions = record.get("subdivisions")
    first = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else None
    system = read_system(traits)
    radius = _number(location.get("accuracy_radius"))
    return Spot(
        latitude,
        longitude,
        radius if 0 < radius < math.inf else NAN,
        _name(record.get("city")),
        _name(first) or _text(_map(first).get("iso_code")),
        _letters(_map(record.get("country")).get("iso_code")),
        _text(location.get("time_zone")),
        system.asn,
        system.name,
        read_traits(traits),
    )


def read_system(record: object) -> System:
    """Return the autonomous system that an ASN or ISP record, or the traits of an Enterprise one, names.

    >>> read_system({"asn": "AS64500", "as_name": "Example"})
    System(asn=64500, name='Example')
    """
    found = _map(record)
    asn = found.get("autonomous_system_number", found.get("asn"))
    if isinstance(asn, str) and asn.upper().startswith("AS"):
        asn = asn[2:]
    number = _number(asn)
    known = 0 < number <= _LARGEST_ASN
    name = _text(found.get("autonomous_system_organization")) or _text(found.get("as_name"))
    return System(int(number) if known else 0, name)


def read_traits(record: object) -> int:
    """Return the `Trait` bits that the flags of an Anonymous-IP record or of Enterprise traits amount to.

    `is_anonymous` comes with every other flag, hosting included, so it counts only where it stands alone.

    >>> Trait(read_traits({"is_anonymous": True, "is_hosting_provider": True})).name
    'HOSTING'
    """
    found = _map(record)
    bits = Trait(0)
    for claim, trait in _CLAIMS.items():
        if found.get(claim) is True:
            bits |= trait
    if found.get("is_anonymous") is True and not bits:
        bits |= Trait.ANONYMOUS
    if found.get("is_anycast") is True:
        bits |= Trait.FLAG_ANYCAST
    user_type, connection = found.get("user_type"), found.get("connection_type")
    if isinstance(user_type, str):
        bits |= _USER_TYPES.get(user_type, Trait(0))
    if isinstance(connection, str):
        bits |= _CONNECTION_TYPES.get(connection, Trait(0))
    return int(bits)


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _name(value: object) -> str | None:
    """Return the English name of a nested record, or the first there is."""
    names = _map(_map(value).get("names"))
    return _text(names.get("en")) or next((text for text in map(_text, names.values()) if text), None)


def _letters(value: object) -> str | None:
    if isinstance(value, str) and len(value) == 2 and value.isascii() and value.isalpha():
        return value.upper()
    return None


def _number(value: object) -> float:
    """Return a number, also one written as text; NaN if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return NAN
    try:
        return float(value)
    except (ValueError, OverflowError):
        return NAN


def _point(latitude: object, longitude: object) -> tuple[float, float]:
    """Return both degrees, or NaN twice unless both are on the globe; 0.0 is."""
    north, east = _number(latitude), _number(longitude)
    if -90 <= north <= 90 and -180 <= east <= 180:
        return north, east
    return NAN, NAN
