"""Who calls: access keys with a name, a realm, scopes and an end; only a digest of the secret is kept."""

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

from riskengine.errors import AccessDenied, Fault, InvalidInput
from riskengine.store.contract import AccessKeyRow, Store

SCOPES = ("score", "report", "verdict", "events:read", "events:export", "admin")
DEFAULT_REALM = "default"
DEFAULT_DAYS = 90
DAY_MS = 86_400_000
# How long a key is trusted without asking the store: the longest a revocation takes to work.
FRESH_MS = 2_000
# How long a key is still honoured while the store cannot be asked, so that the fallback answer reaches its caller.
STALE_MS = 300_000
MOST_REMEMBERED = 4_096
# One text for every reason, so that a refusal says nothing about which keys exist.
DENIED = "The access key is missing, unknown, expired or revoked."
_TOKEN = re.compile(r"rk_([0-9a-f]{16})_([0-9a-f]{64})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Compared when there is no such key, so that an unknown id takes as long as a wrong secret.
_NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from, as its access key says. The realm separates one caller's data from another's."""

    name: str
    key_id: str
    realm: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Remembered:
    caller: Caller
    checked_at: int
    expires_at: int


class Access:
    """Creates, checks and revokes access keys. Every time is ms since 1970 and given by the caller. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._lock = Lock()

    def create(
        self, name: str, scopes: Iterable[str], realm: str, now: int, days: int = DEFAULT_DAYS
    ) -> tuple[str, AccessKeyRow]:
        """Store a new key and return it with its row; the key itself is nowhere kept and cannot be shown again."""
        wanted = tuple(sorted(set(scopes)))
        faults = [Fault("/scopes", f"must be of {', '.join(SCOPES)}") for scope in wanted if scope not in SCOPES]
        if not wanted:
            faults.append(Fault("/scopes", "must name at least one"))
        faults += [
            Fault(
                f"/{field}",
                "must be 1 to 64 of the characters A-Z a-z 0-9 . _ - and begin with none of . _ -",
            )
            for field, value in (("name", name), ("realm", realm))
            if not _NAME.fullmatch(value)
        ]
        if not 1 <= days <= 3650:
            faults.append(Fault("/days", "must lie between 1 and 3650"))
        if faults:
            raise InvalidInput(faults)
        key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
        row = AccessKeyRow(key_id, name, realm, wanted, _digest(secret), now, now + days * DAY_MS)
        self._store.add_access_key(row)
        return f"rk_{key_id}_{secret}", row

    def recall(self, header: str | None, now: int) -> Caller | None:
        """Return the caller if this header was checked within the last 2 s, without asking the store."""
        return self._recall(header, now, FRESH_MS)

    def recall_stale(self, header: str | None, now: int) -> Caller | None:
        """Return the caller if this header was checked within the last 5 min: for when the store does not answer."""
        return self._recall(header, now, STALE_MS)

    def authenticate(self, header: str | None, now: int) -> Caller:
        """Return who sends this Authorization header, asking the store; raise AccessDenied for any other.

        AccessDenied says the same whether the key is missing, malformed, unknown, expired or revoked.
        """
        found = _TOKEN.fullmatch(_bearer(header))
        if found is None:
            raise AccessDenied(DENIED)
        key_id, secret = found.groups()
        row = self._store.access_key(key_id)
        same = hmac.compare_digest(_digest(secret), row.digest if row else _NO_DIGEST)
        if row is None or not same or row.revoked_at is not None or now >= row.expires_at:
            self._forget(header)
            raise AccessDenied(DENIED)
        caller = Caller(row.name, row.id, row.realm, frozenset(row.scopes))
        self._remember(header, _Remembered(caller, now, row.expires_at))
        return caller

    def holder(self, key_id: str, now: int) -> Caller:
        """Return whom a key belongs to, for who proved it before; AccessDenied once it expired or was revoked."""
        row = self._store.access_key(key_id)
        if row is None or row.revoked_at is not None or now >= row.expires_at:
            raise AccessDenied(DENIED)
        return Caller(row.name, row.id, row.realm, frozenset(row.scopes))

    def all(self) -> list[AccessKeyRow]:
        """Return every key, oldest first, also those that are expired or revoked."""
        return self._store.access_keys()

    def revoke(self, key_id: str, now: int) -> bool:
        """End a key; False if there is none. Other processes notice within 2 s."""
        with self._lock:
            self._remembered.clear()
        return self._store.revoke_access_key(key_id, now)

    def _recall(self, header: str | None, now: int, longest: int) -> Caller | None:
        if header is None:
            return None
        with self._lock:
            kept = self._remembered.get(_cache_key(header))
        if kept is None or not 0 <= now - kept.checked_at < longest or now >= kept.expires_at:
            return None
        return kept.caller

    def _remember(self, header: str | None, kept: _Remembered) -> None:
        key = _cache_key(header or "")
        with self._lock:
            self._remembered[key] = kept
            self._remembered.move_to_end(key)
            while len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)

    def _forget(self, header: str | None) -> None:
        with self._lock:
            self._remembered.pop(_cache_key(header or ""), None)


def require(caller: Caller, *scopes: str) -> None:
    """Raise AccessDenied naming the first of `scopes` unless the caller has one of them."""
    if caller.scopes.isdisjoint(scopes):
        raise AccessDenied(f"This needs the scope {' or '.join(scopes)}.", scope=scopes[0])


def _bearer(header: str | None) -> str:
    """Return the token of a Bearer header, "" if it is not one; the word is not case-sensitive (RFC 9110)."""
    kind, _, token = (header or "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _digest(secret: str) -> bytes:
    """Return what is kept of a secret. It is 256 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode()).digest()


def _cache_key(header: str) -> bytes:
    """Return a digest to remember a header by: the cache holds no key in clear."""
    return hashlib.sha256(header.encode()).digest()
