"""Whom to thank for the places on a page, and how old they are: shown wherever a place is."""

from dataclasses import dataclass

from starlette.requests import Request

from riskengine.console.office import office_of
from riskengine.locate.source import LINKS


@dataclass(frozen=True, slots=True)
class Credits:
    """Lines with where each leads (None for nowhere), the data's date, its age in days, and its level."""

    lines: tuple[tuple[str, str | None], ...]
    date: str
    age: int
    level: str


def credits(request: Request) -> Credits:
    """Return the credits of the data in use."""
    office = office_of(request)
    now = office.clock()
    source = office.live.engine.locator.source(now)
    lines = tuple((line, LINKS.get(line)) for line in source.attribution)
    return Credits(lines, source.date, max(source.age_days(now), 0), source.level)
