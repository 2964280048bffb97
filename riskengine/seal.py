"""Sealing of personal data: keys in a file, AES-256-GCM for what is kept, keyed digests for look-ups."""

import base64
import binascii
import hashlib
import json
import os
import secrets
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from riskengine.errors import Fault, InvalidInput, RiskEngineError, SealKeyError

KEY_BYTES = 32
KEY_FILE_VERSION = 1
SCHEMA = 1
INDEX_BYTES = 16
TOKEN_BYTES = 4
# What near_index tells of the beginning of a value: of so many characters, some bytes each.
_BEGINNINGS, _NEAR_BYTES = (8, 12, -2), 2
# Prefix lengths in bits, one token each: a network is a range of the index.
IPV4_LENGTHS = (8, 16, 24, 32)
IPV6_LENGTHS = (32, 48, 64, 128)
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_TAG_BYTES = 16
_HEADER_BYTES = 1 + _KEY_ID_BYTES
_BODY = _HEADER_BYTES + _NONCE_BYTES  # where the ciphertext begins
_MAPPED = IPv6Network("::ffff:0:0/96")


class SealBroken(RiskEngineError):
    """Sealed bytes are damaged, were changed, or belong to another realm, table or row."""


@dataclass(frozen=True)
class Keys:
    """The secrets of one installation: `index` for look-ups, and by id (8 hex digits) the keys that seal.

    `current` names the key that seals from now on; the others still open what they sealed.
    """

    current: str
    index: bytes = field(repr=False)
    seal: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def generate(cls) -> "Keys":
        """Return new random keys."""
        key_id = secrets.token_hex(_KEY_ID_BYTES)
        return cls(key_id, secrets.token_bytes(KEY_BYTES), {key_id: secrets.token_bytes(KEY_BYTES)})

    @classmethod
    def read(cls, path: Path) -> "Keys":
        """Return the keys in `path`; SealKeyError, naming the file, unless it is whole and private."""
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read()
        except FileNotFoundError as error:
            raise SealKeyError(f"the key file {path} does not exist") from error
        except OSError as error:
            raise SealKeyError(f"the key file {path} cannot be read ({error.strerror})") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SealKeyError(f"the key file {path} is open to other users; make it private with chmod 600")
        try:
            return cls._parse(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError):
            # The cause may quote the file, which is secret: it is not chained into what a log might print.
            raise SealKeyError(f"the key file {path} is not a riskengine key file, or is damaged") from None

    @classmethod
    def _parse(cls, given: Any) -> "Keys":
        if type(given["version"]) is not int or given["version"] != KEY_FILE_VERSION:
            raise ValueError("version")
        seal = {key_id: _decoded_key(key) for key_id, key in given["seal"].items()}
        if given["current"] not in seal or any(_id_bytes(key_id).hex() != key_id for key_id in seal):
            raise ValueError("key id")
        return cls(given["current"], _decoded_key(given["index"]), seal)

    def write(self, path: Path) -> None:
        """Create `path`, readable by its owner alone, whole or not at all; SealKeyError if it exists."""
        content = {
            "version": KEY_FILE_VERSION,
            "index": base64.b64encode(self.index).decode(),
            "current": self.current,
            "seal": {key_id: base64.b64encode(key).decode() for key_id, key in self.seal.items()},
        }
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(mode=0o700, parents=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(json.dumps(content) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                # Unlike a rename, a link fails when the name is taken: keys are never overwritten.
                path.hardlink_to(draft)
            except FileExistsError as error:
                raise SealKeyError(f"the key file {path} exists already and is not overwritten") from error
            finally:
                draft.unlink()
            _sync_folder(path.parent)
        except OSError as error:
            raise SealKeyError(f"the key file {path} cannot be written ({error.strerror})") from error


class Seal:
    """Seals and opens bytes, and makes blind indexes. Safe to share between threads.

    What is sealed is bound to its realm, table and row: moved elsewhere, it no longer opens.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._ciphers = {_id_bytes(key_id): AESGCM(key) for key_id, key in keys.seal.items()}
        self._head = bytes([SCHEMA]) + _id_bytes(keys.current)
        self._cipher = self._ciphers[_id_bytes(keys.current)]
        self._places: dict[tuple[str, str], bytes] = {}
        self._digests: dict[tuple[str, str, str], Any] = {}
        self._beginning = lru_cache(1_024)(self._near)

    def seal(self, plain: bytes, realm: str, table: str, row: bytes | int) -> bytes:
        """Return `plain` sealed: schema (1 byte), key id (4), nonce (12), ciphertext, tag (16).

        `row` is a signed 64-bit id or bytes. Two blobs of one row need two names of `table`, or one could
        stand in for the other.
        """
        # Every nonce comes from the kernel: a pool of them would be used twice after a fork.
        nonce = os.urandom(_NONCE_BYTES)
        bound = self._head + self._bound(realm, table, row)
        return self._head + nonce + self._cipher.encrypt(nonce, plain, bound)

    def open(self, sealed: bytes, realm: str, table: str, row: bytes | int) -> bytes:
        """Return what was sealed for this realm, table and row.

        Raise SealKeyError when it was sealed with a key that is not here, SealBroken when it was changed or
        sealed for another place.
        """
        if len(sealed) < _BODY + _TAG_BYTES or sealed[0] != SCHEMA:
            raise SealBroken(f"a sealed value of {table} is cut short or of an unknown schema")
        head = sealed[:_HEADER_BYTES]
        cipher = self._ciphers.get(head[1:])
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
        return self._head + _derived(self._keys.index, "check")[:16] + _derived(current, "check")[:16]

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
        begun = self._begun("address", realm, str(len(packed)))
        tokens = b""
        for length in lengths:
            prefix = begun.copy()
            prefix.update(packed[: length // 8])
            tokens += prefix.digest()[:TOKEN_BYTES]
        return tokens


def _derived(key: bytes, info: str) -> bytes:
    """Return a key of its own for one purpose (HKDF, RFC 5869)."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"riskengine {info}".encode()).derive(key)


def _decoded_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("base64") from error
    if len(key) != KEY_BYTES:
        raise ValueError("length")
    return key


def _id_bytes(key_id: str) -> bytes:
    """Return the 4 bytes of a key id; ValueError if it is not one."""
    found = bytes.fromhex(key_id)
    if len(found) != _KEY_ID_BYTES:
        raise ValueError("key id")
    return found


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


def _sync_folder(folder: Path) -> None:
    """Make a new name in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
