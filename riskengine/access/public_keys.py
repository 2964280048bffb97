"""Public keys of others (JWKS, RFC 7517): each believed for one algorithm alone, and the tokens that they signed."""

import base64
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact
from joserfc.util import urlsafe_b64decode

ALGORITHMS = ("ES256", "RS256", "EdDSA")
MOST_BYTES = 65_536
MOST_KEYS = 64
# Shorter keys can be broken, and so can those of small exponents; larger ones make checking a signature slow.
RSA_BITS = range(2_048, 8_193)
RSA_EXPONENTS = range(65_537, 1 << 32, 2)
# What is kept of a key: nothing that could be private, and nothing that says where to look for another.
_OF_THE_KEY = ("kty", "crv", "x", "y", "n", "e")
_KEPT = (*_OF_THE_KEY, "kid", "alg", "use")
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_LATEST = 1 << 40  # s since 1970, some 35,000 years from now


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key, the `kid` that tokens name it by (None where it has none), and the algorithm that it is believed for.

    `member` is how a document has it, without what is not needed to check signatures.
    """

    kid: str | None
    algorithm: str
    key: ECKey | RSAKey | OKPKey
    member: Mapping[str, str]


class UnknownKey(ValueError):
    """A token names a key that is not among those known."""


@dataclass(frozen=True, slots=True)
class Read:
    """A token as it reads, of which nothing is proved yet."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: CompactSignature


def registered(text: str | bytes) -> tuple[PublicKey, ...]:
    """Return the keys of a document that a client is registered with; ValueError says what is wrong with it.

    Several keys can stand beside each other, so that one can replace another, if each has a name of its own.
    """
    keys = tuple(_key(member) for member in _members(text))
    if not keys:
        raise ValueError("holds no key")
    if len(keys) > 1 and (None in (names := {key.kid for key in keys}) or len(names) < len(keys)):
        raise ValueError("holds several keys, so each needs a kid of its own")
    return keys


def published(text: str | bytes) -> tuple[PublicKey, ...]:
    """Return the keys of a document that an issuer publishes; ValueError where none can be used.

    Keys that we cannot use, or should not, are passed over, and so are those that share a name.
    """
    keys = tuple(_usable(_members(text)))
    times = Counter(key.kid for key in keys)
    keys = tuple(key for key in keys if times[key.kid] == 1)
    if not keys:
        raise ValueError("holds no key that can be used")
    return keys


def written(keys: Sequence[PublicKey]) -> str:
    """Return a document of these keys."""
    return json.dumps({"keys": [key.member for key in keys]}, separators=(",", ":"))


def read(token: str, most: int) -> Read:
    """Return a JWT of at most so many characters as it reads, without any proof; ValueError for what is none."""
    if len(token) > most:
        raise ValueError("too long")
    try:
        signed = extract_compact(token.encode("ascii"))
        claims = json.loads(signed.payload)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise ValueError("no signed token") from error
    header = signed.headers()
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise ValueError("no signed token")
    return Read(header, claims, signed)


def prove(token: Read, keys: Sequence[PublicKey], types: Collection[str]) -> None:
    """Raise ValueError unless one of these keys signed the token, and its header says one of `types` ("": nothing).

    The key says which algorithm counts; a header that names another is refused. Where a header says to look for keys
    (`jku`, `x5u`, `jwk`, `x5c`) nobody looks, and a `kid` is only ever compared.
    """
    header = token.header
    if str(header.get("typ", "")).lower().removeprefix("application/") not in types:
        raise ValueError("another kind of token")
    if not header.keys().isdisjoint(("crit", "b64")):
        raise ValueError("asks for more than we know")
    key = _named(keys, header.get("kid"))
    if header.get("alg") != key.algorithm:
        raise ValueError("another algorithm than the key's")
    try:
        said = token.signed.segments["header"] + b"." + token.signed.segments["payload"]
        signature = urlsafe_b64decode(token.signed.segments["signature"])
        proved = JWSRegistry.algorithms[key.algorithm].verify(said, signature, key.key)
    except (JoseError, ValueError, TypeError) as error:
        raise ValueError("a signature that cannot be read") from error
    if not proved:
        raise ValueError("signed by somebody else")


def seconds(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a time that a token states, s since 1970, None where it states none; ValueError for what is no time.

    >>> seconds({"exp": 1772615731}, "exp"), seconds({}, "nbf")
    (1772615731, None)
    """
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        raise ValueError(f"{name} is no time")
    return value


def one_or_more(value: object) -> list[str]:
    """Return the texts of a claim that is one text or a list of them; ValueError for anything else.

    >>> one_or_more("a"), one_or_more(["a", "b"])
    (['a'], ['a', 'b'])
    """
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError("neither a text nor a list of them")
    return found


def _members(text: str | bytes) -> list[Any]:
    if len(text) > MOST_BYTES:
        raise ValueError(f"is longer than {MOST_BYTES} bytes")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("is not JSON") from error
    members = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(members, list) or len(members) > MOST_KEYS:
        raise ValueError(f'must be {{"keys": [...]}} with at most {MOST_KEYS} keys (RFC 7517)')
    return members


def _usable(members: Sequence[Any]) -> Iterator[PublicKey]:
    for member in members:
        try:
            yield _key(member)
        except ValueError:
            continue


def _key(member: Any) -> PublicKey:
    """Return one key of a document; ValueError for one that is not public, weak, or meant for something else."""
    if not isinstance(member, dict):
        raise ValueError("holds a key that is no object")
    if not _PRIVATE.isdisjoint(member):
        raise ValueError("holds a private or symmetric key; register public keys only")
    kid = member.get("kid")
    if kid is not None and not (isinstance(kid, str) and 1 <= len(kid) <= 256):
        raise ValueError("holds a kid that is not 1 to 256 characters")
    kind: type[ECKey] | type[RSAKey] | type[OKPKey]
    match member.get("kty"), member.get("crv"):
        case "EC", "P-256":
            algorithm, kind = "ES256", ECKey
        case "OKP", "Ed25519":
            algorithm, kind = "EdDSA", OKPKey
        case "RSA", None:
            if _number(member, "n").bit_length() not in RSA_BITS or _number(member, "e") not in RSA_EXPONENTS:
                raise ValueError(
                    "holds an RSA key of fewer than 2048 or more than 8192 bits, or another exponent than most"
                )
            algorithm, kind = "RS256", RSAKey
        case _:
            raise ValueError("holds a key that is none of EC (P-256), RSA and OKP (Ed25519)")
    if member.get("alg", algorithm) != algorithm or member.get("use", "sig") != "sig":
        raise ValueError(f"holds a key that is not for signatures by {algorithm}")
    kept = {name: member[name] for name in _KEPT if name in member}
    try:
        key = kind.import_key({name: value for name, value in kept.items() if name in _OF_THE_KEY})
        key.get_op_key("verify")
    except (JoseError, ValueError, TypeError) as error:
        raise ValueError("holds a key that cannot be read") from error
    return PublicKey(kid, algorithm, key, kept)


def _number(member: Mapping[str, Any], name: str) -> int:
    value = member.get(name)
    if not isinstance(value, str):
        raise ValueError("holds a key that cannot be read")
    try:
        return int.from_bytes(base64.urlsafe_b64decode(value + "=="))
    except ValueError as error:
        raise ValueError("holds a key that cannot be read") from error


def _named(keys: Sequence[PublicKey], kid: object) -> PublicKey:
    """Return the one key that a token can mean: that of its `kid`, or where it names none the only one there is."""
    found = [key for key in keys if kid is None or key.kid in (kid, None)]
    if len(found) != 1:
        raise UnknownKey("not signed by a key that is known")
    return found[0]
