"""What of a person a viewer sees until the click that is recorded."""

import ipaddress
from collections.abc import Mapping
from typing import Any

# What of an event is about a person, or says where one was exactly.
PERSONAL = ("user_id", "login", "ip", "user_agent", "device_id", "session_id", "network", "position", "context")


def masked(name: str | None) -> str:
    """Return a name by its first letter alone; its length is not told either.

    >>> masked("ana"), masked(None)
    ('a•••', '')
    """
    return f"{name[0]}•••" if name else ""


def masked_address(address: str) -> str:
    """Return an address without what tells its holder apart from thousands of others.

    >>> masked_address("198.51.100.10"), masked_address("2001:db8:1:2::5")
    ('198.51.•.•', '2001:db8:•')
    """
    found = ipaddress.ip_address(address)
    if found.version == 4:
        return ".".join([*str(found).split(".")[:2], "•", "•"])
    return ":".join([*(part.lstrip("0") or "0" for part in found.exploded.split(":")[:2]), "•"])


def masked_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event whose person cannot be told from it."""
    found = {name: value for name, value in event.items() if name not in PERSONAL}
    return found | {
        "user_id": masked(event["user_id"]),
        "login": masked(event.get("login")),
        "ip": masked_address(event["ip"]),
    }
