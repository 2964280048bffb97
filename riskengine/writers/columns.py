"""An answer beside its event as one flat row: the columns of CSV and Parquet, in their order.

docs/outputs.md says what each holds. A column that an event has nothing for is None there, never a stand-in.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from riskengine.check import parse_time

Fields = Mapping[str, Any]  # of an answer, or of an event as it was sent


class Kind(Enum):
    """What the cells of a column are; times are ms since 1970, lists hold texts or numbers."""

    TEXT = "text"
    NUMBER = "number"
    WHOLE = "whole number"
    TIME = "time"
    TEXTS = "texts"
    NUMBERS = "numbers"


class Column(NamedTuple):
    """One column; `of` takes an answer and its event to the cell."""

    name: str
    kind: Kind
    of: Callable[[Fields, Fields], Any]


def flat(answer: Fields, event: Fields) -> list[Any]:
    """Return the cells of one row, in the order of COLUMNS."""
    return [column.of(answer, event) for column in COLUMNS]


def _sent(name: str) -> Column:
    return Column(name, Kind.TEXT, lambda answer, event: event.get(name))


def _told(name: str, kind: Kind = Kind.TEXT) -> Column:
    return Column(name, kind, lambda answer, event: answer.get(name))


def _part(name: str, part: str, kind: Kind, key: str) -> Column:
    """Return a column of a part of the answer, which may be null as a whole."""
    return Column(name, kind, lambda answer, event: (answer[part] or {}).get(key))


def _time(name: str, of: Callable[[Fields, Fields], Any]) -> Column:
    def cell(answer: Fields, event: Fields) -> int | None:
        found = of(answer, event)
        return None if found is None else parse_time(found)

    return Column(name, Kind.TIME, cell)


def _reasons(name: str, kind: Kind, key: str) -> Column:
    return Column(name, kind, lambda answer, event: [reason[key] for reason in answer["reasons"]])


COLUMNS = (
    _time("occurred_at", lambda answer, event: answer["occurred_at"]),
    _time("received_at", lambda answer, event: event.get("received_at")),
    _told("event_id"),
    _sent("user_id"),
    _told("user_ref"),
    _sent("login"),
    _sent("ip"),
    _sent("outcome"),
    _sent("action"),
    _sent("resource"),
    Column("groups", Kind.TEXTS, lambda answer, event: list(event.get("groups") or ())),
    _sent("device_id"),
    _sent("session_id"),
    _sent("user_agent"),
    _told("decision"),
    _told("would_be"),
    _told("score", Kind.NUMBER),
    _told("level"),
    _reasons("reasons", Kind.TEXTS, "code"),
    _reasons("points", Kind.NUMBERS, "points"),
    Column("message", Kind.TEXT, lambda answer, event: message(answer)),
    _part("country", "location", Kind.TEXT, "country"),
    _part("region", "location", Kind.TEXT, "region"),
    _part("city", "location", Kind.TEXT, "city"),
    _part("latitude", "location", Kind.NUMBER, "latitude"),
    _part("longitude", "location", Kind.NUMBER, "longitude"),
    _part("radius_km", "location", Kind.NUMBER, "radius_km"),
    _part("asn", "network", Kind.WHOLE, "asn"),
    _part("network_name", "network", Kind.TEXT, "name"),
    _part("network_kind", "network", Kind.TEXT, "kind"),
    _part("travel_km", "travel", Kind.NUMBER, "distance_km"),
    _part("travel_seconds", "travel", Kind.NUMBER, "seconds"),
    _part("min_speed_kmh", "travel", Kind.NUMBER, "min_speed_kmh"),
    _told("maturity"),
    _part("policy", "policy", Kind.TEXT, "name"),
    _part("policy_version", "policy", Kind.TEXT, "version"),
    _part("data_source", "data", Kind.TEXT, "source"),
    _part("data_date", "data", Kind.TEXT, "date"),
    _told("source"),
    _told("degraded", Kind.TEXTS),
    _told("log"),
    _told("line", Kind.WHOLE),
)


def message(answer: Fields) -> str | None:
    """Return the sentences of an answer's reasons as one text, strongest first; None without any."""
    return "; ".join(reason["message"] for reason in answer["reasons"]) or None
