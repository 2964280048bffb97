"""Tokens of others, made by hand, so that they can be wrong in any way."""

import base64
import json
from typing import Any

from joserfc.jws import JWSRegistry


def jwks(*keys: Any, **more: Any) -> str:
    return json.dumps({"keys": [key.as_dict(private=False) | more for key in keys]})


def packed(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def signed(header: dict[str, Any], claims: dict[str, Any], key: Any, algorithm: str) -> str:
    """Return a JWT signed by an algorithm, whatever its header says."""
    said = f"{packed(json.dumps(header).encode())}.{packed(json.dumps(claims).encode())}"
    return f"{said}.{packed(JWSRegistry.algorithms[algorithm].sign(said.encode(), key))}"
