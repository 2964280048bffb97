"""Sealing of personal data: AES-256-GCM for what is kept, keyed digests for look-ups."""

import hashlib
import os
import secrets
import socket
import time
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from riskengine.errors import Fault, InvalidInput, RiskEngineError, SealKeyError
from riskengine.keyring import KEY_BYTES, KEY_ID_BYTES, Keys, id_bytes

__all__ = ["SEAL_CHECK", "Keys", "Seal", "SealBroken"]

SCHEMA = 1
# The name under which a store keeps what its keys are known by.
SEAL_CHECK = "seal_check"
INDEX_BYTES = 16
TOKEN_BYTES = 4
# What near_index tells of the beginning of a value: of so many characters, some bytes each.
_BEGINNINGS, _NEAR_BYTES = (8, 12, -2), 2
# Prefix lengths in bits, one token each: a network is a range of the index.
IPV4_LENGTHS = (8, 16, 24, 32)
IPV6_LENGTHS = (32, 48, 64, 128)
_NONCE_BYTES = 12
_TAG_BYTES = 16
_HEADER_BYTES = 1 + KEY_ID_BYTES
_BODY = _HEADER_BYTES + _NONCE_BYTES  # where the ciphertext begins
# Where a key is missing, its source is asked again, no more often than this: a damaged row names keys that nobody has.
_RENEW_SECONDS = 1.0
_MAPPED = IPv6Network("::ffff:0:0/96")


class SealBroken(RiskEngineError):
    """Sealed bytes are damaged, were changed, or belong to another realm, table or row."""


class Seal:
    """Seals and opens bytes, and makes blind indexes. Safe to share between threads.

    What is sealed is bound to its realm, table and row: moved elsewhere, it no longer opens. `renew` reads the keys
    again: another process may have begun to seal with a key that was not there yet when this one started.
    """

    def __init__(self, keys: Keys, renew: Callable[[], Keys] | None = None) -> None:
        self._renew, self._renewed_at = renew, 0.0
        self._take(keys)
        self._places: dict[tuple[str, str], bytes] = {}
        self._digests: dict[tuple[str, str, str], Any] = {}
        self._beginning = lru_cache(1_024)(self._near)
        self._kept = lru_cache(16_384)(self._token)  # those of networks, which have many addresses

    @property
    def keys(self) -> Keys:
        """The keys in use."""
        return self._keys

    def adopt(self, keys: Keys) -> bool:
        """Seal with these keys from now on, and open with them; return whether anything changed.

        SealKeyError, with nothing changed, for another index key: nothing that is stored would be found by it.
        """
        if keys.index != self._keys.index:
            raise SealKeyError("the keys hold another index key than before: that takes `riskengine keys reindex`")
        changed = keys != self._keys
        if changed:
            self._take(keys)
        return changed

    def _take(self, keys: Keys) -> None:
        ciphers = {id_bytes(key_id): AESGCM(key) for key_id, key in keys.seal.items()}
        self._keys, self._ciphers = keys, ciphers
        # Head and cipher belong together: whoever seals meanwhile in another thread takes both at once.
        self._current = bytes([SCHEMA]) + id_bytes(keys.current), ciphers[id_bytes(keys.current)]

    def key_of(self, sealed: bytes) -> str:
        """Return the id of the key that sealed this."""
        return sealed[1:_HEADER_BYTES].hex()

    @property
    def head(self) -> bytes:
        """What everything begins with that is sealed now."""
        return self._current[0]

    def seal(self, plain: bytes, realm: str, table: str, row: bytes | int) -> bytes:
        """Return `plain` sealed: schema (1 byte), key id (4), nonce (12), ciphertext, tag (16).

        `row` is a signed 64-bit id or bytes. Two blobs of one row need two names of `table`, or one could
        stand in for the other.
        """
        # Every nonce comes from the kernel: a pool of them would be used twice after a fork.
        nonce = os.urandom(_NONCE_BYTES)
        head, cipher = self._current
        return head + nonce + cipher.encrypt(nonce, plain, head + self._bound(realm, table, row))

    def open(self, sealed: bytes, realm: str, table: str, row: bytes | int) -> bytes:
        """Return what was sealed for this realm, table and row.

        Raise SealKeyError when it was sealed with a key that is not here, SealBroken when it was changed or
        sealed for another place.
        """
        if len(sealed) < _BODY + _TAG_BYTES or sealed[0] != SCHEMA:
            raise SealBroken(f"a sealed value of {table} is cut short or of an unknown schema")
        head = sealed[:_HEADER_BYTES]
        cipher = self._ciphers.get(head[1:]) or self._renewed(head[1:])
        if cipher is None:
            raise SealKeyError(f"the key file lacks key {head[1:].hex()}, which sealed a value of {table}")
        try:
            return cipher.decrypt(sealed[_HEADER_BYTES:_BODY], sealed[_BODY:], head + self._bound(realm, table, row))
        except InvalidTag as error:
            raise SealBroken(f"a sealed value of {table} was changed, or belongs to another row") from error

    def index(self, realm: str, field: str, value: str | bytes) -> bytes:
        """Return the 16-byte blind index of `value`: equal for equal values of one field in one realm."""
        return self._digest("index", realm, field, value)

    def near_index(self, realm: str, field: str, value: str) -> bytes:
        """Return a 16-byte blind index of `value` that lies near those of values with the same beginning.

        Ids that count up or begin with the time (UUIDv7, ULID) come one after the other, and a database that keeps rows
        in the order of the index writes them to one page instead of one page each. Beside equality the index shows
        which values begin alike: in their first 8 characters, their first 12, in all but the last 2.
        """
        near = b"".join(self._beginning(realm, field, value[:length]) for length in _BEGINNINGS)
        return near + self._digest("index", realm, field, value)[len(near) :]

    def key32(self, realm: str, field: str, value: str) -> int:
        """Return a keyed digest of `value` as an unsigned 32-bit number that is never 0."""
        return int.from_bytes(self._digest("key32", realm, field, value)[:4]) or 1

    def key64(self, realm: str, field: str, value: str) -> int:
        """Return a keyed digest of `value` as an unsigned 64-bit number that is never 0."""
        return int.from_bytes(self._digest("key64", realm, field, value)[:8]) or 1

    def address_index(self, realm: str, ip: str) -> bytes:
        """Return four 4-byte tokens of an address in canonical spelling, shortest prefix first."""
        family, lengths = (socket.AF_INET6, IPV6_LENGTHS) if ":" in ip else (socket.AF_INET, IPV4_LENGTHS)
        return self._tokens(realm, socket.inet_pton(family, ip), lengths)

    def address_range(self, realm: str, cidr: str) -> tuple[bytes, bytes]:
        """Return (low, high), both inclusive: `address_index` of every address in `cidr` lies between them.

        IPv4 addresses are in IPv4 networks, also in one written inside IPv6 (::ffff:192.0.2.0/120).

        The range is that of the next token length that is shorter or equal, so it may hold more: the caller
        opens what it finds and looks again. Below the shortest length it is everything. InvalidInput if it is
        not a network.
        """
        network = _network(cidr)
        lengths = IPV4_LENGTHS if network.version == 4 else IPV6_LENGTHS
        held = tuple(length for length in lengths if length <= network.prefixlen)
        low = self._tokens(realm, network.network_address.packed, held)
        rest = TOKEN_BYTES * (len(lengths) - len(held))
        return low + bytes(rest), low + b"\xff" * rest

    def check_value(self) -> bytes:
        """Return what a store keeps so that other keys are refused over its data; it reveals none of them."""
        current = self._keys.seal[self._keys.current]
        return self.head + _derived(self._keys.index, "check")[:16] + _derived(current, "check")[:16]

    def verify_check(self, value: bytes) -> None:
        """Raise SealKeyError unless these keys hold the index key and the sealing key of the `check_value`.

        A sealing key that has since been replaced still counts: what it sealed can be opened.
        """
        key = self._keys.seal.get(value[1:_HEADER_BYTES].hex())
        if key is None:
            raise SealKeyError("the key file lacks the sealing key that the stored data was sealed with")
        index = _derived(self._keys.index, "check")[:16]
        wanted = value[:_HEADER_BYTES] + index + _derived(key, "check")[:16]
        if not secrets.compare_digest(wanted, value):
            raise SealKeyError("the key file holds other keys than the ones the stored data was sealed with")

    def _renewed(self, key_id: bytes) -> AESGCM | None:
        """Return the cipher of a key that was not there, if its source has it by now."""
        if self._renew is None or time.monotonic() - self._renewed_at < _RENEW_SECONDS:
            return None
        self._renewed_at = time.monotonic()
        try:
            self.adopt(self._renew())
        except SealKeyError:  # whoever asked is told that the key is missing
            return None
        return self._ciphers.get(key_id)

    def _bound(self, realm: str, table: str, row: bytes | int) -> bytes:
        """Return the associated data: lengths in front, so that no two places read the same."""
        place = self._places.get((realm, table))
        if place is None:
            parts = (realm.encode(), table.encode())
            place = b"".join(len(part).to_bytes(2) + part for part in parts)
            self._places[realm, table] = place
        if isinstance(row, int):
            return place + b"i" + row.to_bytes(8, signed=True)
        return place + b"b" + row

    def _digest(self, purpose: str, realm: str, field: str, value: str | bytes) -> bytes:
        begun = self._begun(purpose, realm, field).copy()
        begun.update(value.encode() if isinstance(value, str) else value)
        digest: bytes = begun.digest()
        return digest

    def _near(self, realm: str, field: str, beginning: str) -> bytes:
        return self._digest("near", realm, field, beginning)[:_NEAR_BYTES]

    def _begun(self, purpose: str, realm: str, field: str) -> Any:
        """Return the digest that has taken in the realm; each purpose and field has a key of its own."""
        begun = self._digests.get((purpose, realm, field))
        if begun is None:
            key = _derived(self._keys.index, f"{purpose} {field}")
            named = realm.encode()
            begun = hashlib.blake2b(len(named).to_bytes(2) + named, key=key, digest_size=INDEX_BYTES)
            self._digests[purpose, realm, field] = begun
        return begun

    def _tokens(self, realm: str, packed: bytes, lengths: tuple[int, ...]) -> bytes:
        size, prefixes = len(packed), [packed[: length // 8] for length in lengths]
        return b"".join((self._kept if len(one) < size else self._token)(realm, size, one) for one in prefixes)

    def _token(self, realm: str, size: int, prefix: bytes) -> bytes:
        """Return the token of a prefix of addresses of so many bytes."""
        return self._digest("address", realm, str(size), prefix)[:TOKEN_BYTES]


def _derived(key: bytes, info: str) -> bytes:
    """Return a key of its own for one purpose (HKDF, RFC 5869)."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"riskengine {info}".encode()).derive(key)


def _network(cidr: str) -> IPv4Network | IPv6Network:
    """Return the network, an IPv4 one where it is written inside IPv6: addresses are kept that way too."""
    try:
        network = ip_network(cidr, strict=False)
    except ValueError as error:
        raise InvalidInput([Fault("", "must be a network as 192.0.2.0/24 or 2001:db8::/32")]) from error
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        return IPv4Network((int(mapped or 0), network.prefixlen - 96))
    return network
