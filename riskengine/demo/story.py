"""The whole month of the demo: what everybody did, what went wrong, in order of time and up to now."""

from riskengine.demo.habits import Item, ordinary, service
from riskengine.demo.incidents import incidents
from riskengine.demo.month import Month
from riskengine.demo.people import people
from riskengine.engine.arrival import Remedy
from riskengine.event import Event

SEED = "1"


def story(now: int, seed: str = SEED) -> list[Item | Remedy]:
    """Return the items of the month that ends at `now` (ms since 1970), in order of time.

    The same day and seed give the same items, up to `now`. A step-up's end stands after each honest login, in case the
    policy asks for one.
    """
    month, staff = Month(now), people(seed)
    everyday: list[Item] = [item for person in staff for item in ordinary(person, month)]
    everyday += service(month, seed)
    logins = [item for item in everyday if isinstance(item, Event)]
    every = [*everyday, *incidents(staff, month, logins, seed)]
    return sorted((item for item in every if _time(item) <= now), key=_time)


def _time(item: Item | Remedy) -> int:
    at = item.occurred_at if isinstance(item, Event) else item.at
    assert at is not None
    return at
