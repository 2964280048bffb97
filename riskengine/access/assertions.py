"""Client assertions (RFC 7523): a client proves who it is by a JWT that its own key signed, each good for one time."""

import hashlib
from functools import lru_cache
from typing import Any

from riskengine.access.clients import Clients
from riskengine.access.public_keys import one_or_more, prove, read, registered, seconds
from riskengine.access.tokens import TOKEN_PATH
from riskengine.errors import TokenRefused
from riskengine.store.contract import ClientRow, Store

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

    def __init__(self, clients: Clients, store: Store, issuer: str) -> None:
        self._clients, self._store = clients, store
        self._audiences = frozenset((issuer, issuer + TOKEN_PATH))

    def client(self, assertion: str, named: str | None, now: int) -> ClientRow:
        """Return the client that an assertion proves, and take it no second time; TokenRefused for any other.

        `named` is the client that the request names beside it, which must be the same.
        """
        try:
            row, jti = self._proved(assertion, named, now)
        except ValueError as error:
            raise TokenRefused("invalid_client", REFUSED) from error
        self._use(row, jti, now)
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

    def _use(self, row: ClientRow, jti: str, now: int) -> None:
        """Note that an assertion was used; TokenRefused if it was before, on whatever server.

        It is noted under this stretch of time and the next, each as long as any assertion can count: a repeat falls
        into one of them, and what is noted goes with its stretch, as the ids of one-time tokens go with their end.
        """
        stretch = now // WINDOW_MS
        used = hashlib.sha256(f"{row.id} {jti}".encode()).digest()[:16]
        claims = [(((at + 1) * WINDOW_MS).to_bytes(6) + used, b"", now) for at in (stretch, stretch + 1)]
        with self._store.transaction() as tx:
            if tx.spend(claims):
                blame = (row.realm, row.name, "an assertion used before")
                raise TokenRefused("invalid_client", REFUSED, blame)


def _check_times(claims: Any, now: float) -> None:
    end, begin, made = (seconds(claims, name) for name in ("exp", "nbf", "iat"))
    if end is None or not now < end + LEEWAY_SECONDS or end > now + MOST_SECONDS + LEEWAY_SECONDS:
        raise ValueError("ended, without an end, or with one too far ahead")
    if any(at is not None and at > now + LEEWAY_SECONDS for at in (begin, made)):
        raise ValueError("of the future")


_keys = lru_cache(256)(registered)
