"""Who works at the company of the demo: two hundred people of four cities, and one account that is a program's."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from itertools import product
from random import Random

from riskengine.demo.networks import address, networks

DAYS = 30
PEOPLE = 200
SERVICE = "svc-backup"


@dataclass(frozen=True, slots=True)
class City:
    """Where people live: the time zone, how many of the company, and what they are called."""

    name: str
    zone: str
    share: int
    given: tuple[str, ...]
    family: tuple[str, ...]


CITIES = (
    City(
        "Lisbon",
        "Europe/Lisbon",
        80,
        ("ana", "beatriz", "carlos", "diogo", "filipa", "ines", "joao", "mariana", "nuno", "rita", "rui", "tiago"),
        ("almeida", "carvalho", "costa", "ferreira", "lopes", "marques", "oliveira", "pereira", "santos", "silva"),
    ),
    City(
        "London",
        "Europe/London",
        55,
        ("adam", "amelia", "daniel", "grace", "harry", "isla", "jack", "olivia", "priya", "sophie", "thomas"),
        ("ahmed", "brown", "clarke", "evans", "hughes", "khan", "patel", "taylor", "walker", "wright"),
    ),
    City(
        "New York",
        "America/New_York",
        45,
        ("anthony", "carmen", "david", "emily", "jessica", "kevin", "luis", "michelle", "nicole", "rachel"),
        ("brooks", "chen", "cohen", "diaz", "garcia", "johnson", "miller", "rivera", "russo", "williams"),
    ),
    City(
        "Berlin",
        "Europe/Berlin",
        20,
        ("anna", "felix", "greta", "jonas", "lena", "lukas", "mia", "paul", "selin", "tobias"),
        ("bauer", "becker", "fischer", "kruger", "neumann", "schulz", "weber", "wolf", "yilmaz", "zimmermann"),
    ),
)
TEAMS = {"engineering": 70, "sales": 50, "support": 40, "finance": 25, "admins": 5}
# Where people of the company go, its own cities apart.
ABROAD = {
    "Paris": "Europe/Paris",
    "Madrid": "Europe/Madrid",
    "Tokyo": "Asia/Tokyo",
    "Singapore": "Asia/Singapore",
    "Boston": "America/New_York",
}
_COMPUTERS = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 "
    "Safari/537.36": 45,
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 "
    "Safari/537.36": 25,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0": 12,
    "Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0": 8,
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 "
    "Safari/605.1.15": 10,
}
_PHONES = {
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 "
    "Mobile/15E148 Safari/604.1": 50,
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Mobile "
    "Safari/537.36": 50,
}
VERSION = 142  # of browsers, on the month's first days


@dataclass(frozen=True, slots=True)
class Device:
    """A computer or telephone, in use from the day `first` to before the day `last`."""

    id: str
    agent: str
    is_phone: bool = False
    first: int = 0
    last: int = DAYS + 1

    def user_agent(self, day: int) -> str:
        """Return the user agent on a day; browsers renew themselves within the month."""
        return self.agent.replace("{v}", str(VERSION + (day >= 17)))


@dataclass(frozen=True, slots=True)
class Trip:
    """A stay in another city, on the days `days`."""

    city: str
    zone: str
    days: range


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the company. `begins` is the local hour of their first login; `away` are days without any.

    `tunnel` is the VPN they bought, None without one; `host` their number wherever they get an address.
    """

    user_id: str
    city: City
    team: str
    devices: tuple[Device, ...]
    home: IPv4Network
    host: int
    begins: float
    at_night: bool = False
    first_day: int = 0
    away: range = range(0)
    trips: tuple[Trip, ...] = ()
    tunnel: IPv4Network | None = None
    random: Random = field(default_factory=Random, compare=False)

    @property
    def login(self) -> str:
        """Their name as they type it."""
        return f"{self.user_id}@example.com"

    def device(self, day: int, on_phone: bool) -> Device:
        """Return what they use on a day: the phone if they have one and that is asked for, else the computer."""
        usable = [one for one in self.devices if one.first <= day < one.last]
        return next((one for one in usable if one.is_phone == on_phone), usable[0])

    def trip(self, day: int) -> Trip | None:
        """Return the stay elsewhere that a day belongs to."""
        return next((trip for trip in self.trips if day in trip.days), None)

    def at_home(self) -> str:
        """Return their address at home."""
        return address(self.home, self.host)


def people(seed: str) -> list[Person]:
    """Return everybody but the program, the same for the same seed."""
    found: list[Person] = []
    for city in CITIES:
        names = list(product(city.given, city.family))
        Random(f"{seed} {city.name}").shuffle(names)
        found += [_person(seed, city, f"{given}.{family}", len(found)) for given, family in names[: city.share]]
    return found


def _person(seed: str, city: City, user_id: str, number: int) -> Person:
    random = Random(f"{seed} {user_id}")
    team = random.choices(list(TEAMS), list(TEAMS.values()))[0]
    at_night = team == "support" and random.random() < 0.25
    away = random.randrange(2, DAYS - 7) if random.random() < 0.12 else 0
    vpn = random.random() < 0.04
    return Person(
        user_id=user_id,
        city=city,
        team=team,
        devices=_devices(random),
        home=random.choice(networks()[city.name, "home"]),
        host=number,
        begins=22.0 if at_night else random.gauss(8.7, 0.6),
        at_night=at_night,
        first_day=random.randrange(8, 20) if random.random() < 0.03 else 0,
        away=range(away, away + random.randrange(5, 11)) if away else range(0),
        trips=_trips(random, city) if team in ("sales", "engineering") and random.random() < 0.16 else (),
        tunnel=random.choice(networks()["London", "vpn"]) if vpn else None,
        random=random,
    )


def _devices(random: Random) -> tuple[Device, ...]:
    """Return a computer, of some people another one from some day on, and of most a phone."""
    computer = Device(*_made(random, _COMPUTERS))
    found = [computer]
    if random.random() < 0.06:
        day = random.randrange(6, DAYS - 1)
        found = [Device(computer.id, computer.agent, last=day), Device(*_made(random, _COMPUTERS), first=day)]
    if random.random() < 0.7:
        found.append(Device(*_made(random, _PHONES), is_phone=True))
    return tuple(found)


def _made(random: Random, agents: dict[str, int]) -> tuple[str, str]:
    return f"{random.getrandbits(64):016x}", random.choices(list(agents), list(agents.values()))[0]


def _trips(random: Random, city: City) -> tuple[Trip, ...]:
    """Return one or two stays elsewhere, the first of them after a week at home."""
    cities = ABROAD | {one.name: one.zone for one in CITIES if one.name in ("London", "New York") and one != city}
    found, day = [], random.randrange(7, 16)
    for name in random.sample(list(cities), random.choice((1, 1, 2))):
        length = random.randrange(2, 6)
        found.append(Trip(name, cities[name], range(day, day + length)))
        day += length + random.randrange(4, 9)
    return tuple(found)
