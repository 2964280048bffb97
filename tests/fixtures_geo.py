"""Small MaxMind-format files made at test time, and a little world of documentation addresses in them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

from mmdb_writer import MMDBWriter, TreeWriter
from netaddr import IPSet

Record = Mapping[str, Any]
IpVersion = Literal[4, 6]

NEW_YORK: Record = {
    "latitude": 40.7128, "longitude": -74.0060, "country": "US", "radius": 20,
    "city": "New York", "region": "New York", "timezone": "America/New_York",
}  # fmt: skip
TOKYO: Record = {
    "latitude": 35.6895, "longitude": 139.6917, "country": "JP", "radius": 20,
    "city": "Tokyo", "region": "Tokyo", "timezone": "Asia/Tokyo",
}  # fmt: skip
LISBON: Record = {
    "latitude": 38.7223, "longitude": -9.1393, "country": "PT", "radius": 20,
    "city": "Lisbon", "region": "Lisbon", "timezone": "Europe/Lisbon",
}  # fmt: skip
LONDON: Record = {
    "latitude": 51.5072, "longitude": -0.1276, "country": "GB", "radius": 20,
    "city": "London", "region": "England", "timezone": "Europe/London",
}  # fmt: skip
BUCHAREST: Record = {
    "latitude": 44.4268, "longitude": 26.1025, "country": "RO", "radius": 20,
    "city": "Bucharest", "region": "Bucharest", "timezone": "Europe/Bucharest",
}  # fmt: skip
EQUATOR: Record = {
    "latitude": 0.0, "longitude": 9.45, "country": "GA", "radius": 20,
    "city": "Libreville", "region": "Estuaire", "timezone": "Africa/Libreville",
}  # fmt: skip

# Where the documentation addresses are in the tests' world.
WORLD: Mapping[str, Record] = {
    "192.0.2.0/26": NEW_YORK,
    "192.0.2.64/26": NEW_YORK,
    "198.51.100.0/26": TOKYO,
    "198.51.100.64/26": LISBON,
    "198.51.100.128/26": EQUATOR,
    "203.0.113.0/26": LONDON,
    "203.0.113.64/26": BUCHAREST,
    "203.0.113.128/26": NEW_YORK,
    "203.0.113.192/26": {**NEW_YORK, "radius": 300},
    "2001:db8:1::/48": NEW_YORK,
    "2001:db8:2::/48": TOKYO,
}
# Whose they are; data/networks.csv holds 14654 (public Wi-Fi), 21928 (mobile) and 701, 4713, 5089, 12271
# (broadband), and neither 3243, 16058 nor 64500, a number kept for documentation.
WORLD_ASN: Mapping[str, tuple[int, str]] = {
    "192.0.2.0/26": (12271, "Charter Communications Inc"),
    "192.0.2.64/26": (701, "Verizon Business"),
    "198.51.100.0/26": (4713, "NTT Communications Corporation"),
    "198.51.100.64/26": (3243, "Servicos De Comunicacoes E Multimedia S.A."),
    "198.51.100.128/26": (16058, "Gabon Telecom"),
    "203.0.113.0/26": (5089, "Virgin Media Limited"),
    "203.0.113.64/26": (64500, "Example Hosting SRL"),
    "203.0.113.128/26": (14654, "Wayport, Inc."),
    "203.0.113.192/26": (21928, "T-Mobile USA, Inc."),
    "2001:db8:1::/48": (12271, "Charter Communications Inc"),
    "2001:db8:2::/48": (4713, "NTT Communications Corporation"),
}
# Bucharest's first half is a Tor exit, its second a plain data centre.
WORLD_ANONYMOUS: Mapping[str, Record] = {
    "203.0.113.64/27": {"is_anonymous": True, "is_tor_exit_node": True, "is_hosting_provider": True},
    "203.0.113.96/27": {"is_anonymous": True, "is_hosting_provider": True},
}


@dataclass(frozen=True)
class World:
    """The paths of one world's three files, as RISKENGINE_GEOIP_CITY, _ASN and _ANONYMOUS want them."""

    city: Path
    asn: Path
    anonymous: Path


def write_world(folder: Path) -> World:
    """Write the files of `WORLD`, `WORLD_ASN` and `WORLD_ANONYMOUS` into `folder`, built now."""
    folder.mkdir(parents=True, exist_ok=True)
    world = World(folder / "city.mmdb", folder / "asn.mmdb", folder / "anonymous.mmdb")
    write_city_db(world.city, WORLD)
    write_asn_db(world.asn, WORLD_ASN)
    write_anonymous_db(world.anonymous, WORLD_ANONYMOUS)
    return world


def write_city_db(
    path: Path,
    networks: Mapping[str, Record],
    *,
    database_type: str = "GeoLite2-City",
    built: int | None = None,
) -> None:
    """Write a nested (MaxMind) City file.

    Records use latitude, longitude, radius, country, city, region, timezone; any may be absent, `traits` too.
    `built` is the build time in s since 1970 (now).
    """
    write_db(path, {cidr: nested(record) for cidr, record in networks.items()}, database_type, built=built)


def write_flat_db(
    path: Path,
    networks: Mapping[str, Record],
    ip_version: IpVersion = 4,
    *,
    built: int | None = None,
) -> None:
    """Write one file of the flat DB-IP pair, `city ipv4` or `city ipv6`: no radius, "" where unknown."""
    records = {cidr: flat(record) for cidr, record in networks.items()}
    write_db(path, records, f"city ipv{ip_version}", ip_version, built=built)


def write_asn_db(path: Path, networks: Mapping[str, tuple[int, str]], *, built: int | None = None) -> None:
    """Write a GeoLite2-ASN file from cidr → (number, name)."""
    records = {
        cidr: {"autonomous_system_number": number, "autonomous_system_organization": name}
        for cidr, (number, name) in networks.items()
    }
    write_db(path, records, "GeoLite2-ASN", built=built)


def write_anonymous_db(path: Path, networks: Mapping[str, Record], *, built: int | None = None) -> None:
    """Write a GeoIP2-Anonymous-IP file; records hold its flags as they are."""
    write_db(path, networks, "GeoIP2-Anonymous-IP", built=built)


def nested(record: Record) -> dict[str, Any]:
    """Return a friendly record in MaxMind's City shape."""
    found: dict[str, Any] = {}
    if "country" in record:
        found["country"] = {"iso_code": record["country"]}
    if "city" in record:
        found["city"] = {"names": {"en": record["city"]}}
    if "region" in record:
        found["subdivisions"] = [{"names": {"en": record["region"]}}]
    location = {
        theirs: record[ours]
        for ours, theirs in (
            ("latitude", "latitude"),
            ("longitude", "longitude"),
            ("radius", "accuracy_radius"),
            ("timezone", "time_zone"),
        )
        if ours in record
    }
    if location:
        found["location"] = location
    if "traits" in record:
        found["traits"] = dict(record["traits"])
    return found


def flat(record: Record) -> dict[str, Any]:
    """Return a friendly record in the flat DB-IP shape."""
    return {
        "city": record.get("city", ""),
        "country_code": record.get("country", ""),
        "latitude": record.get("latitude", ""),
        "longitude": record.get("longitude", ""),
        "postcode": "",
        "state1": record.get("region", ""),
        "state2": "",
        "timezone": record.get("timezone", ""),
    }


def write_db(
    path: Path,
    networks: Mapping[str, Record],
    database_type: str,
    ip_version: IpVersion = 6,
    *,
    built: int | None = None,
) -> None:
    """Write any MaxMind-format file; an IPv6 one holds IPv4 networks too, narrow ones win over wide ones."""
    writer = MMDBWriter(ip_version, database_type, ["en"], "a test", ipv4_compatible=ip_version == 6)
    for cidr in sorted(networks, key=lambda text: ip_network(text).prefixlen):
        writer.insert_network(IPSet([cidr]), dict(networks[cidr]))
    meta = {
        "ip_version": ip_version,
        "database_type": database_type,
        "languages": ["en"],
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "description": {"en": "a test"},
        "build_epoch": int(time.time()) if built is None else built,
    }
    TreeWriter(writer.tree, meta).write(str(path))
