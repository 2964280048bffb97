"""What a population is made of: every share and rate, the ranges it is drawn from, and why it is what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from random import Random
from typing import Any

TUNING_SEEDS = range(10)
REPORTING_SEEDS = range(100, 110)


def drawn(narrow: tuple[float, float], wide: tuple[float, float], why: str) -> Any:
    """Return a field drawn evenly from `narrow` to tune on and from `wide` to report on; its default is the middle."""
    return field(default=sum(narrow) / 2, metadata={"narrow": narrow, "wide": wide, "why": why})


@dataclass(frozen=True)
class Parameters:
    """One population. Shares are 0 to 1; `why` of a field says where its range comes from, "choice" where from us."""

    seed: int = 0
    users: int = 250
    days: int = 50
    warm_up_days: int = 21  # what is measured comes after three weeks of history
    attacks: int = 60  # scenarios of each kind

    # How often and when people log in.
    several_daily: float = drawn((0.18, 0.24), (0.12, 0.30), "choice: users with 3.6 logins a working day")
    daily: float = drawn((0.38, 0.46), (0.30, 0.50), "choice: users with 1.6 logins a working day")
    several_weekly: float = drawn((0.20, 0.26), (0.15, 0.30), "choice: users with three a week; the rest one a week")
    weekend: float = drawn((0.50, 0.80), (0.25, 0.90), "of a weekday's logins; RBA data set: 0.86, work: less")
    again: float = drawn((0.12, 0.18), (0.06, 0.24), "choice: logins that another one follows 1 to 20 min later")
    mistyped: float = drawn((0.02, 0.04), (0.02, 0.06), "choice: logins that a wrong password or two comes before")
    abandoned: float = drawn((0.02, 0.04), (0.01, 0.06), "choice: step-ups that honest people give up on")
    high_resource: float = drawn((0.02, 0.04), (0.01, 0.06), "choice: logins that name a resource of high sensitivity")
    zone_sent: float = drawn((0.50, 0.70), (0.20, 0.90), "choice: users whose client tells its time zone")

    # Who they are: shares of users.
    office: float = drawn((0.35, 0.55), (0.0, 0.8), "choice: 0 is a consumer service, 0.8 one company in three cities")
    two_devices: float = drawn((0.45, 0.60), (0.30, 0.70), "choice: a computer and a telephone")
    flyer: float = drawn((0.20, 0.26), (0.12, 0.32), "choice: often on journeys, two to five in the seven weeks")
    seldom: float = drawn((0.12, 0.18), (0.05, 0.25), "choice: of the others, who go on one journey in seven weeks")
    inflight: float = drawn((0.30, 0.50), (0.20, 0.60), "choice: of flyers, who log in from the cabin")
    roamer: float = drawn((0.06, 0.09), (0.03, 0.12), "choice: travel with a SIM that is routed through home")
    corporate_vpn: float = drawn((0.08, 0.12), (0.05, 0.20), "choice: work through a company's exit in another city")
    commercial_vpn: float = drawn((0.06, 0.10), (0.04, 0.14), "choice: bought VPN, half of them for most logins")
    relay: float = drawn((0.04, 0.06), (0.02, 0.10), "choice: private relay on an Apple device")
    mislocated: float = drawn((0.02, 0.04), (0.01, 0.05), "gross errors of fixed lines: 0.02 in models of travel")
    mobile_hub: float = drawn((0.08, 0.12), (0.05, 0.18), "carrier gateways hundreds of km apart within seconds")
    cookie_clearer: float = drawn((0.06, 0.09), (0.04, 0.12), "choice: another device id at most logins")
    deviceless: float = drawn((0.08, 0.12), (0.04, 0.18), "choice: clients that send no device id at all")
    device_changer: float = drawn((0.10, 0.16), (0.08, 0.24), "a device lasts three years: 0.13 in seven weeks for two")
    cafe: float = drawn((0.08, 0.12), (0.05, 0.18), "choice: now and then from a café or library")
    dual_stack: float = drawn((0.25, 0.40), (0.15, 0.55), "IPv6 at about 45 % of users of large sites")
    dynamic: float = drawn((0.15, 0.25), (0.10, 0.35), "choice: home lines whose address changes within the operator's")
    satellite: float = drawn((0.01, 0.02), (0.0, 0.03), "choice: homes on a satellite operator")
    night_owl: float = drawn((0.04, 0.06), (0.02, 0.08), "choice")
    shift_worker: float = drawn((0.03, 0.05), (0.02, 0.08), "choice: mornings, evenings and nights by the week")
    new_hire: float = drawn((0.03, 0.05), (0.02, 0.08), "choice: first seen in the second to fourth week")
    idle: float = drawn((0.02, 0.03), (0.01, 0.05), "choice: away for two to four weeks")

    # What databases say.
    fixed_error_km: float = drawn((7.0, 9.0), (3.0, 16.0), "median error of fixed lines: 3 to 16 km in four databases")
    mobile_error_km: float = drawn((180.0, 200.0), (150.0, 220.0), "median error of mobile: 179 to 207 km")
    radius_absent: float = drawn((0.05, 0.10), (0.0, 0.30), "choice: records without a radius; DB-IP states none")
    fixed_abroad: float = drawn((0.008, 0.014), (0.0, 0.02), "fixed lines that databases put abroad: 1.2 %")
    mobile_abroad: float = drawn((0.02, 0.04), (0.0, 0.05), "mobile ones: 3.2 %, as two databases differ")
    country_only: float = drawn((0.02, 0.04), (0.01, 0.08), "choice: records without a city")
    unlocated: float = drawn((0.003, 0.008), (0.0, 0.015), "about 1 % of random addresses have no record")
    vpn_unflagged: float = drawn((0.15, 0.25), (0.10, 0.30), "choice: VPN exits that no list knows")
    vpn_as_hosting: float = drawn((0.15, 0.25), (0.10, 0.30), "choice: VPN exits that are flagged as hosting only")

    # What attackers do.
    naive_hosting: float = drawn((0.25, 0.35), (0.15, 0.50), "choice: naive attackers on rented servers")
    naive_proxied: float = drawn((0.10, 0.20), (0.0, 0.30), "choice: of the other ones, on a flagged residential proxy")
    naive_near: float = drawn((0.0, 0.04), (0.0, 0.12), "choice: naive ones in the victim's country beyond chance")
    attacker_zone: float = drawn((0.40, 0.60), (0.10, 0.70), "choice: attackers whose client tells a time zone")
    campaigns: float = drawn((4.0, 6.0), (3.0, 8.0), "choice: stuffing runs")
    stuffing_successes: float = drawn((0.016, 0.024), (0.010, 0.030), "about 98 % of stuffing fails")
    stuffing_unknown: float = drawn((0.40, 0.50), (0.20, 0.60), "45 % of the RBA data set's attempts name nobody known")


def tuning(seed: int, **changes: Any) -> Parameters:
    """Return the parameters of a population to tune on (TUNING_SEEDS)."""
    return _draw(seed, "narrow", changes)


def reporting(seed: int, **changes: Any) -> Parameters:
    """Return the parameters of a population to report on (REPORTING_SEEDS)."""
    return _draw(seed, "wide", changes)


def of_seed(seed: int, **changes: Any) -> Parameters:
    """Return a seed's parameters: from the wide ranges for REPORTING_SEEDS and above, else from the narrow ones."""
    return reporting(seed, **changes) if seed >= REPORTING_SEEDS.start else tuning(seed, **changes)


def _draw(seed: int, which: str, changes: Mapping[str, Any]) -> Parameters:
    random = Random(f"parameters {seed}")
    ranges = {one.name: one.metadata[which] for one in fields(Parameters) if which in one.metadata}
    found: dict[str, Any] = {name: random.uniform(*ends) for name, ends in ranges.items()}
    return replace(Parameters(seed), **{**found, **changes})
