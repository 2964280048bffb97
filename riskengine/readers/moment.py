"""Times as logs write them, in whatever encoding: text of several forms, seconds and finer units since 1970."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from riskengine.check import parse_time
from riskengine.errors import Fault, InvalidInput

# Units by magnitude: until 5138 seconds stay below the first, and milliseconds of 1973 and later lie above it.
_UNITS = ((100_000_000_000, 1000, 1), (100_000_000_000_000, 1, 1), (100_000_000_000_000_000, 1, 1000))
_NUMBER = re.compile(r"-?\d{9,20}(?:\.\d{1,9})?", re.ASCII)
_ISO = re.compile(r"\d{4}-?\d\d-?\d\d[Tt ]", re.ASCII)
# `+0100` and ` UTC` after the time; a blank before the offset.
_ZONE_NAME = re.compile(r"(?: ?(?:UTC|GMT)| (?=[+-]\d\d))(?=$|[+-])")
# Month first, as Microsoft's exports have it. `Mar 04 2026 …` and RFC 2822 as gateways and mail programs write them.
_FORMS = (
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M:%S.%f %p",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S.%f",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y, %I:%M:%S %p",
    "%b %d %Y %H:%M:%S",
    "%b %d %Y %H:%M:%S.%f",
    "%b %d, %Y %I:%M:%S %p",
    "%d/%b/%Y:%H:%M:%S %z",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a %b %d %H:%M:%S %Y",
)
_WITHOUT_DATE = re.compile(r"\d\d:\d\d:\d\d\b")
_UNREADABLE = "has a form that is not known here; `format` in the mapping can name it"


def moment(value: Any, zone: tzinfo, formats: Sequence[str] = ()) -> int:
    """Return a time as ms since 1970, finer digits cut off; a local one is read in `zone`.

    `formats` (strptime) are tried instead of all others where given. Raise InvalidInput, without a pointer, for what is
    no time.

    >>> moment(1772615727318442000, UTC) == moment("2026-03-04T10:15:27.3184417+01:00", UTC) == 1772615727318
    True
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidInput([Fault("", "must be a time")])
    if isinstance(value, str):
        text = value.strip()
        if formats:
            return _by_forms(text, zone, formats)
        if not _NUMBER.fullmatch(text):
            return _text(text, zone)
        value = float(text) if "." in text else int(text)
    return _since_1970(value)


def _since_1970(value: float) -> int:
    """Return a number of seconds, ms, microseconds or nanoseconds, told by its size, as ms."""
    if not 0 <= value < 1e20:
        raise InvalidInput([Fault("", "lies outside the years 1970 to 9999")])
    factor, divisor = next(((times, over) for limit, times, over in _UNITS if value < limit), (1, 1_000_000))
    # A fraction of a second such as .318 has no exact float; the thousandth part of a ms makes up for it.
    found = int(value * factor + 1e-3) if isinstance(value, float) else value * factor
    return _bounded(found // divisor)


def _text(text: str, zone: tzinfo) -> int:
    if _ISO.match(text):
        try:
            return _at(datetime.fromisoformat(_ZONE_NAME.sub(_zone_name, text)), zone)
        except ValueError as error:
            raise InvalidInput([Fault("", "is no time that exists")]) from error
    if _WITHOUT_DATE.match(text):
        raise InvalidInput([Fault("", "has no date")])
    return _by_forms(text, zone, _FORMS)


def _zone_name(found: re.Match[str]) -> str:
    """Return what stands for `UTC` at the end; before an offset it goes."""
    return "+00:00" if found.end() == len(found.string) else ""


def _by_forms(text: str, zone: tzinfo, formats: Sequence[str]) -> int:
    for form in formats:
        try:
            return _at(datetime.strptime(text, form), zone)  # noqa: DTZ007 - _at gives it the zone
        except ValueError:
            continue
    raise InvalidInput([Fault("", _UNREADABLE)])


def _at(found: datetime, zone: tzinfo) -> int:
    if found.tzinfo is None:
        found = found.replace(tzinfo=zone)
    try:
        return parse_time(found.astimezone(UTC).isoformat())
    except (ValueError, OverflowError) as error:
        raise InvalidInput([Fault("", "lies outside the years 1970 to 9999")]) from error


def _bounded(milliseconds: int) -> int:
    if not milliseconds < 253_402_300_800_000:
        raise InvalidInput([Fault("", "lies outside the years 1970 to 9999")])
    return milliseconds
