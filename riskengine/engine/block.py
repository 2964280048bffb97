"""A block: what somebody shuts out in an incident, until when and why; and how it is written."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, NamedTuple

from riskengine import check
from riskengine.check import Wrong, format_time, parse_time

KINDS = ("address", "asn", "user", "device")
BLOCKED = "blocked"  # the code of its reason, which is that of the policy's own block list
_NAME = check.text(256)  # as an event's user_id and device_id


class Target(NamedTuple):
    """What a block shuts out: `value` is a network as CIDR, AS64500, a user id or a device id."""

    kind: str
    value: str

    def __str__(self) -> str:
        """Return it as it is written: the kind is told where the value does not show it.

        >>> str(Target("address", "198.51.100.0/24")), str(Target("user", "ana"))
        ('198.51.100.0/24', 'user:ana')
        """
        return f"{self.kind}:{self.value}" if self.kind in ("user", "device") else self.value

    @property
    def network(self) -> IPv4Network | IPv6Network:
        """The network that an address block shuts out."""
        return ip_network(self.value)

    @property
    def asn(self) -> int | None:
        """The number of an autonomous system, None of anything else."""
        return int(self.value[2:]) if self.kind == "asn" else None


def parse_target(value: Any) -> Target:
    """Return what a text names: an address or CIDR, AS64500, user:ID or device:ID; Wrong if it is none of these.

    >>> parse_target("198.51.100.7"), parse_target("as64500")
    (Target(kind='address', value='198.51.100.7/32'), Target(kind='asn', value='AS64500'))
    """
    if not isinstance(value, str):
        raise Wrong("must be a string")
    kind, separator, name = value.partition(":")
    if separator and kind in ("user", "device"):
        return Target(kind, _NAME(name))
    if value[:2].upper() == "AS":
        return Target("asn", f"AS{check.asn(value)}")
    try:
        return Target("address", str(check.network(value)))
    except Wrong as error:
        raise Wrong("must be an address, a CIDR, an AS number as AS64500, user:ID or device:ID") from error


class Block(NamedTuple):
    """A block in force until `expires_at` (ms since 1970). `token` is the blind index of a user or device."""

    id: str
    realm: str
    target: Target
    token: bytes | None
    why: str
    expires_at: int

    def told(self) -> dict[str, Any]:
        """Return sentence and evidence of the reason that an event gets which it holds."""
        until = format_time(self.expires_at)
        facts = {"block": self.id, "by": self.target.kind, "until": until, "why": self.why}
        return {"message": f"Blocked until {until[:16].replace('T', ' ')} UTC: {self.why}", "evidence": facts}


def block_in(answer: Mapping[str, Any], realm: str) -> Block | None:
    """Return the block that held an event, as far as its stored answer tells; None where none did."""
    for reason in answer["reasons"]:
        facts = reason["evidence"]
        if reason["code"] == BLOCKED and "block" in facts:
            return Block(facts["block"], realm, Target(facts["by"], ""), None, facts["why"], parse_time(facts["until"]))
    return None
