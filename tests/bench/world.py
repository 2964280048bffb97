"""The internet of the benchmark: networks of operators in real cities and their suburbs, as MaxMind-format files.

Its addresses are public ones that one owner holds and nobody here uses; nothing is ever sent to them.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from tests.fixtures_geo import Record, write_asn_db, write_city_db
from tests.quality.cities import City, cities, moved
from tests.quality.world import operators

NETWORKS = 8192
_FOUR, _SIX = 11, 0x2D00  # the first byte of IPv4 networks, the first two of IPv6 ones
_SUBURBS = 4  # a city's places, 350 in all
_HOSTS = 250


@dataclass(frozen=True)
class Files:
    """The two files, as RISKENGINE_GEOIP_CITY and _ASN want them."""

    city: Path
    asn: Path


def write(folder: Path) -> Files:
    """Write the files of all networks into `folder`; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    files = Files(folder / "city.mmdb", folder / "asn.mmdb")
    if not files.asn.exists():
        write_city_db(files.city, {_cidr(number): _record(number) for number in range(NETWORKS)})
        write_asn_db(files.asn, {_cidr(number): _operator(number) for number in range(NETWORKS)})
    return files


def address(network: int, host: int) -> str:
    """Return an address of a network; hosts beyond those that it has come round again."""
    if _is_six(network):
        return f"{_SIX:x}:{network:x}:{host & 0xFFFF:x}::1"
    return f"{_FOUR}.{network >> 8}.{network & 255}.{2 + host % _HOSTS}"


def _is_six(network: int) -> bool:
    return network % 5 == 4


def _cidr(network: int) -> str:
    return f"{_SIX:x}:{network:x}::/32" if _is_six(network) else f"{_FOUR}.{network >> 8}.{network & 255}.0/24"


@cache
def _places() -> tuple[tuple[City, int, float, float], ...]:
    random = Random(1)
    found = []
    for city in cities():
        for suburb in range(_SUBURBS):
            found.append((city, suburb, *moved(city, 12.0 * suburb, random)))
    return tuple(found)


def _record(network: int) -> Record:
    city, suburb, latitude, longitude = _places()[network % len(_places())]
    return {
        "latitude": round(latitude, 4), "longitude": round(longitude, 4), "radius": (5, 10, 20, 50)[network % 4],
        "country": city.country, "city": f"{city.name} {suburb}" if suburb else city.name, "timezone": city.zone,
    }  # fmt: skip


def _operator(network: int) -> tuple[int, str]:
    serving = operators("broadband", _places()[network % len(_places())][0].country)
    found = serving[network // len(_places()) % len(serving)]
    return found.asn, found.name
