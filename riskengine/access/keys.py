"""Access keys: a name, a realm, scopes and an end; only a digest of the secret is kept."""

import hmac
import re
import secrets
from collections.abc import Iterable

from riskengine.access.caller import DAY_MS, DENIED, Caller, checked, digest
from riskengine.errors import AccessDenied
from riskengine.store.contract import AccessKeyRow, Store

DEFAULT_DAYS = 90
_TOKEN = re.compile(r"rk_([0-9a-f]{16})_([0-9a-f]{64})")
# Compared when there is no such key, so that an unknown id takes as long as a wrong secret.
NO_DIGEST = bytes(32)


def new_key(
    store: Store, name: str, scopes: Iterable[str], realm: str, now: int, days: int = DEFAULT_DAYS
) -> tuple[str, AccessKeyRow]:
    """Store a new key and return it with its row; the key itself is nowhere kept and cannot be shown again."""
    wanted = checked(name, scopes, realm, days)
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    row = AccessKeyRow(key_id, name, realm, wanted, digest(secret), now, now + days * DAY_MS)
    store.add_access_key(row)
    return f"rk_{key_id}_{secret}", row


def check_key(store: Store, token: str, now: int) -> tuple[Caller, int]:
    """Return whose key this is, and when it expires; AccessDenied says the same whatever is wrong with it."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise AccessDenied(DENIED)
    key_id, secret = found.groups()
    row = store.access_key(key_id)
    same = hmac.compare_digest(digest(secret), row.digest if row else NO_DIGEST)
    if row is None or not same or row.revoked_at is not None or now >= row.expires_at:
        raise AccessDenied(DENIED)
    return Caller(row.name, row.id, row.realm, frozenset(row.scopes)), row.expires_at


def holder(store: Store, key_id: str, now: int) -> Caller:
    """Return whom a key belongs to, for who proved it before; AccessDenied once it expired or was revoked."""
    row = store.access_key(key_id)
    if row is None or row.revoked_at is not None or now >= row.expires_at:
        raise AccessDenied(DENIED)
    return Caller(row.name, row.id, row.realm, frozenset(row.scopes))
