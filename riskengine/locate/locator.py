"""Locating: a column of addresses becomes columns of places and of what is known about their networks."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from riskengine.batch import Located, country_letters
from riskengine.errors import DataError
from riskengine.locate import country, listing, manifest, registry
from riskengine.locate.address import number, plain
from riskengine.locate.atlas import PLACE, Atlas, Files, Label
from riskengine.locate.database import ANONYMOUS, ASN, CITY, FETCHED, Database, Stamp, open_all, stamp
from riskengine.locate.held import HELD, Note, accepted, forget, still_held, write
from riskengine.locate.movement import FAR_KM, MOST_MOVED, Movement, movement
from riskengine.locate.record import Spot
from riskengine.locate.source import (
    DAY_MS,
    GEONAMES_CREDIT,
    IPFIRE_CREDIT,
    DataSource,
    degradation,
    licence_of,
    widening,
)
from riskengine.locate.typed import describe
from riskengine.network import Trait
from riskengine.settings import package_files

__all__ = ["PLACE", "DataSource", "Label", "Locator", "Places"]


@dataclass(frozen=True, slots=True)
class Places:
    """Where addresses are: `columns` is an array of PLACE, `labels` the words for people, one an address."""

    columns: np.ndarray
    labels: list[Label]


@dataclass(frozen=True, slots=True)
class Paths:
    """What to open: the home with fetched data, and the operator's own files, which win over it."""

    home: Path | None
    city: Path | None
    asn: Path | None
    anonymous: Path | None


@dataclass(frozen=True, slots=True)
class View:
    """Everything open at one moment; `problem` says why fetched data that exists is not used, or None."""

    atlas: Atlas
    fetched: manifest.Manifest | None
    stamp: Stamp
    problem: str | None


class Locator:
    """Answers where addresses are. Threads may locate at once, also while another reloads."""

    def __init__(self, paths: Paths) -> None:
        """Open what `paths` names; `Locator.open` is the usual way."""
        self._paths = paths
        self._view = _look(paths)
        self._held: Note | None = None
        self._held_at = self._view.stamp

    @classmethod
    def open(
        cls,
        home: Path | None,
        city: Path | None = None,
        asn: Path | None = None,
        anonymous: Path | None = None,
    ) -> "Locator":
        """Open the data in `home`/geo and the operator's files (GEOIP_CITY, GEOIP_ASN, GEOIP_ANONYMOUS).

        An operator's file that is missing, unreadable, damaged or of another type raises DataError with one
        sentence naming setting and file. Fetched data that is missing or damaged does not: the built-in
        country-level table answers then, and `source` says so.
        """
        return cls(Paths(home, city, asn, anonymous))

    def locate(self, addresses: Sequence[str]) -> Places:
        """Return the place of each address; each distinct one is looked up once.

        No address makes this fail: what no database knows is Located.UNKNOWN with NaN coordinates.
        """
        distinct = {text: at for at, text in enumerate(dict.fromkeys(addresses))}
        rows, labels = self._view.atlas.places(list(distinct))
        if len(distinct) == len(addresses):
            return Places(rows, labels)
        order = [distinct[text] for text in addresses]
        return Places(rows[order], [labels[at] for at in order])

    def source(self, now_ms: int | None = None) -> DataSource:
        """Return what the places come from, as of `now_ms` (ms since 1970; default: the clock)."""
        return _source(self._view, time.time_ns() // 1_000_000 if now_ms is None else now_ms)

    def problem(self) -> str | None:
        """Return a sentence on why fetched data that exists is not used, None when nothing is wrong."""
        return self._view.problem

    def files(self) -> tuple[Database[Any], ...]:
        """Return the MaxMind-format files in use."""
        return self._view.atlas.files.all()

    def held(self) -> str | None:
        """Return a sentence on new files that are held back, None when those in use are those that there are."""
        return self._held.says if self._held else None

    def reload(self) -> bool:
        """Open everything anew if a file changed, in one step; return whether it did.

        When an operator's new file cannot be used DataError says so and the old ones stay in use. They also stay when
        new ones move an implausible share of places, until these are replaced or accepted; `held` says so then, and so
        does a note in the home.
        """
        view = self._view
        if not view.atlas.stale() and view.stamp == _manifest_stamp(self._paths.home):
            self._let_go()
            return False
        marked = _manifest_stamp(self._paths.home)
        if self._held is not None and self._held_at == marked and still_held(self._paths.home, self._held):
            return False
        fresh = _look(self._paths)
        files = tuple((str(file.path), file.stamp) for file in fresh.atlas.files.all())
        found = movement(view.atlas.files.city, fresh.atlas.files.city)
        if not found.plausible() and not accepted(self._paths.home, files):
            self._hold(Note(files, _sentence(found)), marked)
            return False
        self._view = fresh
        self._let_go()
        return True

    def _hold(self, note: Note, marked: Stamp) -> None:
        self._held, self._held_at = note, marked
        if self._paths.home is not None:
            write(self._paths.home, HELD, note)

    def _let_go(self) -> None:
        if self._held is not None:
            self._held = None
            forget(self._paths.home, HELD)

    def explain(self, address: str) -> dict[str, Any]:
        """Return all that every database says of one address, and what was made of it, as JSON-able values.

        Keys, in order: address, located, latitude, longitude, radius_km, country, city, region, timezone,
        asn, as_name, traits, databases (a list of objects: name, file, type, date, licence, says).
        """
        view = self._view
        columns, (label,) = view.atlas.places([address])
        row = columns[0]
        value = number(address)
        return {
            "address": plain(value) if value is not None else address,
            "located": Located(row["located"]).name.lower(),
            "latitude": _none(row["latitude"]),
            "longitude": _none(row["longitude"]),
            "radius_km": _none(row["given_radius"]),
            "country": country_letters(int(row["country"])),
            "city": label.city,
            "region": label.region,
            "timezone": label.timezone,
            "asn": int(row["asn"]) or None,
            "as_name": label.as_name,
            "traits": [trait.name.lower() for trait in Trait if trait & int(row["traits"]) and trait.name],
            "databases": [] if value is None else describe(view.atlas, view.fetched, value, int(row["asn"])),
        }


def _look(paths: Paths) -> View:
    """Open everything that there is."""
    data = package_files("data")
    marked = _manifest_stamp(paths.home)  # before reading: a set that comes meanwhile is seen at the next reload
    fetched, problem, city = _open_city(paths)
    files = Files(
        city,
        paths.city is not None,
        open_all(paths.asn, ASN) if paths.asn else (),
        open_all(paths.anonymous, ANONYMOUS) if paths.anonymous else (),
    )
    atlas = Atlas(
        files,
        registry.load(data / "asn.npz"),
        listing.load(data / "networks.csv"),
        country.load(data / "countries.csv"),
    )
    return View(atlas, fetched, marked, problem)


def _sentence(found: Movement) -> str:
    return (
        f"The new geolocation files are held back: {found.share():.0%} of {found.sampled:,} addresses would move by "
        f"more than {FAR_KM:.0f} km, to another country or to nowhere, and an edition moves less than "
        f"{MOST_MOVED:.0%}. Replace them, or say `riskengine geo accept`."
    )


def _open_city(paths: Paths) -> tuple[manifest.Manifest | None, str | None, tuple[Database[Spot], ...]]:
    """Return the city files, the operator's or else the fetched ones with manifest, or why not these."""
    if paths.city is not None:
        return None, None, open_all(paths.city, CITY)
    try:
        found = manifest.installed(paths.home) if paths.home else None
        if paths.home is None or found is None:
            return None, None, ()
        folder = manifest.geo_folder(paths.home) / found.folder
        return found, None, tuple(Database(folder / file.name, FETCHED) for file in found.files)
    except DataError as error:
        return None, str(error), ()


def _manifest_stamp(home: Path | None) -> Stamp:
    return stamp(manifest.geo_folder(home) / manifest.CURRENT) if home else (0, 0, 0)


def _source(view: View, now_ms: int) -> DataSource:
    """Return the source of a view's places as of `now_ms`."""
    return _told(view.atlas, view.fetched, any(file.damaged for file in view.atlas.files.all()), now_ms // DAY_MS)


@lru_cache(8)  # asked for by every batch, and another one only by the day
def _told(atlas: Atlas, found: manifest.Manifest | None, damaged: bool, day: int) -> DataSource:
    files = atlas.files
    credits = (IPFIRE_CREDIT, GEONAMES_CREDIT)
    if found is not None:
        fresh = DataSource(found.name, found.date, found.licence, found.attribution + credits, "city", (), 1.0)
    elif files.city:
        oldest = min(files.city, key=lambda file: file.built)
        licence, lines = licence_of(oldest.type)
        fresh = DataSource(oldest.type, oldest.date, licence, lines + credits, "city", (), 1.0)
    else:
        date = atlas.registry.date
        fresh = DataSource("IPFire Location", date, "CC BY-SA 4.0", credits, "country", (), 1.0)
    age = fresh.age_days(day * DAY_MS)
    return DataSource(
        fresh.name,
        fresh.date,
        fresh.licence,
        fresh.attribution,
        fresh.level,
        degradation(fresh.level, age, damaged),
        float(widening(np.array([age]))[0]),
    )


def _none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
