"""Clients: who may ask for tokens, registered with what proves them: a secret, a public key or a certificate."""

import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import replace

from riskengine.access.caller import DAY_MS, checked, digest
from riskengine.access.keys import NO_DIGEST
from riskengine.access.public_keys import registered, written
from riskengine.errors import Fault, InvalidInput, NotFound
from riskengine.store.contract import ClientRow, Store

DEFAULT_DAYS = 365
# How long the secret before still works after a rotation, so that every copy of it can be replaced.
OVERLAP_MS = 3_600_000
_ID = re.compile(r"rc_[0-9a-f]{16}")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


class Clients:
    """Registers clients and finds them again. Every time is ms since 1970 and given by the caller."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(
        self,
        name: str,
        scopes: Iterable[str],
        realm: str,
        now: int,
        days: int = DEFAULT_DAYS,
        *,
        one_time: bool = False,
        certificate: str | None = None,
        jwks: str | None = None,
    ) -> tuple[ClientRow, str | None]:
        """Register a client and return it with its secret, which is nowhere kept; None where a key (`jwks`) proves it.

        A client with a `certificate` (a thumbprint) has to show it beside the secret, or may show it alone. `jwks` is a
        document of public keys (RFC 7517).
        """
        wanted = checked(name, scopes, realm, days)
        if certificate is not None and not _THUMBPRINT.fullmatch(certificate):
            raise InvalidInput([Fault("/certificate", "must be the SHA-256 of a certificate as base64url")])
        secret = None if jwks is not None else secrets.token_urlsafe(32)
        row = ClientRow(
            f"rc_{secrets.token_hex(8)}",
            name,
            realm,
            wanted,
            digest(secret) if secret else None,
            jwks=None if jwks is None else _public(jwks),
            certificate=certificate,
            one_time=one_time,
            created_at=now,
            expires_at=now + days * DAY_MS,
        )
        self._store.put_client(row)
        return row, secret

    def all(self) -> list[ClientRow]:
        """Return every client, oldest first, also those that are expired or revoked."""
        return self._store.clients()

    def valid(self, client_id: str, now: int) -> ClientRow | None:
        """Return a client that may be dealt with at `now`, else None."""
        row = self._store.client(client_id) if _ID.fullmatch(client_id) else None
        return None if row is None or row.revoked_at is not None or now >= row.expires_at else row

    def take_once(self, row: ClientRow, name: str, longest: int, now: int) -> bool:
        """Return whether a client uses this name for the first time within `longest` ms, on whatever server.

        It is noted under this stretch of time and the next, each as long as `longest`: a repeat falls into one of them,
        and what is noted goes with its stretch, as the ids of one-time tokens go with their end.
        """
        stretch = now // longest
        noted = digest(f"{row.id} {name}")[:16]
        claims = [(((at + 1) * longest).to_bytes(6) + noted, b"", now) for at in (stretch, stretch + 1)]
        with self._store.transaction() as tx:
            return not tx.spend(claims)

    def revoke(self, client_id: str, now: int) -> ClientRow:
        """End a client and all its tokens; servers notice within 2 s. NotFound if there is none."""
        row = self._known(client_id)
        if row.revoked_at is None:
            row = replace(row, revoked_at=now)
            self._store.put_client(row)
        return row

    def replace_keys(self, client_id: str, jwks: str, now: int, days: int = DEFAULT_DAYS) -> ClientRow:
        """Give a client other public keys and a new end; those it had count no more, unless they are among these."""
        row = self._known(client_id)
        if row.jwks is None or row.revoked_at is not None:
            raise InvalidInput([Fault("/client_id", "names a client without public keys, or one that is revoked")])
        row = replace(row, jwks=_public(jwks), expires_at=now + days * DAY_MS)
        self._store.put_client(row)
        return row

    def rotate(self, client_id: str, now: int, days: int = DEFAULT_DAYS) -> tuple[ClientRow, str]:
        """Give a client a new secret and a new end; the old secret works for an hour yet."""
        row = self._known(client_id)
        if row.digest is None or row.revoked_at is not None:
            raise InvalidInput([Fault("/client_id", "names a client without a secret, or one that is revoked")])
        secret = secrets.token_urlsafe(32)
        row = replace(
            row,
            digest=digest(secret),
            old_digest=row.digest,
            old_until=min(now + OVERLAP_MS, row.expires_at),
            expires_at=now + days * DAY_MS,
        )
        self._store.put_client(row)
        return row, secret

    def _known(self, client_id: str) -> ClientRow:
        row = self._store.client(client_id)
        if row is None:
            raise NotFound("there is no client with this id; `riskengine clients list` shows them")
        return row


def _public(jwks: str) -> str:
    """Return a document of public keys as it is stored; InvalidInput where a client cannot be known by it."""
    try:
        return written(registered(jwks))
    except ValueError as error:
        raise InvalidInput([Fault("/jwks", str(error))]) from error


def has_secret(row: ClientRow | None, secret: str, now: int) -> bool:
    """Return whether this is the client's secret; it takes as long whether there is such a client or not."""
    given = digest(secret)
    current = hmac.compare_digest(given, (row.digest if row else None) or NO_DIGEST)
    before = hmac.compare_digest(given, (row.old_digest if row else None) or NO_DIGEST)
    return row is not None and (current or (before and now < (row.old_until or 0)))
