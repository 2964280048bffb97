"""What `POST /oauth/token` does: see who a client is, and give it tokens (OAuth 2.0 client credentials)."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from riskengine.access.assertions import REFUSED as UNKNOWN
from riskengine.access.assertions import TYPE, Assertions
from riskengine.access.clients import Clients, has_secret
from riskengine.access.limits import Limits
from riskengine.access.purse import LIFE_MS, Purse
from riskengine.access.tokens import LIFE_SECONDS, Tokens
from riskengine.errors import TokenRefused
from riskengine.store.contract import ClientRow

GRANT = "client_credentials"
FIELDS = (
    *("grant_type", "scope", "client_id", "client_secret", "count"),
    *("client_assertion_type", "client_assertion"),
)
ONE_WAY = "The client must prove itself in one way only."
# How many one-time tokens are given at once: as many as a large caller has logins under way.
MOST_AT_ONCE = 1_000


class Mint:
    """Gives tokens to clients that prove who they are, as often as `limits` let them. Every time is ms since 1970.

    Thread-safe.
    """

    def __init__(self, clients: Clients, tokens: Tokens, purse: Purse, limits: Limits) -> None:
        self._clients, self._tokens, self._purse, self._limits = clients, tokens, purse, limits
        self._assertions = Assertions(clients, tokens.issuer)

    @property
    def issuer(self) -> str:
        """In whose name tokens are given."""
        return self._tokens.issuer

    def jwks(self, now: int) -> dict[str, Any]:
        """Return the public keys that access tokens are checked with."""
        return self._tokens.jwks(now)

    def tend(self, now: int) -> None:
        """Forget which one-time tokens were used, of those that have expired, and get to know the keys that other
        processes sign with, before such a token comes."""
        self._purse.forget(now)
        self._tokens.learn()
        self._purse.learn()

    def grant(
        self, form: Mapping[str, str], authorization: str | None, certificate: str | None, now: int
    ) -> dict[str, Any]:
        """Return what RFC 6749, 5.1 says of a new token; TokenRefused with an error of 5.2 where none is given,
        LimitReached to a client that asks too often.

        `certificate` is the thumbprint of the one that the request was sent with.
        """
        for name in form:
            if name not in FIELDS:
                raise TokenRefused("invalid_request", f"{_shown(name)} is not a parameter of this path.")
        if form.get("grant_type") != GRANT:
            error = "unsupported_grant_type" if form.get("grant_type") else "invalid_request"
            raise TokenRefused(error, f"grant_type must be {GRANT}.")
        client = self._client(form, authorization, certificate, now)
        # Not before it is proved: nobody else can use up what it may. And apart from its queries: logins wait for it.
        self._limits.count(f"{client.id} tokens")
        scopes = _scopes(form.get("scope"), client)
        bound, told = certificate or client.certificate, {"token_type": "Bearer", "scope": " ".join(scopes)}
        if not client.one_time:
            if "count" in form:
                raise TokenRefused("invalid_request", "count is for clients of one-time tokens.")
            token = self._tokens.issue(client, scopes, bound, now)
            return {"access_token": token, **told, "expires_in": LIFE_SECONDS}
        tokens = self._purse.issue(client, scopes, bound, _count(form), now)
        more = {"access_tokens": tokens} if "count" in form else {}
        return {"access_token": tokens[0], **more, **told, "expires_in": LIFE_MS // 1000}

    def _client(
        self, form: Mapping[str, str], authorization: str | None, certificate: str | None, now: int
    ) -> ClientRow:
        """Return the client that proves itself in one way: by a JWT of its own key, by secret, or by certificate.

        The certificate that it is registered with it must show whatever else it has.
        """
        asserted = not _ASSERTED.isdisjoint(form)
        if asserted:
            row, secret = self._by_key(form, authorization, now), None
        else:
            named, secret = _named(form, authorization)
            row = self._clients.valid(named, now)
        by_certificate = row is not None and row.certificate is not None and row.certificate == certificate
        proved = asserted or (by_certificate if secret is None else has_secret(row, secret, now))
        if row is None or not proved or (row.certificate is not None and not by_certificate):
            raise TokenRefused("invalid_client", UNKNOWN)
        return row

    def _by_key(self, form: Mapping[str, str], authorization: str | None, now: int) -> ClientRow | None:
        if authorization is not None or "client_secret" in form:
            raise TokenRefused("invalid_request", ONE_WAY)
        if not form.keys() >= _ASSERTED:
            raise TokenRefused("invalid_request", "client_assertion and client_assertion_type belong together.")
        if form["client_assertion_type"] != TYPE:
            raise TokenRefused("invalid_client", f"client_assertion_type must be {TYPE}.")
        return self._assertions.client(form["client_assertion"], form.get("client_id"), now)


def _named(form: Mapping[str, str], authorization: str | None) -> tuple[str, str | None]:
    """Return the client that a request names, and the secret that it shows, if any."""
    if authorization is None:
        if "client_id" not in form:
            raise TokenRefused("invalid_client", UNKNOWN)
        return form["client_id"], form.get("client_secret")
    named, secret = _basic(authorization)
    if "client_secret" in form:
        raise TokenRefused("invalid_request", ONE_WAY)
    if form.get("client_id", named) != named:
        raise TokenRefused("invalid_request", "client_id is not the client of the Authorization header.")
    return named, secret


def _basic(header: str) -> tuple[str, str]:
    """Return client id and secret of a Basic header, each form-encoded within it (RFC 6749, 2.3.1)."""
    kind, _, given = header.partition(" ")
    try:
        if kind.lower() != "basic":
            raise ValueError("kind")
        named, colon, secret = base64.b64decode(given.strip(), validate=True).decode().partition(":")
        if not colon:
            raise ValueError("colon")
    except (ValueError, binascii.Error) as error:
        raise TokenRefused("invalid_client", UNKNOWN) from error
    return unquote_plus(named), unquote_plus(secret)


def _count(form: Mapping[str, str]) -> int:
    given = form.get("count", "1")
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:8]) <= MOST_AT_ONCE):
        raise TokenRefused("invalid_request", f"count must be a number from 1 to {MOST_AT_ONCE}.")
    return int(given)


def _scopes(asked: str | None, client: ClientRow) -> list[str]:
    """Return the scopes asked for, all of the client's if it asks for none; TokenRefused for one it does not have."""
    wanted = sorted(set((asked or "").split())) or list(client.scopes)
    missing = [scope for scope in wanted if scope not in client.scopes]
    if missing:
        raise TokenRefused("invalid_scope", f"The client may ask for {' '.join(client.scopes)}.")
    return wanted


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:64])


_ASSERTED = {"client_assertion", "client_assertion_type"}
