"""Access tokens of an outside issuer (RFC 9068, or nearly): believed by its published keys, for our audience."""

from dataclasses import dataclass
from typing import Any

from riskengine.access.caller import DEFAULT_REALM, SCOPES, Caller, Level, is_realm
from riskengine.access.public_keys import Read, UnknownKey, one_or_more, prove, read, seconds
from riskengine.access.published import Published
from riskengine.errors import AccessDenied

# Other issuers put groups and roles into their tokens.
MOST_CHARACTERS = 8_192
LEEWAY_SECONDS = 10
# Few issuers give their tokens the type of RFC 9068; what is no access token of ours names another audience.
_TYPES = ("", "jwt", "at+jwt")
REFUSED = "The access token is not of an issuer that is believed here, expired, or not this caller's."


@dataclass(frozen=True, slots=True)
class Terms:
    """What an outside issuer's tokens must say, and how they say what their holder may do.

    `scope_claim` names the claim with scopes; those that begin with `scope_prefix` are ours, without it.
    `realm_claim` names the one with the realm; where it is "", all tokens belong to the default realm.
    """

    issuer: str
    audience: str
    scope_claim: str = "scope"
    scope_prefix: str = ""
    realm_claim: str = ""


class Outside:
    """Checks tokens of one outside issuer. Every time is ms since 1970 and given by the caller. Thread-safe."""

    def __init__(self, terms: Terms, keys: Published) -> None:
        self._terms, self.keys = terms, keys

    def names(self, token: str) -> bool:
        """Return whether a token says that it is of this issuer, which proves nothing yet."""
        try:
            return read(token, MOST_CHARACTERS).claims.get("iss") == self._terms.issuer
        except ValueError:
            return False

    def is_theirs(self, token: str) -> bool:
        """Return whether the issuer signed this, whatever it says: by the keys last seen, looking for no others."""
        try:
            prove(read(token, MOST_CHARACTERS), self.keys.last, _TYPES)
        except ValueError:
            return False
        return True

    def check(self, token: str, now: int, certificate: str | None) -> tuple[Caller, int]:
        """Return whose token this is, and when it expires (ms); AccessDenied unless it is valid and the caller's.

        `certificate` is the thumbprint of the one that the request was sent with.
        """
        try:
            said = read(token, MOST_CHARACTERS)
            caller, end = self._caller(said.claims, now / 1000, certificate)
            self._prove(said, now)
        except ValueError as error:
            raise AccessDenied(REFUSED, error="invalid_token") from error
        return caller, int(end * 1000)

    def _prove(self, said: Read, now: int) -> None:
        """Raise ValueError unless the issuer signed this; a key that is not known may be new."""
        try:
            prove(said, self.keys.keys(now), _TYPES)
        except UnknownKey:
            if not self.keys.look_again(now):
                raise
            prove(said, self.keys.keys(now), _TYPES)

    def _caller(self, claims: Any, now: float, certificate: str | None) -> tuple[Caller, float]:
        """Return whom the claims name, and when they end; ValueError where they are not for us, now and this caller."""
        terms = self._terms
        if claims.get("iss") != terms.issuer or terms.audience not in one_or_more(claims.get("aud")):
            raise ValueError("of another issuer, or for another audience")
        end, begin = seconds(claims, "exp"), seconds(claims, "nbf")
        if end is None or not now < end or (begin is not None and begin > now + LEEWAY_SECONDS):
            raise ValueError("expired, without an end, or not valid yet")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 1 <= len(subject) <= 256 or not subject.isprintable():
            raise ValueError("of nobody")
        bound = _bound(claims.get("cnf"))
        if bound not in (None, certificate):
            raise ValueError("bound to another certificate")
        level: Level = "token" if bound is None else "bound"
        return Caller(subject, f"outside {subject}", self._realm(claims), self._scopes(claims), level, bound), end

    def _scopes(self, claims: Any) -> frozenset[str]:
        given, prefix = claims.get(self._terms.scope_claim, []), self._terms.scope_prefix
        named = given.split() if isinstance(given, str) else one_or_more(given)
        return frozenset(one.removeprefix(prefix) for one in named if one.startswith(prefix)) & frozenset(SCOPES)

    def _realm(self, claims: Any) -> str:
        if not self._terms.realm_claim:
            return DEFAULT_REALM
        realm = claims.get(self._terms.realm_claim)
        if not isinstance(realm, str) or not is_realm(realm):
            raise ValueError("of no realm")
        return realm


def _bound(proof: object) -> str | None:
    """Return the thumbprint of the certificate that a token is bound to, None for one that is not bound.

    ValueError for a token bound to something else: we could not see whether its holder has that.
    """
    if proof is None:
        return None
    if not isinstance(proof, dict) or proof.keys() != {"x5t#S256"} or not isinstance(proof["x5t#S256"], str):
        raise ValueError("bound to what we cannot check")
    thumbprint: str = proof["x5t#S256"]
    return thumbprint
