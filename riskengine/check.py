"""Values as callers send them: strict JSON, and checks that give the one canonical form or refuse with a sentence."""

import json
import re
import socket
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any
from zoneinfo import available_timezones

import msgspec

from riskengine.errors import Fault, InvalidInput

CONTEXT_BYTES = 4096
_EVENT_ID = re.compile(r"[A-Za-z0-9._:~-]{1,128}")
# A control character as JSON writes it: an escape that is not itself escaped. Line ends and tabs are let be.
_ESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\\(?:u00[01]|[bf])|[\x7f-\x9f]")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,40})?(?:[Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_SPAN = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_ZONES = frozenset(available_timezones())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# 9999-12-31: what a datetime can still print.
_LAST_MS = 253_402_300_799_999

Check = Callable[[Any], Any]


class Wrong(ValueError):
    """A value that a check refuses: the sentence, and the pointer below the field when it lies deeper."""

    def __init__(self, detail: str, below: str = "") -> None:
        super().__init__(detail)
        self.detail, self.below = detail, below


def decode(body: bytes) -> Any:
    """Return the JSON value in `body`, stricter than the standard library: UTF-8, no duplicate keys, no NaN.

    Raise InvalidInput naming the key or saying what is wrong.

    >>> decode(b'{"ip": "192.0.2.1"}')
    {'ip': '192.0.2.1'}
    >>> decode(b'{"ip": 1, "ip": 2}')
    Traceback (most recent call last):
    riskengine.errors.InvalidInput: /ip is given twice
    """
    found = _plain(body)
    if found is not None:
        return found
    try:
        text = body.decode()
        if text.startswith("\ufeff"):
            raise InvalidInput([Fault("", "is not JSON: it begins with a byte order mark")])
        return _decoder.decode(text)
    except UnicodeDecodeError as error:
        raise InvalidInput([Fault("", f"is not UTF-8 (byte {error.start})")]) from error
    except json.JSONDecodeError as error:
        raise InvalidInput([Fault("", f"is not JSON: {error.msg} (character {error.pos})")]) from error
    except RecursionError as error:
        raise InvalidInput([Fault("", "is nested too deeply")]) from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise InvalidInput([Fault("", "holds a number that is too long")]) from error


def _plain(body: bytes) -> Any:
    """Return the value in a body that is plainly right, None where only the strict decoder can tell.

    Without escapes, quotation marks stand around strings and nowhere else: twice as many as there are keys and strings
    in the value means that no key was given twice, since the value would have lost the first.
    """
    if b"\\" in body:
        return None
    try:
        found = _fast.decode(body)
        return found if 2 * _strings(found) == body.count(b'"') else None
    except (ValueError, RecursionError):  # msgspec's errors among them
        return None


def _strings(value: Any) -> int:
    """Return how many strings a decoded value holds, keys included."""
    if not isinstance(value, dict | list):
        return int(isinstance(value, str))
    inner = value.values() if isinstance(value, dict) else value
    kinds = list(map(type, inner))
    count = kinds.count(str) + (len(value) if isinstance(value, dict) else 0)
    if dict in kinds or list in kinds:
        count += sum(_strings(one) for one in inner if isinstance(one, dict | list))
    return count


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dict, or refuse the first key that stands twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidInput([Fault(_pointer(key), "is given twice")])
            seen.add(key)
    return found


def _no_constant(name: str) -> float:
    """Refuse NaN and the infinities, which JSON does not have."""
    raise InvalidInput([Fault("", f"holds {name}, which is not JSON")])


# Made once: json.loads makes one for each call that is given hooks.
_fast = msgspec.json.Decoder()
_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _pointer(key: str) -> str:
    """Return a JSON pointer to `key`, shortened and made printable: it comes from the caller."""
    shown = "".join(c if c.isprintable() else "?" for c in key[:64])
    return "/" + shown.replace("~", "~0").replace("/", "~1")


def text(longest: int) -> Check:
    """Return a check for a string of 1 to `longest` characters, made NFC, without controls or outer blanks."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise Wrong("must be a string")
        if not value or len(value) > longest:
            raise Wrong(f"must have 1 to {longest} characters")
        if value.isascii() and value.isprintable():
            text = value
        else:
            text = unicodedata.normalize("NFC", value)
            for character in text:
                category = unicodedata.category(character)
                if category == "Cc":
                    raise Wrong(f"holds the control character U+{ord(character):04X}")
                if category == "Cs":
                    raise Wrong("holds half of a surrogate pair")
            if len(text) > longest:
                raise Wrong(f"must have 1 to {longest} characters")
        if text != text.strip():
            raise Wrong("must not begin or end with a blank")
        return text

    return check


def one_of(*choices: str) -> Check:
    def check(value: Any) -> str:
        if value not in choices or not isinstance(value, str):
            raise Wrong(f"must be one of {', '.join(choices)}")
        return value

    return check


def number(low: float, high: float) -> Check:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Wrong("must be a number")
        if not low <= value <= high:  # an int of any size compares exactly
            raise Wrong(f"must lie between {low:g} and {high:g}")
        return float(value)

    return check


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong("must be true or false")
    return value


def ip(value: Any) -> str:
    """Return the address in its one canonical spelling; an IPv4 address inside IPv6 is unwrapped."""
    if not isinstance(value, str) or len(value) > 64 or "%" in value:
        raise Wrong("must be an IPv4 or IPv6 address")
    return _canonical_ip(value)


@lru_cache(16_384)  # addresses repeat
def _canonical_ip(text: str) -> str:
    """Return what `ipaddress` makes of an address, by the C library, which takes a tenth of the time."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        packed = socket.inet_pton(family, text)
    except (OSError, ValueError) as error:  # ValueError: a zero, or half of a surrogate pair
        raise Wrong("must be an IPv4 or IPv6 address") from error
    if family == socket.AF_INET:
        return text  # which has only one spelling
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[len(_MAPPED) :])
    # The C library would write ::102:304 as ::1.2.3.4.
    return str(IPv6Address(packed)) if packed.startswith(_LOW) else socket.inet_ntop(family, packed)


_LOW = bytes(12)
_MAPPED = bytes(10) + b"\xff\xff"


def network(value: Any) -> IPv4Network | IPv6Network:
    """Return a network, or an address as a network of its own; an IPv4 one where it is written inside IPv6."""
    if not isinstance(value, str) or len(value) > 64 or "%" in value:
        raise Wrong("must be a network as 192.0.2.0/24 or 2001:db8::/32")
    try:
        found: IPv4Network | IPv6Network = ip_network(value, strict=False)
    except ValueError as error:
        raise Wrong("must be a network as 192.0.2.0/24 or 2001:db8::/32") from error
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    return IPv4Network((int(mapped), found.prefixlen - 96)) if mapped and found.prefixlen >= 96 else found


def asn(value: Any) -> int:
    """Return the number of an autonomous system, with or without AS in front."""
    digits = re.fullmatch(r"(?:AS|as)?([0-9]{1,10})", str(value)) if not isinstance(value, bool) else None
    if digits is None or not 0 < int(digits[1]) < 1 << 32:
        raise Wrong("must be the number of an autonomous system, as 64496")
    return int(digits[1])


def span(value: Any) -> int:
    """Return a length of time, as 90m, 24h, 7d or 2w, in ms.

    >>> span("90m"), span("2w")
    (5400000, 1209600000)
    """
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Wrong("must be a length of time, as 90m, 24h, 7d or 2w")
    return int(found[1]) * _UNITS_MS[found[2]]


def event_id(value: Any) -> str:
    if not isinstance(value, str) or not _EVENT_ID.fullmatch(value):
        raise Wrong("must be 1 to 128 of the characters A-Z a-z 0-9 . _ : ~ -")
    return value


def parse_time(value: Any) -> int:
    """Return an RFC 3339 time with offset as ms since 1970 (finer digits are cut off); ValueError if it is not one.

    >>> parse_time("2026-03-04T10:15:31.5+01:00")
    1772615731500
    """
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise Wrong("must be an RFC 3339 time, as 2026-03-04T09:15:27Z")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise Wrong("must be an RFC 3339 time, as 2026-03-04T09:15:27Z") from error
    if moment.tzinfo is None:
        raise Wrong("has no offset from UTC; add Z or +hh:mm")
    since = moment - _EPOCH
    milliseconds = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    if not 0 <= milliseconds <= _LAST_MS:
        raise Wrong("lies outside the years 1970 to 9999")
    return milliseconds


@lru_cache(1024)  # the logins of a batch share their milliseconds
def format_time(milliseconds: int) -> str:
    """Return ms since 1970 as RFC 3339 in UTC.

    >>> format_time(1772615731500)
    '2026-03-04T09:15:31.500Z'
    """
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timezone(value: Any) -> str:
    if not isinstance(value, str) or value not in _ZONES:
        raise Wrong("must be the name of an IANA time zone, as Europe/Lisbon")
    return value


def list_of(check: Check, most: int) -> Check:
    def check_list(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Wrong("must be a list")
        if len(value) > most:
            raise Wrong(f"must have at most {most} entries")
        found = []
        for index, entry in enumerate(value):
            try:
                found.append(check(entry))
            except Wrong as wrong:
                raise Wrong(wrong.detail, f"/{index}{wrong.below}") from wrong
        return tuple(found)

    return check_list


def context(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Wrong("must be an object")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise Wrong("holds half of a surrogate pair") from error
    except RecursionError as error:
        raise Wrong("is nested too deeply") from error
    except ValueError as error:
        raise Wrong("holds a number that is too large") from error
    if size > CONTEXT_BYTES:
        raise Wrong(f"must be at most {CONTEXT_BYTES} bytes of JSON")
    control = _ESCAPED.search(text)
    if control:
        raise Wrong("holds a control character")
    return value


def record(kind: Callable[..., Any], fields: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    """Return a check for an object with these fields and no others, made into a `kind`."""

    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Wrong("must be an object")
        found, faults = checked(value, fields, required)
        if faults:
            raise Wrong(faults[0].detail, faults[0].pointer)
        return kind(**found)

    return check


def checked(
    body: Mapping[str, Any], fields: Mapping[str, Check], required: tuple[str, ...]
) -> tuple[dict[str, Any], list[Fault]]:
    """Return the values that passed their field's check, and a fault for each that did not.

    A null is the same as an absent field, but for `user_id`, where it says "no such account".
    """
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, value in body.items():
        check = fields.get(name)
        if check is None:
            faults.append(Fault(_pointer(name), "is not a field of this object"))
        elif value is not None:
            try:
                found[name] = check(value)
            except Wrong as wrong:
                faults.append(Fault(f"/{name}{wrong.below}", wrong.detail))
        elif name == "user_id":
            found[name] = None
    for name in required:
        if name not in found and body.get(name) is None:
            faults.append(Fault(f"/{name}", "is required"))
    return found, faults
