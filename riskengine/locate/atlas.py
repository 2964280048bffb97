"""All databases of one moment, asked together: what they say of an address, made one fact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, NamedTuple, TypeVar

import numpy as np

from riskengine.batch import ITEM, Located, country_code, country_letters
from riskengine.locate.address import Scope, is_v4, number, scope
from riskengine.locate.country import Country, is_centroid
from riskengine.locate.database import Database, stamp
from riskengine.locate.listing import Listed
from riskengine.locate.record import NAN, Spot, System
from riskengine.locate.registry import Registry
from riskengine.metrics import LOCATED_HIT, LOCATED_MISS
from riskengine.network import Kind, Trait

T = TypeVar("T")
# From this radius on a place without a city stands for its country (science reference, section 4).
COUNTRY_KM = 500.0
# Facts kept: twice this many, each well under 1 kB.
CACHED = 32_768
_LOW = 2**64 - 1

FIELDS = (
    *("latitude", "longitude", "given_radius", "located", "country", "asn", "traits", "listed"),
    *("listed_confidence", "address_high", "address_low"),
)
PLACE = np.dtype([(name, ITEM[name]) for name in FIELDS])


@dataclass(frozen=True, slots=True)
class Label:
    """The words of a place: for people, never for scoring. `country` is two letters, dates are ISO."""

    city: str | None = None
    region: str | None = None
    country: str | None = None
    as_name: str | None = None
    evidence: str | None = None
    evidence_date: str | None = None
    timezone: str | None = None
    country_name: str | None = None

    def __hash__(self) -> int:
        return hash((self.city, self.as_name))  # the rest costs more than it tells apart: each answer looks labels up

    def place(self) -> str | None:
        """Return what to call the place: its city, with the region where that says more; None without a city.

        >>> Label("Chiyoda City", "Tokyo").place(), Label("Lisbon", "Lisbon").place(), Label(None, "Ohio").place()
        ('Chiyoda City, Tokyo', 'Lisbon', None)
        """
        if self.city is None or self.region is None or self.region in self.city:
            return self.city
        return f"{self.city}, {self.region}"


class Fact(NamedTuple):
    """What is known of a network: the fields of PLACE before the address, and the label."""

    row: tuple[float, float, float, int, int, int, int, int, float]
    label: Label


class Hint(NamedTuple):
    """What the built-in table says of one address."""

    country: str | None
    asn: int
    traits: int
    spans_block: bool


NO_HINT = Hint(None, 0, 0, True)
_NO_SPOT, _NO_SYSTEM = Spot(), System()
UNKNOWN = Fact((NAN, NAN, NAN, Located.UNKNOWN, 0, 0, 0, 0, 0.0), Label())
PRIVATE = Fact((NAN, NAN, NAN, Located.PRIVATE, 0, 0, int(Trait.PRIVATE), 0, 0.0), Label())


@dataclass(frozen=True, slots=True)
class Files:
    """The MaxMind-format files in use; `own_city` says that the city files are the operator's."""

    city: tuple[Database[Spot], ...] = ()
    own_city: bool = False
    asn: tuple[Database[System], ...] = ()
    anonymous: tuple[Database[int], ...] = ()

    def all(self) -> tuple[Database[Any], ...]:
        """Every file, city first."""
        return self.city + self.asn + self.anonymous


class Atlas:
    """Files and built-in tables of one moment. They never change, so any number of threads may ask."""

    def __init__(
        self,
        files: Files,
        registry: Registry,
        listing: Mapping[int, Listed],
        countries: Mapping[str, Country],
    ) -> None:
        self.files, self.registry, self.listing, self.countries = files, registry, listing, countries
        # Two generations: a full young one becomes the old one, and what is still asked for moves over.
        self._young: dict[int, Fact] = {}
        self._old: dict[int, Fact] = {}

    def places(self, addresses: Sequence[str]) -> tuple[np.ndarray, list[Label]]:
        """Return a PLACE row and a label for each text; what is not an address is unknown, at address 0."""
        numbers = [number(text) for text in addresses]
        facts = self._facts(numbers)
        rows = np.array([(*fact.row, *_halves(value or 0)) for fact, value in zip(facts, numbers, strict=True)], PLACE)
        return rows, [fact.label for fact in facts]

    def stale(self) -> bool:
        """Return whether a file was replaced or removed since it was opened."""
        return any(stamp(file.path) != file.stamp for file in self.files.all())

    def hints(self, high: np.ndarray, low: np.ndarray) -> list[Hint]:
        """Return what the built-in table says of addresses as two columns of 64 bits."""
        entry = self.registry.find(high, low)
        codes = map(country_letters, entry.country.tolist())
        columns = (entry.asn.tolist(), entry.traits.tolist(), entry.spans_block.tolist())
        return [Hint(*one) for one in zip(codes, *columns, strict=True)]

    def _facts(self, numbers: Sequence[int | None]) -> list[Fact]:
        """Return the fact of each 128-bit address; unknown for None."""
        found = [UNKNOWN if value is None else self._cached(value) for value in numbers]
        missing = [(at, value) for at, value in enumerate(numbers) if value is not None and found[at] is None]
        LOCATED_HIT.inc(len(numbers) - len(missing))
        LOCATED_MISS.inc(len(missing))
        if missing:
            fresh = self._fresh([value for _, value in missing])
            for (at, _), fact in zip(missing, fresh, strict=True):
                found[at] = fact
        return [fact or UNKNOWN for fact in found]

    def _cached(self, value: int) -> Fact | None:
        for key in (_block(value), _single(value)):
            fact = self._young.get(key)
            if fact is not None:
                return fact
            fact = self._old.get(key)
            if fact is not None:
                self._keep(key, fact)
                return fact
        return None

    def _keep(self, key: int, fact: Fact) -> None:
        if len(self._young) >= CACHED:
            self._old, self._young = self._young, {}
        self._young[key] = fact

    def _fresh(self, values: Sequence[int]) -> list[Fact]:
        """Return what all databases say of addresses, and keep it for the networks that it is true of."""
        high, low = halves(values)
        hints = self.hints(high, low)
        city, asn = _ask(self.files.city, high, low), _ask(self.files.asn, high, low)
        anonymous = _ask(self.files.anonymous, high, low)
        return list(map(self._fact, values, hints, city, asn, anonymous))

    def _fact(
        self,
        value: int,
        hint: Hint,
        city: tuple[Spot | None, int],
        system: tuple[System | None, int],
        flags: tuple[int | None, int],
    ) -> Fact:
        """Return the fact of one address from each source's answer and the prefix that it is true of."""
        where = scope(value)
        if where is Scope.PRIVATE:
            return PRIVATE
        spot = city[0]
        if where is Scope.DOCUMENTATION:
            hint, spot = NO_HINT, spot if self.files.own_city else None
        if where is Scope.DOCUMENTATION and spot is None and system[0] is None and flags[0] is None:
            fact = PRIVATE
        else:
            fact = self._compose(spot or _NO_SPOT, system[0] or _NO_SYSTEM, flags[0] or 0, hint)
        wide = max(city[1], system[1], flags[1]) <= (24 if is_v4(value) else 48)
        self._keep(_block(value) if wide and hint.spans_block else _single(value), fact)
        return fact

    def _compose(self, spot: Spot, system: System, flags: int, hint: Hint) -> Fact:
        """Return one fact; the first to know the ASN wins: Enterprise, the ASN file, the built-in table."""
        asn = spot.asn or system.asn or hint.asn
        listed = self.listing.get(asn)
        letters = spot.country if spot.country in self.countries else None
        letters = letters or (hint.country if spot.country is None else None)
        latitude, longitude, radius, located = _settle(spot, self.countries.get(letters or ""))
        row = (
            *(
                latitude,
                longitude,
                radius,
                located,
                country_code(letters),
                asn,
                spot.traits | flags | hint.traits,
            ),
            *((int(listed.kind), listed.confidence) if listed else (int(Kind.UNKNOWN), 0.0)),
        )
        name = spot.as_name or system.name or (self.registry.name(asn) if asn else None)
        label = Label(
            spot.city,
            spot.region,
            letters,
            name or (listed.name if listed else None),
            listed.evidence if listed else None,
            listed.date if listed else None,
            spot.timezone,
            self.countries[letters].name if letters else None,
        )
        return Fact(row, label)


def _settle(spot: Spot, country: Country | None) -> tuple[float, float, float, int]:
    """Return latitude, longitude, given radius and Located: the spot's own point, or else its country's.

    A point is a place when a city is named, when a radius below COUNTRY_KM is stated (but not where
    databases put what they do not know), or when it comes without a country (an operator's own file).
    """
    known = not isnan(spot.latitude)
    exact = spot.radius_km < COUNTRY_KM and not is_centroid(spot.latitude, spot.longitude)
    if known and (spot.city is not None or exact or spot.country is None or country is None):
        return spot.latitude, spot.longitude, spot.radius_km, Located.PLACE
    if country is not None:
        radius = country.radius_km if isnan(spot.radius_km) else max(spot.radius_km, country.radius_km)
        return country.latitude, country.longitude, radius, Located.COUNTRY
    return NAN, NAN, NAN, Located.UNKNOWN


def _ask(files: Sequence[Database[T]], high: np.ndarray, low: np.ndarray) -> list[tuple[T | None, int]]:
    """Return for each address what the first file that knows it says, and the longest prefix that this hung on."""
    found: list[tuple[T | None, int]] = [(None, 0)] * len(high)
    for file in files:
        answers = file.ask(high, low)
        found = [
            (said if said is not None else more, max(prefix, longer))
            for (said, prefix), more, longer in zip(found, answers.found, answers.prefix, strict=True)
        ]
    return found


def halves(values: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return 128-bit addresses as two columns of 64 bits."""
    # Each in one stretch of memory: for columns with gaps, which those of one row are not, the walks are compiled anew.
    high, low = np.array([_halves(value) for value in values], np.uint64).reshape(-1, 2).T.copy()
    return high, low


def _halves(value: int) -> tuple[int, int]:
    """Return 128 bits as two times 64."""
    return value >> 64, value & _LOW


def _block(value: int) -> int:
    """Return the key of an address's /24 or /48; IPv6 below zero, so that no two keys meet."""
    return value >> 8 if is_v4(value) else -(value >> 80) - 1


def _single(value: int) -> int:
    """Return the key of an address alone, above all blocks."""
    return value + (1 << 128)
