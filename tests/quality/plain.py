"""The field's plain rules over the same located log, to compare with: one question each, no score.

Each keeps a history of what it let in, and of what an honest user proved; an attacker it challenges goes away.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import isnan

from riskengine.batch import Batch
from riskengine.event import Event
from tests.quality.cities import apart_km
from tests.quality.population import LEGITIMATE, Log

FASTEST_KMH = 805.0  # 500 mph, the default of several products


@dataclass
class Known:
    """What a plain rule remembers of a user."""

    place: tuple[float, float, int] | None = None  # degrees, and when in ms
    countries: set[int] = field(default_factory=set)
    devices: set[str | None] = field(default_factory=set)


@dataclass(frozen=True)
class Sight:
    """What a plain rule sees of a login; `country` 0 and a NaN latitude are unknown."""

    event: Event
    latitude: float
    longitude: float
    country: int


def _too_fast(known: Known, sight: Sight) -> bool:
    if known.place is None or isnan(sight.latitude):
        return False
    hours = abs((sight.event.occurred_at or 0) - known.place[2]) / 3_600_000
    return apart_km(*known.place[:2], sight.latitude, sight.longitude) > FASTEST_KMH * hours + 1.0


def _new_country(known: Known, sight: Sight) -> bool:
    return bool(known.countries) and sight.country > 0 and sight.country not in known.countries


def _new_device(known: Known, sight: Sight) -> bool:
    return bool(known.devices) and sight.event.device_id not in known.devices


RULES: Mapping[str, Callable[[Known, Sight], bool]] = {
    "faster than 805 km/h": _too_fast,
    "country never seen": _new_country,
    "new device": _new_device,
}


def challenged(log: Log, rows: Batch, rule: str) -> set[str]:
    """Return the ids of the successful logins that a plain rule challenges; `rows` are the log's events, located."""
    known: dict[str | None, Known] = defaultdict(Known)
    found = set()
    for sight in _sights(log, rows):
        event_id = sight.event.event_id or ""
        history = known[sight.event.user_id]
        if RULES[rule](history, sight):
            found.add(event_id)
            if log.notes[event_id].label != LEGITIMATE:
                continue
        _remember(history, sight)
    return found


def _sights(log: Log, rows: Batch) -> Iterable[Sight]:
    columns = (rows[name].tolist() for name in ("latitude", "longitude", "country"))
    for event, *place in zip(log.events, *columns, strict=True):
        if event.outcome == "success":
            yield Sight(event, *place)


def _remember(known: Known, sight: Sight) -> None:
    if not isnan(sight.latitude):
        known.place = (sight.latitude, sight.longitude, sight.event.occurred_at or 0)
    known.countries.add(sight.country)
    known.devices.add(sight.event.device_id)
