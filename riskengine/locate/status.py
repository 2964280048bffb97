"""The state of the geolocation data, for `riskengine geo status`: which, how old, whose, what to do."""

import time
from dataclasses import dataclass
from pathlib import Path

from riskengine.errors import DataError
from riskengine.locate import manifest
from riskengine.locate.held import held
from riskengine.locate.locator import Locator
from riskengine.locate.source import DAMAGED, DataSource

# DB-IP and its peers come out monthly; GeoLite2's licence wants old editions gone in 30 days.
WARN_DAYS = 35
GEOLITE_DAYS = 30


@dataclass(frozen=True, slots=True)
class FileState:
    """One MaxMind-format file in use: path, type, build date (ISO), age in days, size in bytes."""

    path: Path
    type: str
    date: str
    age_days: int
    size: int


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the data.

    `source` is None when an operator's file cannot be used, and then `problem` says which and why;
    `problem` also says why fetched data is not used. `warnings` are sentences for people; `fetched` and
    `previous` are the manifests of the installed set and the one before.
    """

    source: DataSource | None
    age_days: int | None
    files: tuple[FileState, ...]
    fetched: manifest.Manifest | None
    previous: manifest.Manifest | None
    problem: str | None
    warnings: tuple[str, ...]


def status(
    home: Path,
    city: Path | None = None,
    asn: Path | None = None,
    anonymous: Path | None = None,
    now_ms: int | None = None,
) -> Status:
    """Return the state of the data these settings give at `now_ms` (ms since 1970; default: the clock)."""
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    fetched, before = _manifest(home / "geo" / manifest.CURRENT), _manifest(home / "geo" / manifest.PREVIOUS)
    try:
        locator = Locator.open(home, city, asn, anonymous)
    except DataError as error:
        return Status(None, None, (), fetched, before, str(error), ())
    source = locator.source(now)
    files = tuple(
        FileState(file.path, file.type, file.date, (now // 1000 - file.built) // 86_400, file.stamp[1])
        for file in locator.files()
    )
    warnings = _warnings(source, source.age_days(now), files)
    why = held(home, [file.path for file in files])
    if why is not None:
        warnings = (why, *warnings)
    return Status(source, source.age_days(now), files, fetched, before, locator.problem(), warnings)


def _warnings(source: DataSource, age: int, files: tuple[FileState, ...]) -> tuple[str, ...]:
    """Return a sentence for each thing that somebody should do."""
    found = []
    if source.level == "country":
        found.append("Only country-level location is built in; run `riskengine geo fetch` for cities.")
    elif age > WARN_DAYS:
        found.append(f"{source.name} is {age} days old; it widens radii {source.radius_factor:.2f} times.")
    found += [
        f"{file.path.name} is {file.age_days} days old; its licence wants it replaced within {GEOLITE_DAYS}."
        for file in files
        if "GeoLite2" in file.type and file.age_days > GEOLITE_DAYS
    ]
    if DAMAGED in source.degraded:
        found.append("A file holds records that cannot be decoded; replace it.")
    return tuple(found)


def _manifest(path: Path) -> manifest.Manifest | None:
    """Return a manifest, None when there is none or it is damaged: then the locator's problem says so."""
    try:
        return manifest.read(path)
    except DataError:
        return None
