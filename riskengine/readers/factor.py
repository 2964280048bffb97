"""Second factors whose outcome a log holds in records of their own: joined to the logins they belong to.

One that ended before its login was logged becomes the login's `mfa`; one that ended after it, a report on it. Records
may come in either order, so both sides wait for the other, a bounded number of them.
"""

from collections import OrderedDict
from dataclasses import replace
from typing import TypeVar

from riskengine.event import Event, Mfa, Report
from riskengine.readers.log import Item

T = TypeVar("T")

# A second factor that ended further from a login is another's: a report on it would come too late.
_NEAR_MS = 30 * 60_000
# Logins, and second factors, that are remembered for each other.
_REMEMBERED = 65_536
_MFA = {"step_up_passed": "passed", "step_up_failed": "failed"}


class Factors:
    """The second factors and logins of one log, by what they share."""

    def __init__(self) -> None:
        self._logins: OrderedDict[str, Event] = OrderedDict()
        self._waiting: OrderedDict[str, Report] = OrderedDict()

    def login(self, event: Event, link: str | None) -> tuple[Item, ...]:
        """Return a login with what is known of its second factor; `link` None: it shares nothing."""
        if link is None:
            return (event,)
        _remember(self._logins, link, event)
        told = self._waiting.pop(link, None)
        return joined(event, told) if told is not None and _near(event, told) else (event,)

    def factor(self, told: Report, link: str | None) -> tuple[Item, ...]:
        """Return the report on a login that came before in the log; nothing where it did not, and is waited for."""
        if link is None:
            return ()
        login = self._logins.get(link)
        if login is not None and login.event_id is not None and _near(login, told) and not _before(told, login):
            return (replace(told, event_id=login.event_id),)
        _remember(self._waiting, link, told)
        return ()


def joined(event: Event, told: Report) -> tuple[Item, ...]:
    """Return a login and how its second factor ended, as `mfa` where that was before it, else as a report."""
    assert event.event_id is not None
    result = _MFA.get(told.result)
    if result is not None and event.mfa is None and _before(told, event):
        return (replace(event, mfa=Mfa(result, told.amr, told.at)),)
    return (event, replace(told, event_id=event.event_id))


def _near(event: Event, told: Report) -> bool:
    return abs((told.at or 0) - (event.occurred_at or 0)) <= _NEAR_MS


def _before(told: Report, event: Event) -> bool:
    return (told.at or 0) <= (event.occurred_at or 0)


def _remember(kept: OrderedDict[str, T], link: str, value: T) -> None:
    kept[link] = value
    kept.move_to_end(link)
    if len(kept) > _REMEMBERED:
        kept.popitem(last=False)
