"""The networks of a population: operators, their blocks of addresses, and what databases say of each block.

Addresses are public ones that one owner holds and nobody here uses; what the built-in tables say of them is overridden
by the files written. A database's position is the true one plus an error by kind of network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from math import exp, log
from pathlib import Path
from random import Random

from tests.fixtures_geo import Record, write_anonymous_db, write_asn_db, write_city_db
from tests.fixtures_geo import World as Files
from tests.quality.cities import City, apart_km, cities_of, city, countries, elsewhere, moved
from tests.quality.parameters import Parameters

# The first byte of each /8 that addresses are taken from, and the first 16 bits of IPv6 ones, which nobody was given.
_FOURS, _SIX = (6, 7, 11, 21, 22, 26, 28, 29, 30, 33), 0x2D00
# Spread (sigma of the logarithm) and cap in km of positions' errors: the travel model of the field.
_SPREAD = {"fixed": (1.55, 500.0), "mobile": (0.9, 1500.0)}
_RADII = {
    "fixed": ((5, 10, 20, 50, 100), (0.20, 0.25, 0.25, 0.18, 0.12)),
    "mobile": ((50, 100, 200, 500), (0.10, 0.20, 0.35, 0.35)),
}
# AS numbers of data/networks.csv that a kind is known by.
_MOBILE = {
    "US": (21928, 6167, 20057), "IN": (55836, 45609), "GB": (12576,), "JP": (138384, 9605), "SG": (45143,),
    "TH": (131445,), "ID": (23693,),
}  # fmt: skip
_BROADBAND = {"US": (7922, 701, 12271), "GB": (5089,), "JP": (4713, 17676)}
_WIFI = {"US": (14654, 23027), "GB": (41012, 39852), "DE": (42390, 20830), "ES": (16349,), "JP": (131160,)}
_WIFI_ANYWHERE = (39852, 23027)
_HOSTING = (16509, 14061, 24940, 16276, 20473, 63949)
_VPN = (9009, 212238, 209854, 136787)
_RELAY, _SATELLITE, _PROXY = (36183, 13335, 54113), (14593,), (22616, 13150)
_INFLIGHT = {64294: "Tokyo", 11167: "Chicago", 206433: "Amsterdam", 31515: "London"}  # and where they land
_UNLISTED = 420_000  # AS numbers from here on are on no list
_OWN = {"broadband": 0, "mobile": 4, "hosting": 8, "vpn": 12}  # where a country's unlisted operators begin
_HEADQUARTERS = {14654: "Dallas", 23027: "Los Angeles", 41012: "London", 39852: "London"}


@dataclass(frozen=True)
class Operator:
    """Who runs a network: `kind` as people would call it, whether lists know it or not."""

    asn: int
    kind: str
    name: str


@dataclass(frozen=True)
class Block:
    """A /24 (IPv6: a /32) that an operator serves a city from; `record` and `flags` are what databases say of it."""

    cidr: str
    operator: Operator
    city: City
    record: Record
    flags: Mapping[str, bool] = field(default_factory=dict)

    def address(self, number: int) -> str:
        """Return an address of the block: of IPv4 one of 250, of IPv6 one in the /64 that the number stands for."""
        if ":" in self.cidr:
            network = self.cidr.split("::")[0]
            return f"{network}:{number >> 8 & 0xFFFF:x}:{(number & 0xFF) << 8:x}::{1 + number * 7919 & 0xFFFF:x}"
        return f"{self.cidr.rsplit('.', 1)[0]}.{2 + number % 250}"

    @property
    def located(self) -> bool:
        """Whether the databases name a point."""
        return "latitude" in self.record


@cache
def operators(kind: str, country: str) -> tuple[Operator, ...]:
    """Return the operators of a kind that serve a country; `hosting` and `vpn` end with those on no list."""
    listed: tuple[int, ...] = {
        "broadband": _BROADBAND.get(country, ()),
        "mobile": _MOBILE.get(country, ()),
        "public_wifi": _WIFI.get(country, _WIFI_ANYWHERE),
        "hosting": _HOSTING,
        "vpn": _VPN,
        "relay": _RELAY,
        "satellite": _SATELLITE,
        "inflight": tuple(_INFLIGHT),
        "proxy": _PROXY,
    }[kind]
    most = {"broadband": 3, "mobile": 2}.get(kind, len(listed) + 2 if kind in _OWN else 0)
    own = _UNLISTED + 20 * list(countries()).index(country) + _OWN.get(kind, 0)
    unlisted = [own + number for number in range(max(most - len(listed), 0))]
    return tuple(Operator(asn, kind, f"{country} {kind} AS{asn}") for asn in (*listed, *unlisted))


def unlisted(kind: str, country: str) -> Operator:
    """Return a country's last operator of a kind, which no list knows."""
    found = operators(kind, country)[-1]
    assert found.asn >= _UNLISTED, found
    return found


def landing(operator: Operator) -> City:
    """Return where an in-flight operator's ground station is."""
    return city(_INFLIGHT[operator.asn])


class World:
    """All blocks that anybody was given, in the order they were asked for; asking again gives the same."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.blocks: dict[tuple[int, str, int, str], Block] = {}
        self._numbers = {4: count(), 6: count()}

    def block(self, operator: Operator, place: City, number: int, manner: str = "") -> Block:
        """Return an operator's block for a city. `manner`: "six" (IPv6), "gross" (databases put it elsewhere), or
        "proxied" (a flagged residential proxy)."""
        key = (operator.asn, place.name, number, manner)
        if key not in self.blocks:
            random = Random(f"{self.parameters.seed} block {key}")
            cidr = self._cidr(6 if manner == "six" else 4)
            owner, flags = _evidence(operator, place, manner, self.parameters, random)
            believed = _believed(owner, place, manner, self.parameters, random)
            self.blocks[key] = Block(cidr, owner, place, self._record(owner, believed, random), flags)
        return self.blocks[key]

    def write(self, folder: Path, built: int) -> Files:
        """Write the databases into `folder`; they date from `built`, s since 1970."""
        folder.mkdir(parents=True, exist_ok=True)
        files = Files(folder / "city.mmdb", folder / "asn.mmdb", folder / "anonymous.mmdb")
        blocks = self.blocks.values()
        write_city_db(files.city, {block.cidr: block.record for block in blocks}, built=built)
        systems = {block.cidr: (block.operator.asn, block.operator.name) for block in blocks}
        write_asn_db(files.asn, systems, built=built)
        flags = {block.cidr: {"is_anonymous": True, **block.flags} for block in blocks if block.flags}
        write_anonymous_db(files.anonymous, flags, built=built)
        return files

    def _cidr(self, version: int) -> str:
        number = next(self._numbers[version])
        if version == 6:
            return f"{_SIX + (number >> 16):x}:{number & 0xFFFF:x}::/32"
        return f"{_FOURS[number >> 16]}.{number >> 8 & 255}.{number & 255}.0/24"

    def _record(self, operator: Operator, believed: City, random: Random) -> Record:
        """Return what the City file says of a block: a place, blurred as databases blur it, or not even that."""
        wide = operator.kind == "mobile"
        dice = random.random()
        if dice < self.parameters.unlocated:
            return {"country": "ZZ"}  # stands for nowhere: not even the built-in table is asked for the country
        if dice < self.parameters.unlocated + self.parameters.country_only * (2 if wide else 1):
            return {"country": believed.country}
        latitude, longitude = moved(believed, self._error_km(operator, random), random)
        nearest = min(
            cities_of(believed.country), key=lambda one: apart_km(one.latitude, one.longitude, latitude, longitude)
        )
        found = {
            "latitude": round(latitude, 4),
            "longitude": round(longitude, 4),
            "country": believed.country,
            "city": nearest.name,
            "timezone": nearest.zone,
        }
        radius = random.choices(*_RADII["mobile" if wide else "fixed"])[0]
        return found if random.random() < self.parameters.radius_absent else {**found, "radius": radius}

    def _error_km(self, operator: Operator, random: Random) -> float:
        if operator.kind in ("hosting", "vpn", "proxy"):
            return min(random.lognormvariate(log(2.0), 1.0), 50.0)
        wide = operator.kind == "mobile"
        median = self.parameters.mobile_error_km if wide else self.parameters.fixed_error_km
        spread, most = _SPREAD["mobile" if wide else "fixed"]
        return min(median * exp(random.gauss(0.0, spread)), most)


def _believed(operator: Operator, place: City, manner: str, parameters: Parameters, random: Random) -> City:
    """Return the city that databases take a block to be in."""
    if manner == "gross":
        return elsewhere(random, place, 0.3)
    abroad = {"broadband": parameters.fixed_abroad, "mobile": parameters.mobile_abroad}.get(operator.kind, 0.0)
    if random.random() < abroad:
        return elsewhere(random, place, 1.0)
    if operator.kind == "satellite":  # the point of presence
        return elsewhere(random, place, 0.1)
    if operator.kind == "public_wifi" and operator.asn in _HEADQUARTERS and random.random() < 0.5:
        return city(_HEADQUARTERS[operator.asn])
    return place


def _evidence(
    operator: Operator, place: City, manner: str, parameters: Parameters, random: Random
) -> tuple[Operator, Mapping[str, bool]]:
    """Return who announces a block and what the Anonymous-IP file says of it."""
    if manner == "proxied":
        return operator, {"is_residential_proxy": True}
    if operator.kind == "hosting" and operator.asn >= _UNLISTED:
        return operator, {"is_hosting_provider": True}
    if operator.kind != "vpn":
        return operator, {}
    dice = random.random()
    if dice < parameters.vpn_unflagged:
        return unlisted("vpn", place.country), {}
    if dice < parameters.vpn_unflagged + parameters.vpn_as_hosting:
        return unlisted("vpn", place.country), {"is_hosting_provider": True}
    return operator, {"is_anonymous_vpn": True}
