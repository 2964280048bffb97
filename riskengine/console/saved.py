"""A search as a part of an address: sealed, so that the address tells nobody whom it asks for, and stored nowhere.

It opens in the same realm, for every server that has the sealing key, until that key is gone.
"""

import base64
import binascii
from collections.abc import Mapping

import msgspec

from riskengine.errors import NotFound, SealKeyError
from riskengine.seal import Seal, SealBroken

MOST_BYTES = 4096


def saved(search: Mapping[str, str], realm: str, seal: Seal) -> str:
    """Return what stands for a search (field to text) in an address."""
    sealed = seal.seal(msgspec.json.encode(search), realm, "search", b"")
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def recalled(token: str, realm: str, seal: Seal) -> dict[str, str]:
    """Return the search that stands in an address; NotFound unless it was made by `saved` in this realm."""
    try:
        data = base64.b64decode(token[:MOST_BYTES] + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(seal.open(data, realm, "search", b""), type=dict[str, str])
    except (ValueError, binascii.Error, SealBroken, SealKeyError) as error:
        raise NotFound("there is no such search") from error
