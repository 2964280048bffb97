"""Who sends an Authorization header: asked of the store, and remembered for a moment."""

import hashlib
from collections.abc import Callable, Iterable

from riskengine.access.caller import LEVELS, Caller, Level, bearer
from riskengine.access.keys import DEFAULT_DAYS, check_key, holder, new_key
from riskengine.access.outside import Outside
from riskengine.access.purse import PREFIX, Purse
from riskengine.access.remembered import FRESH_MS, Remembered
from riskengine.access.tokens import Tokens
from riskengine.errors import AccessDenied
from riskengine.store.contract import AccessKeyRow, Store

# How long one is still honoured while the store cannot be asked, so that the fallback answer reaches its caller.
STALE_MS = 300_000
_TOKEN_AT = len("Bearer ")


class Access:
    """Creates, checks and revokes access keys, and checks tokens: those that `tokens` and `purse` issue, and those of
    the issuer `outside`.

    What shows less than `minimum` is refused. Every time is ms since 1970 and given by the caller. Thread-safe.
    """

    def __init__(
        self,
        store: Store,
        tokens: Tokens | None = None,
        minimum: Level = "key",
        purse: Purse | None = None,
        outside: Outside | None = None,
    ) -> None:
        self._store, self._tokens, self._minimum, self._purse = store, tokens, minimum, purse
        self.outside = outside
        self._remembered: Remembered[bytes, Caller] = Remembered()

    def create(
        self, name: str, scopes: Iterable[str], realm: str, now: int, days: int = DEFAULT_DAYS
    ) -> tuple[str, AccessKeyRow]:
        """Store a new key and return it with its row; the key itself is nowhere kept and cannot be shown again."""
        return new_key(self._store, name, scopes, realm, now, days)

    def recall(self, header: str | None, now: int, renew: Callable[[], object] | None = None) -> Caller | None:
        """Return the caller if this header was checked within the last 2 s, without asking the store.

        `renew` is called once when that was a second ago: time to ask again, while what is known still counts. Whether
        the request was sent with the caller's certificate is for whoever has the request to see.
        """
        return self._recall(header, now, FRESH_MS, renew)

    def recall_stale(self, header: str | None, now: int) -> Caller | None:
        """Return the caller if this header was checked within the last 5 min: for when the store does not answer.

        A one-time token is told by its client; whether it can be spent is another question.
        """
        return self._recall(header, now, STALE_MS)

    def authenticate(self, header: str | None, now: int, certificate: str | None = None) -> Caller:
        """Return who sends this Authorization header, asking the store; raise AccessDenied for any other.

        AccessDenied says the same whether a key is missing, malformed, unknown, expired or revoked. `certificate` is
        the thumbprint of the one that the request was sent with.
        """
        try:
            caller, expires_at = self._check(bearer(header), now, certificate)
            if LEVELS.index(caller.level) < LEVELS.index(self._minimum):
                raise AccessDenied(f"This server takes no less than {_WORDS[self._minimum]}.", error="invalid_token")
        except AccessDenied:
            self._remembered.forget(_cache_key(header or ""))
            raise
        if caller.ticket is None:
            self._remembered.keep(_cache_key(header or ""), caller, now, expires_at)
        return caller

    def is_signed(self, header: str, may_check: Callable[[], bool]) -> bool:
        """Return whether this header holds a token that was signed here, or by the outside issuer, as far as can be
        told without the store.

        An access token's signature costs as much as a decision, and is looked at where `may_check` says so.
        """
        token = bearer(header)
        if self._purse is not None and token.startswith(PREFIX):
            return self._purse.is_ours(token)
        if not token.startswith("ey"):
            return False
        if self.outside is not None and self.outside.names(token):
            return may_check() and self.outside.is_theirs(token)
        return self._tokens is not None and may_check() and self._tokens.is_ours(token)

    def holder(self, key_id: str, now: int) -> Caller:
        """Return whom a key belongs to, for who proved it before; AccessDenied once it expired or was revoked."""
        return holder(self._store, key_id, now)

    def following(self, caller: Caller, spent_at: int) -> str:
        """Return the one-time token that comes after the caller's, which was spent at `spent_at`."""
        assert self._purse is not None
        return self._purse.following(caller, spent_at)

    def all(self) -> list[AccessKeyRow]:
        """Return every key, oldest first, also those that are expired or revoked."""
        return self._store.access_keys()

    def revoke(self, key_id: str, now: int) -> bool:
        """End a key; False if there is none. Other processes notice within 2 s."""
        self._remembered.clear()
        return self._store.revoke_access_key(key_id, now)

    def _check(self, token: str, now: int, certificate: str | None) -> tuple[Caller, int]:
        if self._purse is not None and token.startswith(PREFIX):
            return self._purse.check(token, now, certificate), 0
        if token.startswith("ey"):  # as the JSON of a JWT's header begins
            if self.outside is not None and self.outside.names(token):
                return self.outside.check(token, now, certificate)
            if self._tokens is not None:
                return self._tokens.check(token, now, certificate)
        return check_key(self._store, token, now)

    def _recall(
        self, header: str | None, now: int, longest: int, renew: Callable[[], object] | None = None
    ) -> Caller | None:
        if header is None:
            return None
        if self._purse is not None and header[_TOKEN_AT:].startswith(PREFIX):
            return self._purse.recall(bearer(header), now, longest, renew)
        return self._remembered.recall(_cache_key(header), now, longest, renew)


_WORDS: dict[Level, str] = {
    "key": "an access key",
    "token": "an access token",
    "bound": "a token bound to a certificate",
    "one_time": "a one-time token",
}


def _cache_key(header: str) -> bytes:
    """Return a digest to remember a header by: the cache holds no key in clear."""
    return hashlib.sha256(header.encode()).digest()
