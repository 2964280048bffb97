"""Every login of an honest person: when, on which device, and through which network."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from riskengine.event import DAY_MS
from tests.quality.cities import City
from tests.quality.journeys import MINUTE_MS, START_MS, Leg, Stage, Whereabouts, legs, local, whereabouts
from tests.quality.people import Device, Person, sim, venue
from tests.quality.world import Block, World, landing, operators

_MOST_A_DAY = 8
_WORKING_HOURS = range(8, 19)


@dataclass(frozen=True)
class Login:
    """One login. `via` is how the network is used: home, mobile, roaming, office, cafe, hotel, flight, corporate_vpn,
    commercial_vpn or relay. `city` is where the person truly is, None in the air; `day` counts from the first."""

    person: Person
    time: int
    day: int
    device: Device
    device_id: str | None
    via: str
    block: Block
    address: str
    city: City | None
    zone: str  # of the device's clock


@dataclass(frozen=True)
class _Moment:
    """What decides how one login reaches the service."""

    person: Person
    world: World
    time: int
    day: int
    hour: float
    device: Device
    place: Whereabouts

    @property
    def working(self) -> bool:
        return self.day % 7 < 5 and int(self.hour) in _WORKING_HOURS


def logins(person: Person, world: World) -> list[Login]:
    """Return a person's logins in order of time."""
    days = world.parameters.days
    journeys = legs(person, days, world.parameters.seldom)
    found: list[Login] = []
    for day in range(person.first_day, days):
        if day not in person.absent:
            found += _day(person, world, journeys, day)
    end = START_MS + days * DAY_MS
    return sorted((one for one in found if one.time < end), key=lambda one: one.time)


def _day(person: Person, world: World, journeys: list[Leg], day: int) -> Iterator[Login]:
    """Yield the logins of a day, which is that of the place where the person wakes up."""
    random, settings = person.random, world.parameters
    rate = person.rate * (settings.weekend if day % 7 >= 5 else 1.0)
    zone = whereabouts(person, journeys, local(day, 12.0, person.home.zone)).city.zone
    for _ in range(min(_poisson(rate, person), _MOST_A_DAY)):
        hour = random.choices(range(24), person.hours(day))[0] + random.random()
        yield from _login(person, world, journeys, local(day, hour, zone))
        if random.random() < settings.again:
            later = local(day, hour, zone) + round(random.uniform(1, 20) * MINUTE_MS)
            yield from _login(person, world, journeys, later)


def _poisson(rate: float, person: Person) -> int:
    """Return how many logins a day has, at `rate` on average."""
    found, gone = 0, person.random.expovariate(rate)
    while gone < 1.0:
        found, gone = found + 1, gone + person.random.expovariate(rate)
    return found


def _login(person: Person, world: World, journeys: list[Leg], time: int) -> Iterator[Login]:
    """Yield the login made at about `time`: who cannot log in on the way does it on arrival."""
    random = person.random
    place = whereabouts(person, journeys, time)
    if place.stage is Stage.UNDER_WAY and not (place.flown and "inflight" in person.traits):
        time = place.free + round(random.uniform(10, 90) * MINUTE_MS)
        place = whereabouts(person, journeys, time)
        if place.stage is Stage.UNDER_WAY:
            return
    if time < START_MS:  # where the day begins before it does at UTC
        return
    day = (time - START_MS) // DAY_MS
    devices = person.devices_on(day)
    device = devices[0] if len(devices) == 1 or random.random() < 0.6 else devices[1]
    away = place.stage is not Stage.HOME
    zone = person.home.zone if away and not device.mobile and person.host % 10 < 3 else place.city.zone
    hour = (time - local(day, 0.0, place.city.zone)) / 3_600_000 % 24
    moment = _Moment(person, world, time, day, hour, device, place)
    via, block, number = _connect(moment)
    city = None if place.stage is Stage.UNDER_WAY else place.city
    address = block.address(number)
    yield Login(person, time, day, device, _device_id(person, device), via, block, address, city, zone)


def _device_id(person: Person, device: Device) -> str | None:
    if "deviceless" in person.traits:
        return None
    cleared = "cookie_clearer" in person.traits and person.random.random() < 0.85
    return f"{person.random.getrandbits(64):016x}" if cleared else device.device_id


def _connect(moment: _Moment) -> tuple[str, Block, int]:
    """Return how the person connects, through which block, and as which host in it."""
    tunnel = _tunnel(moment)
    if tunnel is not None:
        return tunnel
    if moment.place.stage is Stage.UNDER_WAY:
        return _flight(moment)
    return _away(moment) if moment.place.stage is Stage.AWAY else _home(moment)


def _tunnel(moment: _Moment) -> tuple[str, Block, int] | None:
    """Return the VPN or relay that hides the network underneath, if one is in use."""
    person, random, world = moment.person, moment.person.random, moment.world
    if person.egress and moment.working and not moment.device.mobile and random.random() < 0.6:
        return "corporate_vpn", person.egress, random.randrange(4)
    if person.vpn and random.random() < person.vpn_share:
        usual = random.random() < 0.75
        block = random.choice(person.vpn[:3] if usual else person.vpn[3:])
        return "commercial_vpn", block, random.randrange(250)
    if "relay" in person.traits and moment.device.apple and random.random() < 0.8:
        city = moment.place.city
        operator = random.choice(operators("relay", city.country))
        return "relay", world.block(operator, city, random.randrange(10)), random.randrange(250)
    return None


def _flight(moment: _Moment) -> tuple[str, Block, int]:
    """Return the cabin's network: mostly an operator's known for it, else an ordinary line at its ground station."""
    random, world = moment.person.random, moment.world
    cabin = operators("inflight", moment.person.home.country)[moment.person.host % 4]
    place = landing(cabin)
    operator = operators("broadband", place.country)[0] if random.random() < 0.15 else cabin
    return "flight", world.block(operator, place, 70 + random.randrange(2)), random.randrange(250)


def _away(moment: _Moment) -> tuple[str, Block, int]:
    """Return the network of somebody on a journey: the hotel's, or the telephone's, routed through home or not."""
    person, random, world, place = moment.person, moment.person.random, moment.world, moment.place.city
    if random.random() >= (0.6 if moment.device.mobile else 0.15):
        hotel = venue(world, place, Random(f"{world.parameters.seed} {person.user_id} {place.name}"))
        return "hotel", hotel, random.randrange(3)
    abroad = place.country != person.home.country
    if abroad and "roamer" in person.traits:
        return "roaming", random.choice(person.sim), random.randrange(250)
    carrier = operators("mobile", place.country)[person.host % 2] if abroad else person.carrier
    return "mobile", random.choice(sim(world, carrier, place, False, random)), random.randrange(250)


def _home(moment: _Moment) -> tuple[str, Block, int]:
    """Return the network of somebody where they live: their line, telephone, office or café."""
    person, random = moment.person, moment.person.random
    present = _chance(person, moment.day) < 0.6  # days at the office
    if person.office and moment.working and present and random.random() < (0.6 if moment.device.mobile else 0.95):
        return "office", person.office, random.randrange(3)
    if person.cafes and 9 <= moment.hour < 20 and random.random() < 0.2:
        return "cafe", random.choice(person.cafes), random.randrange(2)
    if random.random() < (0.45 if moment.device.mobile else 0.04):
        return "mobile", random.choice(person.sim), random.randrange(250)
    if person.six and random.random() < 0.6:
        return "home", person.six, person.host
    if len(person.line) == 1:
        return "home", person.line[0], person.host
    turn = (moment.day + person.host) // (3 + person.host % 6)  # a dynamic line's address lives for some days
    return "home", person.line[turn % len(person.line)], person.host + turn * 37


def _chance(person: Person, day: int) -> float:
    """Return a number, 0 to 1, that is the same for all of a person's day."""
    return (person.host * 40_503 + day * 9_973) % 1009 / 1009
