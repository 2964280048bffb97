"""Ordinary days: when people log in, on what, and through which network; and a program that never sleeps."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from riskengine.demo.month import Month, login, report
from riskengine.demo.networks import address, networks
from riskengine.demo.people import DAYS, SERVICE, Device, Person, Trip
from riskengine.event import Event, Report

Item = Event | Report
_TOOLS = {
    "engineering": ("git", "git", "wiki", "mail"),
    "sales": ("crm", "crm", "mail", "wiki"),
    "support": ("helpdesk", "helpdesk", "mail"),
    "finance": ("ledger", "mail", "ledger"),
    "admins": ("admin-console", "git", "mail"),
}
_PAYROLL = "payroll"
_WEEKEND, _OFFICE, _MISTYPED = 0.15, 0.55, 0.03
# How step-ups end that honest people are asked for.
_ENDS = {"step_up_passed": 94, "step_up_abandoned": 4, "step_up_failed": 2}


@dataclass(frozen=True, slots=True)
class Sitting:
    """Where somebody sits down to log in: the day, the hour by the clocks there, the device, the address.

    `is_shared`: strangers use the same network."""

    day: int
    hour: float
    zone: str
    device: Device
    ip: str
    at_hotel: bool = False
    is_shared: bool = False


def ordinary(person: Person, month: Month) -> Iterator[Item]:
    """Yield a person's logins of the month.

    Beside those that a policy may ask a step-up for stands how it would end: on a device or network of theirs that is
    new, for what is sensitive, and through what strangers share.
    """
    random = person.random
    enrolled: set[str] = set()
    known: set[tuple[str, str]] = set()
    for day in range(person.first_day, DAYS + 1):
        if day in person.away:
            continue
        for sitting in _sittings(person, month, day):
            device, network = sitting.device, sitting.ip.rpartition(".")[0]
            *before, event = _log_in(person, month, sitting, device.id not in enrolled)
            yield from (*before, event)
            if (device.id, network) not in known or event.sensitivity or sitting.is_shared:
                yield how_it_ends(random, event)
            enrolled.add(device.id)
            known.add((device.id, network))


def how_it_ends(random: Random, event: Event) -> Report:
    """Return how the step-up of somebody honest ends."""
    end = random.choices(list(_ENDS), list(_ENDS.values()))[0]
    if end == "step_up_passed":
        return report(event, end, random.uniform(0.15, 1.0), amr=["otp"])
    return report(event, end, random.uniform(1.0, 4.0))


def service(month: Month, seed: str) -> Iterator[Event]:
    """Yield the logins of a program: every six hours, from one server."""
    random = Random(f"{seed} {SERVICE}")
    server = address(networks()["Frankfurt", "server"][0], 38)
    for day in range(DAYS + 1):
        for hour in (0, 6, 12, 18):
            at = month.at(day, hour) + random.randrange(60_000, 90_000)
            yield login(random, at, user_id=SERVICE, ip=server, user_agent="backup-agent/3.2", resource="storage")


def _sittings(person: Person, month: Month, day: int) -> Iterator[Sitting]:
    random, trip = person.random, person.trip(day)
    computer, phone = person.device(day, False), person.device(day, True)
    if trip is not None:
        if day > trip.days.start:  # the first day is spent on the way
            yield from _elsewhere(person, trip, day)
        return
    if day and person.trip(day - 1) is not None:
        return  # and so is the day after the last
    zone = person.city.zone
    if month.is_weekend(day):
        if random.random() < _WEEKEND:
            device = random.choice((computer, phone))
            yield Sitting(day, random.uniform(9.5, 22), zone, device, person.at_home())
        return
    in_office = not person.at_night and random.random() < _OFFICE
    office = address(networks()[person.city.name, "office"][0], person.host % 8)
    is_hidden = not in_office and person.tunnel is not None and random.random() < 0.6
    tunnel = address(person.tunnel, person.host) if person.tunnel is not None else None
    desk = office if in_office else tunnel if is_hidden and tunnel else person.at_home()
    yield Sitting(day, person.begins + random.gauss(0, 0.25), zone, computer, desk, is_shared=is_hidden)
    if random.random() < 0.45:
        yield Sitting(day, person.begins + random.uniform(3.8, 6), zone, computer, desk, is_shared=is_hidden)
    if phone.is_phone and random.random() < 0.5:
        mobile = random.choice(networks()[person.city.name, "mobile"])
        yield Sitting(day, random.uniform(12, 19.5), zone, phone, address(mobile, random.randrange(250)))
    if not person.at_night and random.random() < 0.2:
        yield Sitting(day, random.uniform(20, 22.8), zone, random.choice((computer, phone)), person.at_home())


def _elsewhere(person: Person, trip: Trip, day: int) -> Iterator[Sitting]:
    random, hotel = person.random, networks()[trip.city, "hotel"][0]
    hours = sorted(random.uniform(7.5, 21.5) for _ in range(random.randrange(1, 4)))
    for hour in hours:
        device = person.device(day, random.random() < 0.4)
        outside = networks().get((trip.city, "mobile"))
        mobile = device.is_phone and outside and random.random() < 0.6
        ip = address(outside[0], random.randrange(250)) if mobile and outside else address(hotel, person.host % 3)
        yield Sitting(day, hour, trip.zone, device, ip, at_hotel=not mobile, is_shared=True)


def _log_in(person: Person, month: Month, sitting: Sitting, is_new: bool) -> Iterator[Event]:
    """Yield one login, now and then after a mistyped password. `is_new`: the first one on the device."""
    random, device = person.random, sitting.device
    at = month.at(sitting.day, sitting.hour, sitting.zone)
    came: dict[str, Any] = {
        "user_id": person.user_id,
        "ip": sitting.ip,
        "user_agent": device.user_agent(sitting.day),
        "device_id": device.id,
        "groups": [person.team],
        # A computer keeps the time of its owner's home.
        "timezone": sitting.zone if device.is_phone else person.city.zone,
    }
    if sitting.at_hotel:
        came["network"] = {"type": "wifi", "ssid": "Guest", "secured": False, "public": True}
    if random.random() < _MISTYPED:
        yield login(random, at - random.randrange(12_000, 45_000), outcome="failure", login=person.login, **came)
    pays = person.team == "finance" and random.random() < 0.06
    yield login(
        random,
        at,
        session_id=f"{random.getrandbits(96):024x}",
        resource=_PAYROLL if pays else random.choice(_TOOLS[person.team]),
        sensitivity="high" if pays else None,
        # What people had from the first day was enrolled with a second factor; what they got later was not.
        mfa={"result": "passed", "amr": ["otp"]} if is_new and not device.first else None,
        **came,
    )
