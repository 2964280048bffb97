"""Where a search goes on: a place among the events, sealed for one realm, one search and one order."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from riskengine.errors import Fault, InvalidInput, SealKeyError
from riskengine.seal import Seal, SealBroken

_FOREIGN = "is not a cursor of this search: begin again without it, or ask with the filters and the order it came from"


def sealed(place: tuple[int, ...], given: Mapping[str, Any], order: str, realm: str, seal: Seal) -> str:
    """Return a place as a text for URLs that tells nothing, and opens for the same realm, filters and order only."""
    data = seal.seal(msgspec.msgpack.encode(place), realm, "cursor", _bound(given, order))
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def opened(cursor: str, given: Mapping[str, Any], order: str, realm: str, seal: Seal) -> tuple[int, ...]:
    """Return the place that a cursor names; InvalidInput unless it is one of this search."""
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place: tuple[int, ...] = msgspec.msgpack.decode(
            seal.open(data, realm, "cursor", _bound(given, order)), type=tuple[int, ...]
        )
    except (ValueError, binascii.Error, SealBroken, SealKeyError) as error:
        raise InvalidInput([Fault("/after", _FOREIGN)]) from error
    return place


def _bound(given: Mapping[str, Any], order: str) -> bytes:
    """Return what stands for a search: the same for the same filters, however they were spelled."""
    named = msgspec.json.encode([order, sorted(given.items())])
    return hashlib.blake2b(named, digest_size=16).digest()
