"""The month that ends now: its days, and what clocks in a city show."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from riskengine.check import format_time
from riskengine.demo.people import DAYS
from riskengine.event import Event, Report, parse_event, parse_report

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Month:
    """Days 0 to DAYS, of which the last is today; `now` is ms since 1970."""

    now: int

    def date(self, day: int) -> date:
        """Return the date of a day."""
        return datetime.fromtimestamp(self.now / 1000, UTC).date() - timedelta(DAYS - day)

    def is_weekend(self, day: int) -> bool:
        """Return whether a day is a Saturday or a Sunday."""
        return self.date(day).weekday() >= 5

    def at(self, day: int, hour: float, zone: str = "UTC") -> int:
        """Return when a zone's clocks show an hour of a day, ms since 1970; 25.5 is half past one the day after."""
        midnight = datetime.combine(self.date(day), time(), ZoneInfo(zone))
        return round((midnight + timedelta(hours=hour)).timestamp() * 1000)

    def previous_workday(self, day: int) -> int:
        """Return the last day up to this one that is no weekend's."""
        while self.is_weekend(day):
            day -= 1
        return day


def login(random: Random, at: int, **fields: Any) -> Event:
    """Return a login as its caller sends it; fields that are None are not sent, except `user_id`."""
    sent = {name: value for name, value in fields.items() if value is not None or name == "user_id"}
    return parse_event({"event_id": _event_id(random, at), "occurred_at": format_time(at), **sent})


def _event_id(random: Random, at: int) -> str:
    return f"{at:012x}{random.getrandbits(80):020x}"


def report(event: Event, result: str, minutes: float, **fields: Any) -> Report:
    """Return a report on an event, so many minutes after it."""
    at = (event.occurred_at or 0) + round(minutes * MINUTE_MS)
    return parse_report({"event_id": event.event_id, "result": result, "at": format_time(at), **fields})
