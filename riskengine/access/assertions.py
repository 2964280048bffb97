"""Client assertions (RFC 7523): a client proves who it is by a JWT that its own key signed, each good for one time."""

from functools import lru_cache
from typing import Any

from riskengine.access.clients import Clients
from riskengine.access.public_keys import one_or_more, prove, read, registered, seconds
from riskengine.access.tokens import TOKEN_PATH
from riskengine.errors import TokenRefused
from riskengine.store.contract import ClientRow

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MOST_CHARACTERS = 4_096
# How far ahead an assertion may end, and how far the clocks of client and server may lie apart.
MOST_SECONDS = 300
LEEWAY_SECONDS = 10
# No assertion counts for longer than this after it was first taken.
WINDOW_MS = (MOST_SECONDS + 2 * LEEWAY_SECONDS) * 1000
_TYPES = ("", "jwt", "client-authentication+jwt")
# One text for every reason, so that a refusal says nothing about which clients exist.
REFUSED = "The client is unknown, expired or revoked, or did not prove who it is."


class Assertions:
    """Tells which client an assertion proves that is made out to `issuer` or its token endpoint.

    Every time is ms since 1970. Thread-safe.
    """

    def __init__(self, clients: Clients, issuer: str) -> None:
        self._clients = clients
        self._audiences = frozenset((issuer, issuer + TOKEN_PATH))

    def client(self, assertion: str, named: str | None, now: int) -> ClientRow:
        """Return the client that an assertion proves, and take it no second time; TokenRefused for any other.

        `named` is the client that the request names beside it, which must be the same.
        """
        try:
            row, jti = self._proved(assertion, named, now)
        except ValueError as error:
            raise TokenRefused("invalid_client", REFUSED) from error
        if not self._clients.take_once(row, jti, WINDOW_MS, now):
            raise TokenRefused("invalid_client", REFUSED, (row.realm, row.name, "an assertion used before"))
        return row

    def _proved(self, assertion: str, named: str | None, now: int) -> tuple[ClientRow, str]:
        token = read(assertion, MOST_CHARACTERS)
        claims = token.claims
        subject, issuer, jti = (claims.get(name) for name in ("sub", "iss", "jti"))
        if not isinstance(subject, str) or issuer != subject or named not in (None, subject):
            raise ValueError("not of one client")
        row = self._clients.valid(subject, now)
        if row is None or row.jwks is None:
            raise ValueError("no such client")
        prove(token, _keys(row.jwks), _TYPES)
        # One that is made out to others as well could be used here by these.
        audience = one_or_more(claims.get("aud"))
        if not audience or not self._audiences.issuperset(audience):
            raise ValueError("made out to somebody else")
        _check_times(claims, now / 1000)
        if not isinstance(jti, str) or not 1 <= len(jti) <= 256:
            raise ValueError("without an id")
        return row, jti


def _check_times(claims: Any, now: float) -> None:
    end, begin, made = (seconds(claims, name) for name in ("exp", "nbf", "iat"))
    if end is None or not now < end + LEEWAY_SECONDS or end > now + MOST_SECONDS + LEEWAY_SECONDS:
        raise ValueError("ended, without an end, or with one too far ahead")
    if any(at is not None and at > now + LEEWAY_SECONDS for at in (begin, made)):
        raise ValueError("of the future")


_keys = lru_cache(256)(registered)
