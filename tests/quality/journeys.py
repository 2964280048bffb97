"""Where an honest person is at any time: at home, under way or away, and never faster than an airliner."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from riskengine.engine.rows import HOUR_MS, zone_offset
from riskengine.event import DAY_MS
from tests.quality.cities import City, between_km, elsewhere
from tests.quality.people import Person

START_MS = 1_788_739_200_000  # Monday 7 September 2026, 00:00 UTC; summer time ends within the seven weeks
MINUTE_MS = 60_000
_FLYING_KM = 350.0  # nearer places are reached by train or car
_FLIGHT_KMH, _GROUND_KMH = 850.0, 90.0  # gate to gate an airliner makes no more than this, a journey by land less


class Stage(Enum):
    """Where somebody is."""

    HOME = auto()
    UNDER_WAY = auto()
    AWAY = auto()


@dataclass(frozen=True)
class Leg:
    """A journey to a city, whoever goes there staying until the next one; times are ms since 1970."""

    city: City
    flown: bool
    leaves: int
    arrives: int


@dataclass(frozen=True)
class Whereabouts:
    """Where somebody is at a time; `free` is when they next can be reached on the ground."""

    stage: Stage
    city: City
    free: int
    flown: bool = False


def local(day: int, hour: float, zone: str) -> int:
    """Return the time in ms since 1970 at which a clock in the zone shows an hour of a day of the population's."""
    naive = START_MS + day * DAY_MS + round(hour * HOUR_MS)
    return naive - round(zone_offset(zone, naive // HOUR_MS)) * MINUTE_MS


def legs(person: Person, days: int, seldom: float) -> list[Leg]:
    """Return a person's journeys in order of time: each goes to one or more cities and ends at home.

    `seldom` is the chance that somebody who does not travel for their living goes on one.
    """
    random = person.random
    far = "flyer" in person.traits or "roamer" in person.traits
    if not far and random.random() >= seldom:
        return []
    found: list[Leg] = []
    day = random.uniform(2, 14) if far else random.uniform(3, days - 4)
    for _ in range(random.randrange(2, 6) if far else 1):
        trip = _trip(person, day, far)
        if trip[-1].arrives > START_MS + (days - 1) * DAY_MS:
            break
        found += trip
        day = (trip[-1].arrives - START_MS) / DAY_MS + random.uniform(1, 10)
    return found


def _trip(person: Person, day: float, far: bool) -> list[Leg]:
    """Return the legs of a journey that begins in the daytime of a day."""
    random = person.random
    time, place, found = local(int(day), random.uniform(6, 19), person.home.zone), person.home, []
    onward = random.choices((1, 2, 3), (0.6, 0.3, 0.1))[0] if far else 1
    for stop in range(onward + 1):
        city = person.home if stop == onward else elsewhere(random, place, 0.75 if far else 0.3)
        if city == place:
            continue
        found.append(_leg(place, city, time))
        time = found[-1].arrives + round(min(random.lognormvariate(0.9, 0.7), 14.0) * DAY_MS)
        time += random.randrange(4 * HOUR_MS)
        place = city
    return found


def _leg(place: City, city: City, leaves: int) -> Leg:
    km = between_km(place, city)
    flown = km > _FLYING_KM
    hours = 0.5 + km / _FLIGHT_KMH if flown else 0.3 + km / _GROUND_KMH
    return Leg(city, flown, leaves, leaves + round(hours * HOUR_MS))


def whereabouts(person: Person, journey: Sequence[Leg], time: int) -> Whereabouts:
    """Return where a person is at a time."""
    last = next((leg for leg in reversed(journey) if leg.leaves <= time), None)
    if last is None:
        return Whereabouts(Stage.HOME, person.home, time)
    if time < last.arrives:
        return Whereabouts(Stage.UNDER_WAY, last.city, last.arrives, last.flown)
    return Whereabouts(Stage.HOME if last.city == person.home else Stage.AWAY, last.city, time)
