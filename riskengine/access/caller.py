"""Who a request comes from, what it may do there, and what any credential must be."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from riskengine.errors import AccessDenied, Fault, InvalidInput

SCOPES = ("score", "report", "verdict", "events:read", "events:export", "admin")
DEFAULT_REALM = "default"
DAY_MS = 86_400_000
# One text for every reason, so that a refusal says nothing about which keys exist.
DENIED = "The access key is missing, unknown, expired or revoked."
Level = Literal["key", "token", "bound", "one_time"]
# What a caller can show, the weakest first.
LEVELS: tuple[Level, ...] = ("key", "token", "bound", "one_time")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from, as its credential says. The realm separates one caller's data from another's.

    `key_id` names the access key or client. A credential with a `certificate` (its thumbprint) counts only for a
    request that was sent with that one. `ticket` is the id of a one-time token: it has yet to be spent.
    """

    name: str
    key_id: str
    realm: str
    scopes: frozenset[str]
    level: Level = "key"
    certificate: str | None = None
    ticket: bytes | None = None


def require(caller: Caller, *scopes: str) -> None:
    """Raise AccessDenied naming the first of `scopes` unless the caller has one of them.

    A one-time token that lacks it is refused as a whole: it was given out for something else.
    """
    if caller.scopes.isdisjoint(scopes):
        message = f"This needs the scope {' or '.join(scopes)}."
        if caller.ticket is not None:
            blame = (caller.realm, caller.name, f"used without the scope {scopes[0]}")
            raise AccessDenied(message, error="insufficient_scope", blame=blame)
        raise AccessDenied(message, scope=scopes[0])


def is_realm(name: str) -> bool:
    """Return whether a realm may have this name.

    >>> is_realm("acme"), is_realm("../acme")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


def bearer(header: str | None) -> str:
    """Return the token of a Bearer header, "" if it is not one; the word is not case-sensitive (RFC 9110)."""
    kind, _, token = (header or "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def digest(secret: str) -> bytes:
    """Return what is kept of a secret. It is 256 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode()).digest()


def checked(name: str, scopes: Iterable[str], realm: str, days: int) -> tuple[str, ...]:
    """Return the scopes sorted; raise InvalidInput naming all that no credential can be made of."""
    wanted = tuple(sorted(set(scopes)))
    faults = [Fault("/scopes", f"must be of {', '.join(SCOPES)}") for scope in wanted if scope not in SCOPES]
    if not wanted:
        faults.append(Fault("/scopes", "must name at least one"))
    faults += [
        Fault(f"/{field}", "must be 1 to 64 of the characters A-Z a-z 0-9 . _ - and begin with none of . _ -")
        for field, value in (("name", name), ("realm", realm))
        if not _NAME.fullmatch(value)
    ]
    if not 1 <= days <= 3650:
        faults.append(Fault("/days", "must lie between 1 and 3650"))
    if faults:
        raise InvalidInput(faults)
    return wanted
