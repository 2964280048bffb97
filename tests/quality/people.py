"""The people of a population: where they live, what they own, when they log in, and what is particular about each."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from tests.quality.cities import City, cities, domestic, elsewhere, pick_city
from tests.quality.parameters import Parameters
from tests.quality.world import Block, Operator, World, operators

# Scenario ids of honest people; they are permanent. `plain` is who has none of the others.
TRAITS = (
    "flyer",
    "inflight",
    "roamer",
    "corporate_vpn",
    "commercial_vpn",
    "relay",
    "mislocated",
    "mobile_hub",
    "cookie_clearer",
    "deviceless",
    "device_changer",
    "cafe",
    "dual_stack",
    "dynamic",
    "satellite",
    "night_owl",
    "shift_worker",
    "new_hire",
    "idle",
    "office",
    "two_devices",
    "plain",
)
_UNREMARKABLE = ("office", "two_devices", "dynamic")  # who has only these is plain too

# Logins by hour of the local day. The day's shape is that of the RBA data set: low at night, level from 8 to 20 h.
DAYTIME = (1, 1, 0.5, 0.5, 0.5, 1, 3, 6, 9, 10, 10, 10, 9, 10, 10, 10, 10, 9, 8, 8, 8, 7, 5, 2)
_HOURS = {
    "office": (0, 0, 0, 0, 0, 0, 1, 4, 10, 10, 9, 8, 6, 8, 8, 8, 7, 5, 2, 1, 2, 2, 1, 0),
    "night": (9, 8, 7, 5, 2, 0.5, 0, 0, 0, 0, 0.5, 1, 1, 1, 1, 2, 2, 3, 4, 5, 6, 8, 9, 10),
    "early": (0, 0, 0, 0, 1, 6, 9, 8, 7, 7, 7, 7, 8, 6, 2, 1, 1, 1, 1, 1, 1, 0, 0, 0),
    "late": (1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 8, 8, 7, 7, 7, 7, 7, 8, 9, 4, 2),
    "nightly": (7, 7, 7, 7, 6, 8, 4, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 4, 9, 9, 8),
}
RATES = (3.6, 1.6, 0.5, 0.15)  # logins a working day of the four classes
_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0"
COMPUTERS: Mapping[str, float] = {
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36": 30,
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36 Edg/{{v}}.0.0.0": 14,
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/{v}.0 Safari/605.1.15": 14,
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_CHROME} Safari/537.36": 12,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0": 6,
    "Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0": 4,
}
PHONES: Mapping[str, float] = {
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/{v}.0 Mobile/15E148 Safari/604.1": 45,
    f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME} Mobile Safari/537.36": 40,
    "Mozilla/5.0 (Linux; Android 15; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/{v}.0 "
    "Chrome/{v}.0.0.0 Mobile Safari/537.36": 15,
}
VERSION, VERSION_DAYS = 140, 35  # browsers get a new version every four to six weeks


@dataclass(frozen=True)
class Device:
    """A computer or telephone (`mobile`) in use on the days from `first` to before `last`."""

    device_id: str
    agent: str
    mobile: bool
    first: int = 0
    last: int = 1 << 30
    drift: int = 0  # days since its browser's last new version, on day 0

    @property
    def apple(self) -> bool:
        """Whether a private relay can be had on it."""
        return "Version/" in self.agent and ("iPhone" in self.agent or "Macintosh" in self.agent)

    def user_agent(self, day: int) -> str:
        """Return the user agent on a day."""
        return self.agent.replace("{v}", str(VERSION + (day + self.drift) // VERSION_DAYS))


@dataclass(frozen=True)
class Company:
    """Where colleagues work: three cities with an office line each, and the two exits of their VPN."""

    offices: tuple[Block, ...]
    exits: tuple[Block, ...]


@dataclass(frozen=True)
class Person:
    """One honest user. Blocks are where they log in from, `host` is their number in each; `office` and `egress` are
    None without one; `vpn` lists the exits of a bought VPN, the usual one first."""

    user_id: str
    home: City
    traits: frozenset[str]
    rate: float
    first_day: int
    absent: range
    devices: tuple[Device, ...]
    host: int
    line: tuple[Block, ...]
    six: Block | None
    carrier: Operator
    sim: tuple[Block, ...]
    office: Block | None
    egress: Block | None
    vpn: tuple[Block, ...]
    vpn_share: float
    cafes: tuple[Block, ...]
    sends_zone: bool
    random: Random

    def hours(self, day: int) -> tuple[float, ...]:
        """Return the weights of the 24 hours of a local day."""
        if "shift_worker" in self.traits:
            return _HOURS[("early", "late", "nightly")[day // 7 % 3]]
        if "night_owl" in self.traits:
            return _HOURS["night"]
        return _HOURS["office"] if self.office else DAYTIME

    def devices_on(self, day: int) -> list[Device]:
        """Return the devices in use on a day."""
        return [one for one in self.devices if one.first <= day < one.last]


def company(world: World) -> Company:
    """Return the company that those with an office work for."""
    random = Random(f"{world.parameters.seed} company")
    large = [one for one in cities() if one.people >= 12]
    places = tuple(random.sample(large, 3))
    offices = tuple(world.block(random.choice(operators("broadband", one.country)), one, 90) for one in places)
    return Company(offices, tuple(_exit(world, place, random) for place in places[:2]))


def _exit(world: World, place: City, random: Random) -> Block:
    """Return a company's VPN exit: half of them on an ordinary line, the others on rented servers or a gateway."""
    kind = random.choices(("broadband", "hosting", "proxy"), (0.5, 0.3, 0.2))[0]
    return world.block(random.choice(operators(kind, place.country)), place, random.randrange(100, 140))


def population(world: World) -> list[Person]:
    """Return all honest users."""
    firm = company(world)
    return [_person(world, firm, number) for number in range(world.parameters.users)]


def _traits(parameters: Parameters, random: Random) -> frozenset[str]:
    found = {name for name in TRAITS[:-1] if random.random() < getattr(parameters, name)}
    if "flyer" not in found:
        found.discard("inflight")
    if "deviceless" in found:
        found -= {"cookie_clearer", "device_changer"}
    if "satellite" in found:
        found -= {"mislocated", "dual_stack", "dynamic"}
    return frozenset(found if found - set(_UNREMARKABLE) else found | {"plain"})


def _person(world: World, firm: Company, number: int) -> Person:
    settings = world.parameters
    random = Random(f"{settings.seed} person {number}")
    traits = _traits(settings, random)
    office = random.choice(firm.offices) if "office" in traits else None
    home = office.city if office else pick_city(random)
    carrier = random.choice(operators("mobile", home.country))
    shares = (settings.several_daily, settings.daily, settings.several_weekly)
    rate = random.choices(RATES, (*shares, max(1.0 - sum(shares), 0.0)))[0]
    away = random.randrange(5, max(settings.days - 25, 6)) if "idle" in traits else 0
    line = _line(world, home, traits, random)
    vpn_share = random.choice((0.2, 0.85)) if "commercial_vpn" in traits else 0.0
    return Person(
        user_id=f"u{number:03d}",
        home=home,
        traits=traits,
        rate=rate * random.uniform(0.8, 1.2),
        first_day=random.randrange(8, 28) if "new_hire" in traits else 0,
        absent=range(away, away + random.randrange(14, 29)) if away else range(0),
        devices=_devices(traits, settings, random),
        host=random.randrange(1 << 16),
        line=line,
        six=_six(world, line[0].operator, home, random) if "dual_stack" in traits else None,
        carrier=carrier,
        sim=sim(world, carrier, home, "mobile_hub" in traits, random),
        office=office,
        egress=_egress(world, firm, home, office, random) if "corporate_vpn" in traits else None,
        vpn=_bought(world, home, random) if vpn_share else (),
        vpn_share=vpn_share,
        cafes=_cafes(world, home, random) if "cafe" in traits else (),
        sends_zone=random.random() < settings.zone_sent,
        random=random,
    )


def _devices(traits: frozenset[str], settings: Parameters, random: Random) -> tuple[Device, ...]:
    """Return the devices of a person, of which a device_changer replaces one on some day."""
    first = random.random() < 0.3
    wanted = (False, True) if "two_devices" in traits else (first,)
    found = [_device(mobile, random) for mobile in wanted]
    if "device_changer" in traits:
        at, day = random.randrange(len(found)), random.randrange(10, settings.days - 5)
        old = found[at]
        new = _device(old.mobile, random)
        kept = Device(old.device_id, old.agent, old.mobile, 0, day, old.drift)
        found[at : at + 1] = [kept, Device(new.device_id, new.agent, new.mobile, day, drift=new.drift)]
    return tuple(found)


def _device(mobile: bool, random: Random) -> Device:
    agents = PHONES if mobile else COMPUTERS
    agent = random.choices(list(agents), list(agents.values()))[0]
    return Device(f"{random.getrandbits(64):016x}", agent, mobile, drift=random.randrange(VERSION_DAYS))


def _line(world: World, home: City, traits: frozenset[str], random: Random) -> tuple[Block, ...]:
    """Return the blocks that a home's addresses come from: one, of a dynamic line several of the operator's."""
    if "satellite" in traits:
        return (world.block(operators("satellite", home.country)[0], home, random.randrange(2)),)
    operator, number = random.choice(operators("broadband", home.country)), random.randrange(12)
    if "mislocated" in traits:
        return (world.block(operator, home, random.randrange(3), "gross"),)
    more = (number + step for step in range(random.randrange(2, 4))) if "dynamic" in traits else (number,)
    return tuple(world.block(operator, home, one % 12) for one in more)


def _six(world: World, operator: Operator, home: City, random: Random) -> Block:
    """Return the IPv6 block of a home: operators often serve it from another city than its IPv4 address."""
    return world.block(operator, home if random.random() < 0.5 else domestic(random, home), 0, "six")


def sim(world: World, carrier: Operator, place: City, hub: bool, random: Random) -> tuple[Block, ...]:
    """Return the blocks that a carrier's gateways give to whoever is in a city: of a `hub` user far ones among them."""
    near = [world.block(carrier, place, number) for number in random.sample(range(10), 4)]
    if hub:
        near += [world.block(carrier, domestic(random, place), random.randrange(10)) for _ in range(3)]
    return tuple(near)


def _egress(world: World, firm: Company, home: City, office: Block | None, random: Random) -> Block:
    """Return the VPN exit of a person's employer, which is in another city than they are, half the time abroad."""
    far = [one for one in firm.exits if one.city != home]
    if far and (office or random.random() < 0.3):
        return random.choice(far)
    return _exit(world, elsewhere(random, home, 0.5), random)


def _bought(world: World, home: City, random: Random) -> tuple[Block, ...]:
    """Return the exits of a bought VPN: a usual city, half the time at home, and a few others."""
    provider = random.randrange(len(operators("vpn", home.country)))
    places = [home if random.random() < 0.5 else elsewhere(random, home, 0.6)]
    places += [elsewhere(random, home, 0.8) for _ in range(12)]
    found = []
    for at, place in enumerate(places):
        operator = operators("vpn", place.country)[provider]
        found += [world.block(operator, place, number) for number in random.sample(range(12), 1 if at else 3)]
    return tuple(found)


def _cafes(world: World, home: City, random: Random) -> tuple[Block, ...]:
    return tuple(venue(world, home, random) for _ in range(random.randrange(1, 4)))


def venue(world: World, place: City, random: Random) -> Block:
    """Return the network of a café or hotel: a hotspot operator's, or (most of them) an ordinary line."""
    kind = "public_wifi" if random.random() < 0.4 else "broadband"
    number = 50 + random.randrange(6)
    return world.block(random.choice(operators(kind, place.country)), place, number)
