"""One-time tokens: opaque, signed, good for one request; each answer carries the one that comes after it.

A token is a key's number, client, scopes, id and certificate, and an HMAC of these. Its id is the time at which it
expires, then a number: random in the first of a chain, and from there on one more each time; only the HMAC has to be
beyond guessing. What a token pays for is settled by the store, in the transaction that saves that, see
engine/payment.py.
"""

import base64
import binascii
import hmac
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from riskengine.access.caller import SCOPES, Caller
from riskengine.access.clients import Clients
from riskengine.access.keyring import Keyring
from riskengine.access.remembered import FRESH_MS, Remembered
from riskengine.errors import AccessDenied
from riskengine.store.contract import ClientRow, Store

PREFIX = "ro_"
LIFE_MS = 600_000
REFUSED = "The one-time token is not ours, expired, used before, or not this caller's."
_EXPIRY_BYTES, _ID_BYTES, _MAC_BYTES = 6, 16, 16
_NUMBERS = 1 << 8 * (_ID_BYTES - _EXPIRY_BYTES)
_CLIENT_AT, _SCOPES_AT, _ID_AT, _CERTIFICATE_AT = 2, 10, 11, 27
_UNBOUND, _BOUND = _CERTIFICATE_AT + _MAC_BYTES, _CERTIFICATE_AT + 32 + _MAC_BYTES
# How many tokens are forgotten in one statement.
AT_ONCE = 5_000
# Of how many tokens that were made here, and not shown yet, it is known what they say.
MOST_MADE = 4_096


class _Read(NamedTuple):
    """What a token says, its signature proved."""

    client: str
    scopes: frozenset[str]
    id: bytes
    certificate: str | None

    @property
    def expires_at(self) -> int:
        return int.from_bytes(self.id[:_EXPIRY_BYTES])


class Purse:
    """Gives out and reads one-time tokens; `issuer`'s clients hold them. Every time is ms since 1970. Thread-safe."""

    def __init__(self, keyring: Keyring, clients: Clients, store: Store) -> None:
        self._keyring, self._clients, self._store = keyring, clients, store
        self._seen: Remembered[str, ClientRow] = Remembered()
        self._made: OrderedDict[str, _Read] = OrderedDict()  # to read a token costs more than all else about it

    def issue(self, client: ClientRow, scopes: list[str], certificate: str | None, count: int, now: int) -> list[str]:
        """Return new tokens, each the first of a chain of its own, for a client that was asked for just now."""
        self._seen.keep(client.id, client, now, client.expires_at)  # so that the first of many need not ask again
        key, end = self._keyring.signing(now), (now + LIFE_MS).to_bytes(_EXPIRY_BYTES)
        ids = [end + os.urandom(_ID_BYTES - _EXPIRY_BYTES) for _ in range(count)]
        return [_token(key.number, key.secret, client.id, frozenset(scopes), each, certificate) for each in ids]

    def following(self, caller: Caller, spent_at: int) -> str:
        """Return the token that comes after the caller's, which was spent at `spent_at`: the same whenever asked."""
        assert caller.ticket is not None
        key = self._keyring.latest(spent_at)
        number = (int.from_bytes(caller.ticket[_EXPIRY_BYTES:]) + 1) % _NUMBERS
        token_id = (spent_at + LIFE_MS).to_bytes(_EXPIRY_BYTES) + number.to_bytes(_ID_BYTES - _EXPIRY_BYTES)
        token = _token(key.number, key.secret, caller.key_id, caller.scopes, token_id, caller.certificate)
        if len(self._made) >= MOST_MADE:
            self._made.popitem(last=False)
        self._made[token] = _Read(caller.key_id, caller.scopes, token_id, caller.certificate)
        return token

    def recall(
        self, token: str, now: int, longest: int = FRESH_MS, renew: Callable[[], object] | None = None
    ) -> Caller | None:
        """Return whose token this is if that can be told without asking the store, and it has not expired.

        `renew` is called when it is time to ask the store again, by one of all that show tokens of this client.
        """
        read = self._made.pop(token, None) or self._read(token)
        if read is None or not now < read.expires_at:
            return None
        client = self._seen.recall(read.client, now, longest, renew)
        return None if client is None or not _fits(read, client) else _caller(read, client)

    def check(self, token: str, now: int, certificate: str | None) -> Caller:
        """Return whose token this is, asking the store for the client; AccessDenied for a wrong one.

        Whether it was used before shows when it is spent.
        """
        read = self._read(token, now)
        client = self._clients.valid(read.client, now) if read else None
        if read is None or client is None or not client.one_time:
            self._seen.forget(read.client if read else "")
            raise AccessDenied(REFUSED, error="invalid_token")
        caller = _caller(read, client)
        if now >= read.expires_at or (read.certificate != certificate and read.certificate is not None):
            why = "expired" if now >= read.expires_at else "sent with another certificate"
            raise AccessDenied(REFUSED, error="invalid_token", blame=(caller.realm, caller.name, why))
        if not _fits(read, client):
            raise AccessDenied(REFUSED, error="invalid_token", blame=(caller.realm, caller.name, "not bound"))
        self._seen.keep(read.client, client, now, client.expires_at)
        return caller

    def is_ours(self, token: str) -> bool:
        """Return whether we signed this token, whatever became of it, with a key known here; nobody is asked."""
        return self._read(token) is not None

    def learn(self) -> None:
        """Get to know the keys that there are."""
        self._keyring.learn()

    def forget(self, now: int) -> None:
        """Forget which tokens were used, of those that have expired."""
        while self._store.forget_spent(now, AT_ONCE) == AT_ONCE:
            pass

    def _read(self, token: str, now: int | None = None) -> _Read | None:
        """Return what a token says if it is ours; a key that is not known here is asked for where `now` is given."""
        if not token.startswith(PREFIX) or len(token) > 128:
            return None
        try:
            raw = base64.urlsafe_b64decode(token[len(PREFIX) :] + "==")
        except (ValueError, binascii.Error):
            return None
        if len(raw) not in (_UNBOUND, _BOUND):
            return None
        number = int.from_bytes(raw[:_CLIENT_AT])
        key = self._keyring.known(number)
        if key is None and now is not None:
            key = self._keyring.find(lambda one: one.number == number, now)
        said, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if key is None or not secrets.compare_digest(mac, hmac.digest(key.secret, said, "sha256")[:_MAC_BYTES]):
            return None
        if _written(raw) != token:  # one token is written in one way only
            return None
        return _Read(
            f"rc_{said[_CLIENT_AT:_SCOPES_AT].hex()}",
            _SETS[said[_SCOPES_AT] & _ALL],
            said[_ID_AT:_CERTIFICATE_AT],
            _text(said[_CERTIFICATE_AT:]) if len(raw) == _BOUND else None,
        )


def new_secret() -> tuple[bytes, str]:
    """Return a new key for signing one-time tokens; nothing of it is public."""
    return secrets.token_bytes(32), ""


def _fits(read: _Read, client: ClientRow) -> bool:
    """Return whether a token is bound to the client's certificate, where that has one."""
    return client.certificate is None or read.certificate == client.certificate


def _caller(read: _Read, client: ClientRow) -> Caller:
    scopes = read.scopes & frozenset(client.scopes)
    return Caller(client.name, client.id, client.realm, scopes, "one_time", read.certificate, read.id)


def _token(
    number: int, secret: bytes, client: str, scopes: frozenset[str], token_id: bytes, certificate: str | None
) -> str:
    said = (
        number.to_bytes(_CLIENT_AT)
        + bytes.fromhex(client.removeprefix("rc_"))
        + bytes([_BITS[scopes]])
        + token_id
        + (base64.urlsafe_b64decode(certificate + "=") if certificate else b"")
    )
    return _written(said + hmac.digest(secret, said, "sha256")[:_MAC_BYTES])


def _written(raw: bytes) -> str:
    return PREFIX + _text(raw)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


_ALL = (1 << len(SCOPES)) - 1
_SETS = [frozenset(scope for at, scope in enumerate(SCOPES) if bits >> at & 1) for bits in range(_ALL + 1)]
_BITS = {scopes: bits for bits, scopes in enumerate(_SETS)}
