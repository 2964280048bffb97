"""Attackers with the right password: five kinds, each login of theirs one scenario with its label."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from riskengine.event import DAY_MS
from riskengine.geo import R99_PER_R67
from tests.quality.cities import City, apart_km, between_km, cities_of, countries, pick_city
from tests.quality.journeys import MINUTE_MS, START_MS
from tests.quality.logins import Login
from tests.quality.people import COMPUTERS, PHONES, VERSION, VERSION_DAYS, Person
from tests.quality.world import Block, World, operators, unlisted

# Scenario ids of attacks; they are permanent.
LABELS = ("naive", "vpn_in_country", "targeted", "stolen_session", "stuffing")
EARLIER_LOGINS = 8  # a victim has had at least so many, the first of them a warm-up ago
FASTEST_KMH = 1150.0
_FAR_KM = 500.0  # a stolen session is truly used elsewhere, not only where a database puts it
# Where attackers sit more often than people do: choice, after takeovers in the RBA data set (RO, NO, BR, ID, IT lead).
_HOTBEDS = {"RO": 4.0, "RU": 4.0, "NG": 4.0, "UA": 3.0, "VN": 3.0, "ID": 2.0, "BR": 2.0, "CN": 2.0, "TR": 2.0}
# What an end is taken to be known by where the database states no radius, and never better than; km, 67 %.
_RADIUS = {"mobile": (1000.0, 250.0)}
_OTHER_RADIUS = (170.0, 25.0)
_SCRIPTS = ("python-requests/2.32.3", "Go-http-client/2.0", "okhttp/4.12.0")


@dataclass(frozen=True)
class Attack:
    """One attempt. `user_id` is None for a name without account, which `login` then tells."""

    label: str
    user_id: str | None
    time: int
    address: str
    agent: str
    device_id: str | None
    zone: str | None
    succeeded: bool = True
    login: str | None = None


@dataclass(frozen=True)
class Target:
    """A user as attackers find them: the person, and their logins in order of time."""

    person: Person
    logins: Sequence[Login]
    times: Sequence[int]


class Attackers:
    """All attackers on one population."""

    def __init__(self, world: World, of_user: Mapping[str, Sequence[Login]]) -> None:
        self.world, self.settings = world, world.parameters
        self.random = Random(f"{self.settings.seed} attackers")
        self.targets = [Target(some[0].person, some, [one.time for one in some]) for some in of_user.values() if some]
        self.begin = START_MS + (self.settings.warm_up_days + 1) * DAY_MS  # a day in which most have logged in once
        self.end = START_MS + self.settings.days * DAY_MS - DAY_MS // 4

    def attacks(self) -> Iterator[Attack]:
        """Yield every attempt, kind after kind."""
        kinds: tuple[Callable[[Target, int], Attack], ...] = (self._naive, self._vpn_in_country, self._targeted)
        for kind in kinds:
            for _ in range(self.settings.attacks):
                time = self.random.randrange(self.begin, self.end)
                yield kind(self._victim(time), time)
        yield from self._stolen_sessions()
        if self.settings.attacks:
            yield from self._stuffing()

    def _victim(self, time: int) -> Target:
        """Return a user with enough of a history before a time, the likelier the more they log in."""
        known = time - self.settings.warm_up_days * DAY_MS
        found = [
            target
            for target in self.targets
            if target.times[0] <= known and bisect_right(target.times, time) >= EARLIER_LOGINS
        ]
        return self.random.choices(found, [len(target.logins) ** 0.5 for target in found])[0]

    def _attack(self, label: str, target: Target, time: int, block: Block, place: City) -> Attack:
        """Return an attack by somebody in `place` with a computer like many."""
        sends = self.random.random() < self.settings.attacker_zone
        return Attack(
            label=label,
            user_id=target.person.user_id,
            time=time,
            address=block.address(self.random.randrange(250)),
            agent=self._common_agent(time),
            device_id=self._strange_device(),
            zone=place.zone if sends else None,
        )

    def _common_agent(self, time: int) -> str:
        among = COMPUTERS if self.random.random() < 0.75 else PHONES
        agent = self.random.choices(list(among), list(among.values()))[0]
        return agent.replace("{v}", str(VERSION + (time - START_MS) // DAY_MS // VERSION_DAYS))

    def _strange_device(self) -> str | None:
        return None if self.random.random() < 0.5 else f"{self.random.getrandbits(64):016x}"

    def _somewhere(self, near: str | None = None) -> City:
        """Return where an attacker sits: in the country `near`, or anywhere, in large countries not much more often."""
        weights = {name: people**0.75 * _HOTBEDS.get(name, 1.0) for name, people in countries().items()}
        country = near or self.random.choices(list(weights), list(weights.values()))[0]
        return pick_city(self.random, cities_of(country))

    def _residential(self, place: City, but: int = 0) -> Block:
        """Return a home's block in a city, of any operator but one."""
        among = [one for one in operators("broadband", place.country) if one.asn != but]
        return self.world.block(self.random.choice(among), place, self.random.randrange(12))

    def _rented(self, place: City) -> Block:
        """Return a data centre's block."""
        return self.world.block(
            self.random.choice(operators("hosting", place.country)), place, self.random.randrange(6)
        )

    def _naive(self, target: Target, time: int) -> Attack:
        """From anywhere, as whatever."""
        near = self.random.random() < self.settings.naive_near
        place = self._somewhere(target.person.home.country if near else None)
        dice = self.random.random()
        if dice < self.settings.naive_hosting:
            block = self._rented(place)
        elif dice < self.settings.naive_hosting + (1 - self.settings.naive_hosting) * self.settings.naive_proxied:
            operator = self.random.choice(operators("broadband", place.country))
            block = self.world.block(operator, place, 20 + self.random.randrange(6), "proxied")
        else:
            block = self._residential(place)
        return self._attack("naive", target, time, block, place)

    def _vpn_in_country(self, target: Target, time: int) -> Attack:
        """From anywhere, through an exit in the victim's country."""
        exit_city = pick_city(self.random, cities_of(target.person.home.country))
        if self.random.random() < 0.2:
            block = self._rented(exit_city)
        else:
            operator = self.random.choice(operators("vpn", exit_city.country))
            block = self.world.block(operator, exit_city, self.random.randrange(12))
        return self._attack("vpn_in_country", target, time, block, self._somewhere())

    def _targeted(self, target: Target, time: int) -> Attack:
        """From the victim's city, with the victim's software, on another operator's line."""
        person, day = target.person, (time - START_MS) // DAY_MS
        block = self._residential(person.home, person.line[0].operator.asn)
        plain = self._attack("targeted", target, time, block, person.home)
        usual = person.devices_on(day)[0]
        return Attack(
            "targeted", plain.user_id, time, plain.address, usual.user_agent(day), plain.device_id, plain.zone
        )

    def _stolen_sessions(self) -> Iterator[Attack]:
        """Yield the victim's own device at an impossible place, minutes after a login of theirs."""
        left = self.settings.attacks
        while left:
            target = self._victim(self.random.randrange(self.begin, self.end))
            at = self.random.randrange(len(target.logins))
            login = target.logins[at]
            gap = round(self.random.uniform(2, 30) * MINUTE_MS)
            place = self._somewhere()
            block = self._hideout(place)
            if at >= EARLIER_LOGINS and login.time >= self.begin and _unreachable(login, place, block, gap):
                left -= 1
                yield self._stolen(login, gap, place, block)

    def _stolen(self, login: Login, gap: int, place: City, block: Block) -> Attack:
        sends_zone = login.person.sends_zone
        zone = login.zone if sends_zone and self.random.random() < 0.5 else place.zone
        sends = sends_zone or self.random.random() < self.settings.attacker_zone
        return Attack(
            label="stolen_session",
            user_id=login.person.user_id,
            time=login.time + gap,
            address=block.address(self.random.randrange(250)),
            agent=login.device.user_agent(login.day),
            device_id=login.device_id,
            zone=zone if sends else None,
        )

    def _hideout(self, place: City) -> Block:
        dice = self.random.random()
        if dice < 0.6:
            return self._residential(place)
        if dice < 0.8:
            carrier = self.random.choice(operators("mobile", place.country))
            return self.world.block(carrier, place, self.random.randrange(10))
        return self._rented(place)

    def _stuffing(self) -> Iterator[Attack]:
        """Yield the runs of lists of names and passwords: few addresses, many users, mostly in vain."""
        successes = self.settings.attacks // 2
        attempts = round(successes / self.settings.stuffing_successes)
        runs = round(self.settings.campaigns)
        for run in range(runs):
            begin = self.random.randrange(self.begin, self.end - DAY_MS)
            length = round(self.random.uniform(20, 120) * MINUTE_MS)
            sources = self._sources()
            scripted = self.random.random() < 0.5
            own = attempts // runs + (run < attempts % runs)
            lucky = set(self.random.sample(range(own), successes // runs + (run < successes % runs)))
            for number in range(own):
                time = begin + length * number // own
                agent = self.random.choice(_SCRIPTS) if scripted else self._common_agent(time)
                yield self._attempt(time, self.random.choice(sources), agent, number in lucky)

    def _sources(self) -> list[str]:
        """Return the one to three addresses of a run: servers, unlisted VPN exits or homes."""
        place = self._somewhere()
        blocks = (self._rented(place), self.world.block(unlisted("vpn", place.country), place, 14))
        chosen = [self.random.choice((*blocks, self._residential(place))) for _ in range(self.random.randrange(1, 4))]
        return [block.address(self.random.randrange(250)) for block in chosen]

    def _attempt(self, time: int, address: str, agent: str, succeeds: bool) -> Attack:
        if succeeds:
            return Attack("stuffing", self._victim(time).person.user_id, time, address, agent, None, None)
        if self.random.random() < self.settings.stuffing_unknown:
            name = f"name{self.random.randrange(100_000)}"
            return Attack("stuffing", None, time, address, agent, None, None, False, name)
        user_id = self.random.choice(self.targets).person.user_id
        return Attack("stuffing", user_id, time, address, agent, None, None, False)


def _unreachable(login: Login, place: City, block: Block, gap: int) -> bool:
    """Return whether nobody gets from a login, which must mask nobody, to a place within `gap` ms, by the databases
    and in truth."""
    open_ = login.via in ("home", "office", "mobile", "cafe", "hotel")
    told = open_ and login.block.operator.kind in ("broadband", "mobile")
    far = login.city is not None and between_km(login.city, place) >= _FAR_KM
    return told and far and impossible(login.block, block, gap)


def impossible(one: Block, other: Block, gap: int) -> bool:
    """Return whether even the nearest points of both ends' 99 % discs are too far apart for `gap` ms."""
    if not (one.located and other.located):
        return False
    ends = [float(block.record[name]) for block in (one, other) for name in ("latitude", "longitude")]
    between = apart_km(*ends) - R99_PER_R67 * (_radius(one) + _radius(other))
    return between > FASTEST_KMH * gap / 3_600_000


def _radius(block: Block) -> float:
    default, floor = _RADIUS.get(block.operator.kind, _OTHER_RADIUS)
    return max(float(block.record.get("radius", default)), floor)
