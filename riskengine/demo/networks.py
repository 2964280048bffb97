"""Real networks, a /24 each, in cities where the city databases have put them for years: what a demo logs in from.

They are ordinary networks of the operators named, and what the demo lets happen there is made up.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from ipaddress import IPv4Network

from riskengine.settings import package_files

# By city and use: office, home, mobile, hotel, vpn, server, guessing, tor, thief.
Networks = Mapping[tuple[str, str], Sequence[IPv4Network]]
HOSTS = 250  # addresses of a network that people are given


@cache
def networks() -> Networks:
    """Return data/demo-networks.csv."""
    found: dict[tuple[str, str], list[IPv4Network]] = defaultdict(list)
    with (package_files("data") / "demo-networks.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found[row["city"], row["use"]].append(IPv4Network(row["network"]))
    return found


def address(network: IPv4Network, host: int) -> str:
    """Return one of a network's addresses.

    >>> address(IPv4Network("192.0.2.0/24"), 0), address(IPv4Network("192.0.2.0/24"), 251)
    ('192.0.2.2', '192.0.2.3')
    """
    return str(network[2 + host % HOSTS])
