"""Times as syslog writes them: RFC 5424 and ISO ones are whole, BSD ones lack the year and the zone."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from riskengine.check import parse_time
from riskengine.errors import Fault, InvalidInput
from riskengine.readers.lines import Raw

_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1
    )
}
_BEFORE_MONTH = (0, 0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335)  # days, in a leap year
_LEAP_YEAR_DAYS = 366
_LEAP_DAY = 60
# A step back in time by up to this many days is disorder (stragglers around midnight, logrotate's four weekly files
# put together newest first); by more, a new year has begun. A silence of more than 366 - 60 days goes unseen.
_DISORDER_DAYS = 60
# Years between two leap years: 1896 to 1904.
_LEAP_GAP = 8
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Clock:
    """What a log's times are read with: the year of its last line (None: from `modified`), the zone of local times,
    and when the log was last written, in seconds since 1970."""

    year: int | None
    zone: ZoneInfo
    modified: float


def make_clock(year: int | None, tz: str | None, modified: float | None) -> Clock:
    """Return a Clock; `tz` is an IANA name, None for UTC; `modified` None is now. InvalidInput names what is wrong."""
    if year is not None and not 1970 <= year <= 9999:
        raise InvalidInput([Fault("year", "must lie between 1970 and 9999")])
    try:
        zone = ZoneInfo(tz or "UTC")
    except (KeyError, ValueError, OSError) as error:
        raise InvalidInput([Fault("tz", "must be the name of an IANA time zone, as Europe/Lisbon")]) from error
    return Clock(year, zone, time.time() if modified is None else modified)


class Calendar:
    """Gives BSD time stamps a year, so that the log stays in order.

    It counts years from the log's first line as it sees the lines in order; `first_year` is what that line's year is.
    """

    def __init__(self, first_year: int = 0) -> None:
        self.leap_years: set[int] = set()
        self.year = first_year
        self.day = 0  # of the last stamp seen, 1 to 366 as in a leap year
        self._first_year = first_year
        self._written = b""
        self._latest = 0

    def see(self, line: bytes) -> None:
        """Note the date that a line begins with; `year` is then that line's. Other lines change nothing."""
        if line.startswith(b"<"):  # a syslog priority
            line = line[line.find(b">") + 1 :]
        written = line[:6]
        if written == self._written or line[:3] not in _MONTHS:
            return
        day_of_month = line[4:6].strip()
        if not day_of_month.isdigit() or not 1 <= int(day_of_month) <= 31:
            return
        day = _BEFORE_MONTH[_MONTHS[line[:3]]] + int(day_of_month)
        if not self.day:
            self._latest = day
        self._written, self.day = written, day
        # The earliest year in which the line is not out of order.
        years = -((day - self._latest + _DISORDER_DAYS) // _LEAP_YEAR_DAYS)
        self._latest = max(self._latest, years * _LEAP_YEAR_DAYS + day)
        self.year = self._first_year + years
        if day == _LEAP_DAY:
            self.leap_years.add(self.year)


def first_year(log: Iterable[Raw], clock: Clock) -> int:
    """Return the year of a log's first BSD time stamp, from reading it through once.

    The last line's year is `clock.year`; without one it is the latest in which that line is no later than the day after
    the log was written, and in which each 29 February of the log exists.
    """
    calendar = Calendar()
    for raw in log:
        calendar.see(raw.line)
    if clock.year is not None:
        return clock.year - calendar.year
    written = datetime.fromtimestamp(clock.modified + _DAY_SECONDS, clock.zone)
    today = _BEFORE_MONTH[written.month] + written.day
    last = written.year - (calendar.day > today)
    for back in range(_LEAP_GAP + 1):
        if all(_is_leap(last - back - calendar.year + years) for years in calendar.leap_years):
            return last - back - calendar.year
    return last - calendar.year


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def bsd_time(stamp: str, year: int, zone: ZoneInfo) -> int:
    """Return `Mar  4 09:15:27` (or with a fraction) of a year as ms since 1970.

    Of an hour that the clocks repeat in autumn the first is meant. Raise InvalidInput if there is no such time.

    >>> bsd_time("Mar  4 09:15:27", 2026, ZoneInfo("UTC"))
    1772615727000
    """
    try:
        seconds = float(stamp[13:])
        if seconds >= 61:  # 60 is a leap second
            raise ValueError
        at = _minute(stamp[:12], year, zone) + int(seconds * 1000 + 1e-4)
    except (KeyError, ValueError, OverflowError) as error:
        raise InvalidInput([Fault("", f"has a time that does not exist in {year}")]) from error
    if at < 0:
        raise InvalidInput([Fault("", f"has a time before 1970 (in {year})")])
    return at


@lru_cache(maxsize=1024)
def _minute(stamp: str, year: int, zone: ZoneInfo) -> int:
    """Return the start of a minute, `Mar  4 09:15`, as ms since 1970."""
    month = _MONTHS[stamp[:3].encode()]
    local = datetime(year, month, int(stamp[4:6]), int(stamp[7:9]), int(stamp[10:12]), tzinfo=zone)
    return int(local.timestamp()) * 1000


def iso_time(stamp: str, zone: ZoneInfo) -> int:
    """Return an ISO 8601 time as ms since 1970, in `zone` where it has no offset; raise InvalidInput if it is none.

    >>> iso_time("2026-03-04T10:15:31.0041234+0100", ZoneInfo("UTC"))
    1772615731004
    """
    try:
        moment = datetime.fromisoformat(stamp)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        return parse_time(moment.astimezone(UTC).isoformat())
    except (ValueError, OverflowError) as error:
        raise InvalidInput([Fault("", "has a time that cannot be read")]) from error
