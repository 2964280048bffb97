"""What an analyst may ask for: each filter checked, and turned into what the store compares.

Names, addresses, devices and sessions are stored sealed; they are sought by their blind indexes. What those cannot tell
(a network between two lengths of the address index, the speed of a journey) is looked up in the opened event.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from riskengine import check
from riskengine.check import Check, Wrong, checked, one_of, parse_time, text
from riskengine.decision import DECISIONS, LEVELS
from riskengine.errors import Fault, InvalidInput
from riskengine.event import ACTIONS, OUTCOMES, STATES
from riskengine.network import KINDS
from riskengine.seal import IPV4_LENGTHS, IPV6_LENGTHS, Seal
from riskengine.store.search import Wanted

# Below the shortest token of the address index every event of the realm would be looked at.
_TOKENS = {4: IPV4_LENGTHS, 6: IPV6_LENGTHS}
WIDEST = {version: lengths[0] for version, lengths in _TOKENS.items()}
MOST_VALUES = 32
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
USER_REF = re.compile(r"[0-9a-f]{32}")
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Filters:
    """What was asked for, checked. `given` holds it by name, in canonical form: the same search is always the same.

    `wanted` is what the store compares, `network` and `min_speed_kmh` what only the opened event tells (None: nothing).
    """

    given: Mapping[str, Any]
    wanted: Wanted
    network: Network | None = None
    min_speed_kmh: float | None = None
    named: Mapping[str, str] = field(default_factory=dict)

    @property
    def sealed(self) -> bool:
        """Whether an event must be opened to know that it matches.

        A network that ends with a token needs no second look, but for one address in four billion.
        """
        return self.min_speed_kmh is not None or (
            self.network is not None and self.network.prefixlen not in _TOKENS[self.network.version]
        )

    def matches(self, event: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
        """Return whether an opened event is what was asked for, beyond what the store compared."""
        if self.network is not None and ip_address(event["ip"]) not in self.network:
            return False
        if self.min_speed_kmh is None:
            return True
        speed = (answer["travel"] or {}).get("min_speed_kmh")
        return speed is not None and speed >= self.min_speed_kmh


def _several(one: Check) -> Check:
    """Return a check for one value or a list of them."""
    listed = check.list_of(one, MOST_VALUES)

    def checked_values(value: Any) -> tuple[Any, ...]:
        found = listed(value) if isinstance(value, list) else (one(value),)
        if not found:
            raise Wrong("must name at least one")
        return tuple(sorted(set(found)))

    return checked_values


def _pattern(pattern: re.Pattern[str], detail: str) -> Check:
    def checked_text(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise Wrong(detail)
        return value

    return checked_text


def _country(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z]{2}", value):
        raise Wrong("must be two letters, as PT")
    return value.upper()


def _number(low: float, high: float) -> Check:
    """Return a check for a number, which in a URL is a text."""
    within = check.number(low, high)

    def checked_number(value: Any) -> float:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", value):
            value = float(value)
        return float(within(value))

    return checked_number


def _cidr(value: Any) -> str:
    """Return a network in its one spelling."""
    found = check.network(value)
    least = WIDEST[found.version]
    if found.prefixlen < least:
        raise Wrong(f"is too wide: an IPv{found.version} network must have a length of at least /{least}")
    return str(found)


_name = text(256)
FILTERS: dict[str, Check] = {
    "user_id": _name,
    "user_ref": _pattern(USER_REF, "must be a user_ref: 32 hexadecimal digits"),
    "login": _name,
    "ip": check.ip,
    "cidr": _cidr,
    "device_id": _name,
    "session_id": _name,
    "asn": _several(check.asn),
    "network": _several(one_of(*KINDS)),
    "country": _several(_country),
    "city": _several(_name),
    "decision": _several(one_of(*DECISIONS)),
    "level": _several(one_of(*LEVELS)),
    "outcome": _several(one_of(*OUTCOMES)),
    "action": _several(one_of(*ACTIONS)),
    "state": _several(one_of(*STATES)),
    "resource": _several(_name),
    "reason": _pattern(_CODE, "must be the code of a reason, as new_device"),
    "min_score": _number(0, 100),
    "max_score": _number(0, 100),
    "since": parse_time,
    "until": parse_time,
    "min_speed_kmh": _number(0, 1e9),
}
# Who is asked about: what a search for one of these reveals is worth a line in the audit trail.
PERSONAL = ("user_id", "user_ref", "login", "ip", "cidr", "device_id", "session_id")
SEVERAL = ("asn", "network", "country", "city", "decision", "level", "outcome", "action", "state", "resource")


def parse_filters(body: Mapping[str, Any], realm: str, seal: Seal) -> Filters:
    """Return the filters that a mapping of names to values states; InvalidInput names each that makes no sense."""
    given, faults = checked(body, FILTERS, ())
    faults += _contradictions(given)
    if faults:
        raise InvalidInput(faults)
    return Filters(
        given=given,
        wanted=_wanted(given, realm, seal),
        network=ip_network(given["cidr"]) if "cidr" in given else None,
        min_speed_kmh=given.get("min_speed_kmh"),
        named={name: str(given[name]) for name in PERSONAL if name in given},
    )


def _contradictions(given: Mapping[str, Any]) -> list[Fault]:
    faults = []
    if given.get("since", 0) >= given.get("until", 1 << 62):
        faults.append(Fault("/until", "must be later than since"))
    if given.get("min_score", 0) > given.get("max_score", 100):
        faults.append(Fault("/max_score", "must be no less than min_score"))
    faults += [
        Fault(f"/{second}", f"cannot be asked for together with {first}")
        for first, second in (("user_id", "user_ref"), ("ip", "cidr"))
        if first in given and second in given
    ]
    return faults


def _wanted(given: Mapping[str, Any], realm: str, seal: Seal) -> Wanted:
    among = {name: given[name] for name in SEVERAL if name in given}
    for name in ("login", "device", "session"):
        value = given.get(name if name == "login" else f"{name}_id")
        if value is not None:
            among[f"{name}_index"] = (seal.index(realm, name, value),)
    score = None
    if "min_score" in given or "max_score" in given:
        score = round(given.get("min_score", 0) * 10), round(given.get("max_score", 100) * 10)
    return Wanted(
        realm=realm,
        user=_user(given, realm, seal),
        address=_address(given, realm, seal),
        since=given.get("since"),
        until=given.get("until"),
        score=score,
        reason=given.get("reason"),
        among=among,
    )


def _user(given: Mapping[str, Any], realm: str, seal: Seal) -> bytes | None:
    if "user_ref" in given:
        return bytes.fromhex(given["user_ref"])
    return seal.index(realm, "user", given["user_id"]) if "user_id" in given else None


def _address(given: Mapping[str, Any], realm: str, seal: Seal) -> tuple[bytes, bytes] | None:
    if "ip" in given:
        token = seal.address_index(realm, given["ip"])
        return token, token
    return seal.address_range(realm, given["cidr"]) if "cidr" in given else None
