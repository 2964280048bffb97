"""What went wrong in the month: passwords tried out, sessions stolen, a journey nobody makes, a patient guess."""

from collections.abc import Iterator, Sequence
from random import Random

from riskengine.demo.habits import Item, how_it_ends
from riskengine.demo.month import MINUTE_MS, Month, login, report
from riskengine.demo.networks import address, networks
from riskengine.demo.people import CITIES, DAYS, Person
from riskengine.engine.arrival import Remedy
from riskengine.event import Event, Report

ATTEMPTS, LENGTH_MINUTES, RIGHT = 640, 70, 3
_SCRIPT = "python-requests/2.32.3"
_THIEF = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36"
)


def incidents(staff: Sequence[Person], month: Month, everyday: Sequence[Event], seed: str) -> Iterator[Item | Remedy]:
    """Yield what thieves did, and what the security team said of it. `everyday` are the logins of everybody."""
    random = Random(f"{seed} incidents")
    yield from _stuffing(staff, month, random)
    hanoi, lagos, tokyo = (networks()[city, "thief"][0] for city in ("Hanoi", "Lagos", "Tokyo"))
    # A stolen session, found out within hours, and over.
    event = _last_of(staff, "London", everyday, month.at(month.previous_workday(DAYS - 14), 13))
    theft = _stolen(random, event, address(hanoi, 61), 14)
    found = report(theft, "confirmed_compromised", 150)
    over = Remedy(str(theft.user_id), (found.at or 0) + 20 * 60 * MINUTE_MS)
    yield from (theft, report(theft, "step_up_failed", 0.7), found, over)
    yield from _at_risk(random, everyday, theft.user_id, range(found.at or 0, over.at))
    # A journey that nobody makes, confirmed the day after: that user is at risk.
    event = _last_of(staff, "New York", everyday, month.at(month.previous_workday(DAYS - 4), 17))
    at = (event.occurred_at or 0) + 40 * MINUTE_MS
    journey = login(
        random, at, user_id=event.user_id, ip=address(tokyo, 17), user_agent=_THIEF, timezone="Asia/Tokyo",
        resource="mail", groups=list(event.groups),
    )  # fmt: skip
    found = report(journey, "confirmed_compromised", 21 * 60)
    yield from (journey, report(journey, "step_up_abandoned", 3), found)
    yield from _at_risk(random, everyday, journey.user_id, range(found.at or 0, month.now))
    # Another stolen session, which nobody has looked at yet.
    event = _last_of(staff, "Lisbon", everyday, month.at(month.previous_workday(DAYS - 1), 12))
    for minutes, end in ((11, "step_up_failed"), (16, "step_up_abandoned")):
        theft = _stolen(random, event, address(lagos, 140), minutes)
        yield from (theft, report(theft, end, 1.2))
    yield from _roaming(staff, month, random)
    yield from _patient_guess(staff, month, random)


def _at_risk(random: Random, everyday: Sequence[Event], user_id: str | None, times: range) -> Iterator[Report]:
    """Yield how the step-ups end that a user at risk is asked for at each login."""
    for event in everyday:
        if event.user_id == user_id and event.outcome == "success" and event.occurred_at in times:
            yield how_it_ends(random, event)


def _last_of(staff: Sequence[Person], city: str, everyday: Sequence[Event], before: int) -> Event:
    """Return the last login on a computer by somebody of a city, whose place is no secret, before a time."""
    stays = (one for one in staff if one.city.name == city and not one.trips and one.tunnel is None)
    computers = {one.devices[0].id for one in stays}
    known = [one for one in everyday if one.device_id in computers and one.outcome == "success"]
    return max((one for one in known if (one.occurred_at or 0) < before), key=lambda one: one.occurred_at or 0)


def _stolen(random: Random, event: Event, ip: str, minutes: int) -> Event:
    """Return a use of somebody's session elsewhere, minutes after their login, by all that their browser sends."""
    return login(
        random,
        (event.occurred_at or 0) + minutes * MINUTE_MS,
        user_id=event.user_id,
        ip=ip,
        action="access",
        user_agent=event.user_agent,
        device_id=event.device_id,
        session_id=event.session_id,
        timezone=event.timezone,
        groups=list(event.groups),
        resource=event.resource,
    )


def _stuffing(staff: Sequence[Person], month: Month, random: Random) -> Iterator[Item]:
    """Yield a night in which a list of names and passwords is tried from three addresses: few of them are right."""
    begins = month.at(DAYS - 9, 2.2)
    sources = [
        address(network, 23) for network in (*networks()["Amsterdam", "guessing"], *networks()["Bucharest", "guessing"])
    ]
    names = [f"{given}.{family}" for city in CITIES for given in city.given for family in CITIES[0].family]
    strangers = sorted({*names} - {one.user_id for one in staff})
    right = set(random.sample(range(60, ATTEMPTS), RIGHT))
    for number in range(ATTEMPTS):
        at = begins + number * LENGTH_MINUTES * MINUTE_MS // ATTEMPTS + random.randrange(5_000)
        source, whose = random.choice(sources), random.choice(staff)
        if number in right:
            yield (event := login(random, at, user_id=whose.user_id, ip=source, user_agent=_SCRIPT, login=whose.login))
            yield report(event, "step_up_abandoned", 12)
        elif random.random() < 0.45:
            name = f"{random.choice(strangers)}@example.com"
            yield login(random, at, user_id=None, login=name, ip=source, user_agent=_SCRIPT, outcome="failure")
        else:
            name = whose.login
            yield login(random, at, user_id=whose.user_id, login=name, ip=source, user_agent=_SCRIPT, outcome="failure")


def _roaming(staff: Sequence[Person], month: Month, random: Random) -> Iterator[Item]:
    """Yield what looks impossible and is not: a traveller's phone that its operator routes through home."""
    for person in staff:
        phone = person.device(0, True)
        trip = next((one for one in person.trips if one.city in ("Tokyo", "Singapore") and len(one.days) > 2), None)
        if trip is None or not phone.is_phone:
            continue
        mobile = networks()[person.city.name, "mobile"][0]
        event = login(
            random,
            month.at(trip.days.start + 2, 12.4, trip.zone),
            user_id=person.user_id,
            ip=address(mobile, 77),
            user_agent=phone.user_agent(trip.days.start),
            device_id=phone.id,
            groups=[person.team],
            timezone=trip.zone,
            resource="mail",
        )
        yield from (event, report(event, "step_up_passed", 0.6, amr=["otp"]), report(event, "confirmed_safe", 95))
        return


def _patient_guess(staff: Sequence[Person], month: Month, random: Random) -> Iterator[Item]:
    """Yield a night's guesses at one administrator's password, through Tor."""
    target, tor = next(one for one in staff if one.team == "admins"), networks()["Berlin", "tor"][0]
    at = month.at(DAYS - 1, 20.5)
    for number in range(14):
        at += random.randrange(90_000, 240_000)
        event = login(
            random, at, user_id=target.user_id, login=target.login, ip=address(tor, 10 + number % 5),
            user_agent=_THIEF, outcome="failure",
        )  # fmt: skip
        yield event
    yield report(event, "dismissed", 45)
