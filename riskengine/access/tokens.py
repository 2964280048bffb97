"""Access tokens: signed JWTs (RFC 9068) that live for minutes, bound to the caller's certificate where there is one."""

import json
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import extract_compact

from riskengine.access.caller import SCOPES, Caller, Level
from riskengine.access.clients import Clients
from riskengine.access.keyring import Keyring, SigningKey
from riskengine.errors import AccessDenied
from riskengine.store.contract import ClientRow

# Where tokens are given.
TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
ALGORITHM = "ES256"
TYPE = "at+jwt"
LIFE_SECONDS = 300
# What ours are several times shorter than; a longer one is not even read.
MOST_CHARACTERS = 4_096
Find = Callable[[Callable[[SigningKey], bool]], SigningKey | None]
# What reading a token that is not ours may end with.
_BROKEN = (JoseError, ValueError, KeyError, TypeError, RecursionError)
REFUSED = "The access token is not ours, expired, or not this caller's."


class Tokens:
    """Issues and checks access tokens in the name of `issuer`, which is also their audience."""

    def __init__(self, keyring: Keyring, clients: Clients, issuer: str) -> None:
        self._keyring, self._clients, self.issuer = keyring, clients, issuer

    def issue(self, client: ClientRow, scopes: list[str], certificate: str | None, now: int) -> str:
        """Return a new token; with a `certificate` (its thumbprint) only requests sent with that can use it."""
        signing, seconds = self._keyring.signing(now), now // 1000
        key = _opened(signing.secret)
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.issuer,
            "sub": client.id,
            "client_id": client.id,
            "iat": seconds,
            "exp": seconds + LIFE_SECONDS,
            "jti": secrets.token_hex(12),
            "scope": " ".join(scopes),
            "realm": client.realm,
        }
        if certificate is not None:
            claims["cnf"] = {"x5t#S256": certificate}
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.kid}
        return jwt.encode(header, claims, key, algorithms=[ALGORITHM])

    def check(self, token: str, now: int, certificate: str | None) -> tuple[Caller, int]:
        """Return whose token this is, and when it expires (ms); AccessDenied unless it is ours, valid and the caller's.

        The store is asked for the client: one that was revoked has no tokens any more.
        """
        claims = self._claims(token, now)
        bound = (claims.get("cnf") or {}).get("x5t#S256")
        client = self._clients.valid(claims["client_id"], now)
        stripped = bound is None and client is not None and client.certificate is not None
        if client is None or bound not in (None, certificate) or stripped or client.realm != claims["realm"]:
            raise AccessDenied(REFUSED, error="invalid_token")
        scopes = frozenset(claims["scope"].split()) & frozenset(client.scopes) & frozenset(SCOPES)
        level: Level = "token" if bound is None else "bound"
        return Caller(client.name, client.id, client.realm, scopes, level, bound), claims["exp"] * 1000

    def jwks(self, now: int) -> dict[str, Any]:
        """Return the public keys that tokens are checked with, as RFC 7517 has them."""
        self._keyring.signing(now)
        return {"keys": [json.loads(key.public) for key in self._keyring.all(now)]}

    def is_ours(self, token: str) -> bool:
        """Return whether we signed this token, expired or not, with a key known here; nobody is asked."""
        try:
            self._signed(token, self._keyring.here)
        except _BROKEN:
            return False
        return True

    def learn(self) -> None:
        """Get to know the keys that there are."""
        self._keyring.learn()

    def _claims(self, token: str, now: int) -> dict[str, Any]:
        try:
            claims = self._signed(token, lambda is_it: self._keyring.find(is_it, now))
            if not now < claims["exp"] * 1000:
                raise ValueError("expired")
        except _BROKEN as error:
            raise AccessDenied(REFUSED, error="invalid_token") from error
        return claims

    def _signed(self, token: str, find: Find) -> dict[str, Any]:
        """Return the claims of a token that we signed for ourselves; one of _BROKEN for any other."""
        if len(token) > MOST_CHARACTERS:
            raise ValueError("too long")
        header = extract_compact(token.encode("ascii")).headers()
        if set(header) != {"alg", "typ", "kid"} or header["alg"] != ALGORITHM or header["typ"] != TYPE:
            raise ValueError("header")
        # A `kid` is only ever compared with those of our own keys.
        signing = find(lambda key: _kid(key) == header["kid"])
        if signing is None:
            raise ValueError("key")
        claims = jwt.decode(token, _opened(signing.secret), algorithms=[ALGORITHM]).claims
        if claims["iss"] != self.issuer or claims["aud"] != self.issuer:
            raise ValueError("claims")
        return claims


def new_signing_key() -> tuple[bytes, str]:
    """Return a new key pair: the private key, and the public one as RFC 7517 has it, both as JSON."""
    key = ECKey.generate_key("P-256", {"alg": ALGORITHM, "use": "sig"})
    key.ensure_kid()
    return json.dumps(key.as_dict(private=True)).encode(), json.dumps(key.as_dict(private=False))


@lru_cache(8)
def _opened(secret: bytes) -> ECKey:
    return ECKey.import_key(json.loads(secret))


def _kid(key: SigningKey) -> str:
    return str(_opened(key.secret).kid)
