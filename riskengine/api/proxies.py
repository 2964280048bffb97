"""Whose word is taken on who calls: the connection's own, and the headers of proxies that settings name.

A header can be written by anybody. What one says of the client's address, its scheme or its certificate counts only
where the connection itself comes from a proxy of RISKENGINE_TRUSTED_PROXIES; from anywhere else it changes nothing.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import unquote

from starlette.types import Scope

FORWARDED = "forwarded"
FORWARDED_FOR = "x-forwarded-for"
# Envoy's: elements of key=value, the nearest proxy's last, with the certificate's digest or the certificate itself.
ENVOY = "x-forwarded-client-cert"
# In the extensions of a scope: the thumbprint that a proxy told, or None where it told none.
TOLD = "riskengine.certificate"
# A certificate of 16 KiB is four times what the largest keys make; in a URL each of its characters may take three.
MOST_HEADER_BYTES = 65_536
_SCHEMES = frozenset(("http", "https"))
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
# Lists in headers, split where their mark stands outside quotes (RFC 9110, 5.6.4).
_QUOTED = r'(?:"(?:[^"\\]|\\.)*"|[^"{mark}])*'
_COMMA, _SEMICOLON = (re.compile(_QUOTED.format(mark=mark)) for mark in ",;")

Address = IPv4Address | IPv6Address


class Proxies:
    """The proxies that are believed, and the headers they write.

    `networks` is what RISKENGINE_TRUSTED_PROXIES holds, addresses and networks with commas between. `forwarded` is the
    one header in which they name the client (a proxy passes on untouched what it does not write itself, so a second
    one would be the client's word), `certificate` the one that holds the client's certificate, "" for none.
    """

    def __init__(self, networks: str = "", forwarded: str = FORWARDED_FOR, certificate: str = "") -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(one) for one in networks.split(",") if one]
        self._forwarded = forwarded.lower().encode()
        self._certificate = certificate.lower().encode()

    def trusts(self, client: Sequence[Any] | None) -> bool:
        """Return whether the other end of a connection, (host, port), is one of these proxies."""
        return bool(self._networks) and client is not None and self._is_one(_address(str(client[0])))

    def believe(self, scope: Scope) -> None:
        """Write into the scope of a request that a trusted proxy passed on what its headers say of the client.

        The proxy's own certificate is never taken for its client's.
        """
        headers = scope["headers"]
        given = [value.decode("latin-1") for name, value in headers if name == self._forwarded]
        scheme = None
        if given:
            read = _read_forwarded if self._forwarded == FORWARDED.encode() else _read_forwarded_for
            scheme = self._take_client(scope, read(",".join(given)))
        if self._forwarded != FORWARDED.encode():
            scheme = _last([value for name, value in headers if name == b"x-forwarded-proto"])
        if scheme in _SCHEMES:
            scope["scheme"] = scheme
        told = [value for name, value in headers if name == self._certificate] if self._certificate else []
        thumbprint = _told_thumbprint(self._certificate.decode(), told)
        scope["extensions"] = {**scope.get("extensions", {}), TOLD: thumbprint}

    def _take_client(self, scope: Scope, hops: Sequence[tuple[str, str | None]]) -> str | None:
        """Take the nearest hop that is no trusted proxy for the client; return the scheme in which it called.

        A hop that says no address ends the search: what stands before it was said by nobody known.
        """
        scheme = None
        for host, told in reversed(hops):
            address = _address(host)
            if address is None:
                break
            scope["client"], scheme = (str(address), 0), told
            if not self._is_one(address):
                break
        return scheme

    def _is_one(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def certificate_of(scope: Scope) -> str | None:
    """Return the thumbprint (x5t#S256, RFC 8705) of the certificate that the caller of a request has proved to hold.

    It is that of the TLS connection, or the one a trusted proxy tells of; None where there is none that can be read.
    """
    extensions = scope.get("extensions") or {}
    if TOLD in extensions:
        told: str | None = extensions[TOLD]
        return told
    chain = (extensions.get("tls") or {}).get("client_cert_chain") or ()
    return _pem_thumbprint(chain[0]) if chain else None


def thumbprint_of(der: bytes) -> str:
    """Return the thumbprint of a certificate as RFC 8705 writes it: base64url of its SHA-256, without padding."""
    return _base64url(hashlib.sha256(der).digest())


def _told_thumbprint(name: str, values: Sequence[bytes]) -> str | None:
    """Return the thumbprint in a certificate header; None if there is none, or more of one that is no list."""
    if name == ENVOY and values:
        return _envoy_thumbprint(b",".join(values))
    return _header_thumbprint(values[0]) if len(values) == 1 else None


@lru_cache(256)
def _pem_thumbprint(pem: str) -> str | None:
    return _thumbprint_in(pem)


@lru_cache(256)
def _header_thumbprint(value: bytes) -> str | None:
    """Return the thumbprint of the certificate in a header: RFC 9440's, or PEM or base64 as other proxies do."""
    if len(value) > MOST_HEADER_BYTES:
        return None
    text = value.decode("latin-1").strip()
    if text.startswith(":"):
        return _of_base64(text[1:-1]) if text.endswith(":") and len(text) > 1 else None
    return _thumbprint_in(unquote(text, errors="replace"))


@lru_cache(256)
def _envoy_thumbprint(value: bytes) -> str | None:
    """Return the thumbprint in the last element of Envoy's header: that of the client of the nearest proxy."""
    if len(value) > MOST_HEADER_BYTES:
        return None
    elements = _split(value.decode("latin-1"), _COMMA)
    pairs = _pairs(elements[-1]) if elements else {}
    digest = pairs.get("hash", "")
    if digest:
        return _base64url(bytes.fromhex(digest)) if _DIGEST.fullmatch(digest) else None
    return _thumbprint_in(unquote(pairs.get("cert", ""), errors="replace"))


def _thumbprint_in(text: str) -> str | None:
    """Return the thumbprint of the first certificate in PEM, or of bare base64; line ends may have become blanks."""
    found = _PEM.search(text)
    return _of_base64("".join((found[1] if found else text.partition(",")[0]).split()))


def _of_base64(text: str) -> str | None:
    try:
        der = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return thumbprint_of(der) if der[:1] == b"\x30" else None  # a certificate is a DER sequence


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read_forwarded_for(text: str) -> list[tuple[str, str | None]]:
    """Return the hops of X-Forwarded-For, farthest first; it says nothing of their schemes."""
    return [(_host(hop.strip()), None) for hop in text.split(",")]


def _read_forwarded(text: str) -> list[tuple[str, str | None]]:
    """Return the hops of Forwarded (RFC 7239) with their schemes, farthest first; "" for one that cannot be read."""
    hops = [_pairs(element) for element in _split(text, _COMMA)]
    return [(_host(hop.get("for", "")), hop.get("proto", "").lower() or None) for hop in hops]


def _pairs(element: str) -> dict[str, str]:
    """Return the pairs of an element by their names in small letters; nothing where one comes twice."""
    pairs: dict[str, str] = {}
    for pair in _split(element, _SEMICOLON):
        name, _, value = pair.partition("=")
        name, value = name.strip().lower(), value.strip()
        if name in pairs:
            return {}
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        pairs[name] = value
    return pairs


def _split(text: str, part: re.Pattern[str]) -> list[str]:
    """Return the parts of a list; none where a quote does not end."""
    parts, place = [], 0
    while True:
        found = part.match(text, place)
        assert found is not None  # it matches nothing, too
        parts.append(found[0])
        place = found.end() + 1
        if found.end() == len(text):
            return parts
        if text[found.end()] == '"':
            return []


def _host(node: str) -> str:
    """Return the address of `address`, `address:port`, `[address]` or `[address]:port`."""
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


def _address(host: str) -> Address | None:
    """Return the address in a text, an IPv4 one that is written as IPv6 as itself; None for what is no address."""
    if "%" in host:
        return None
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _last(values: Iterable[bytes]) -> str | None:
    """Return the last entry of the header that these are the lines of: what the nearest proxy wrote."""
    given = b",".join(values).decode("latin-1").rpartition(",")[2].strip().lower()
    return given or None
