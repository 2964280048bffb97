"""From arrivals to the columns the core works on: keys, places, network evidence."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from math import nan
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from riskengine.batch import ADDED_2, ITEM, ITEM_SCHEMA, Batch, Located, Names, Role, empty, layout_before, renew
from riskengine.engine.admit import Entry
from riskengine.errors import RiskEngineError
from riskengine.event import (
    ACTIONS,
    MFA_RESULTS,
    NETWORK_TYPES,
    OUTCOMES,
    REPORT_RESULTS,
    SENSITIVITIES,
    Event,
    NetworkClaim,
    Position,
)
from riskengine.locate.atlas import Label
from riskengine.network import Kind

PLACE_COLUMNS = (
    "latitude",
    "longitude",
    "given_radius",
    "located",
    "country",
    "asn",
    "traits",
    "listed",
    "listed_confidence",
    "address_high",
    "address_low",
)
HOUR_MS = 3_600_000
_ITEM_1 = layout_before(ITEM, ADDED_2)


def claimed_kind(claim: NetworkClaim | None) -> int:
    """Return the network Kind that the client's word amounts to where it adds risk, else 0."""
    if claim is None:
        return int(Kind.UNKNOWN)
    if claim.public or (claim.secured is False and claim.type in (None, "wifi")):
        return int(Kind.PUBLIC_WIFI)
    return int(Kind.VPN) if claim.type == "vpn" else int(Kind.UNKNOWN)


def event_rows(
    entries: Sequence[Entry],
    users: Sequence[int],
    ids: Sequence[int],
    columns: np.ndarray,
    names: Names,
    labels: Sequence[Label] = (),
) -> Batch:
    """Return the ITEM rows of these events; attempts are still 0. `columns` are their PLACE_COLUMNS, `labels` name the
    time zones there; `names` gains those met."""
    rows = empty(len(entries))
    if not entries:
        return rows
    rows[_PLACE] = columns[_PLACE]
    records = []
    for one, user, row in zip(entries, users, ids, strict=True):
        event, token = one.event, one.tokens
        assert event.occurred_at is not None
        mfa = event.mfa
        records.append(
            (
                row,
                int.from_bytes(token.event_key[-8:]),
                event.occurred_at,
                user,
                OUTCOMES.index(event.outcome),
                0 if mfa is None else 1 + MFA_RESULTS.index(mfa.result),
                event.occurred_at if mfa is None or mfa.at is None else mfa.at,
                ACTIONS.index(event.action),
                -1 if event.sensitivity is None else SENSITIVITIES.index(event.sensitivity),
                -1 if event.resource is None else names.resources.setdefault(event.resource, len(names.resources)),
                one.arrival.reports,
                claimed_kind(event.network),
                -1 if not event.groups else names.groups.setdefault(sorted_groups(event), len(names.groups)),
                *_told(event, names),
                token.line_key,
                token.prefix_key,
                token.device_key,
                token.agent_key,
            )
        )
    rows[_FROM_EVENT] = np.array(records, _OF_EVENT)
    rows["event_time"] = rows["time"]
    rows["offset"] = _offsets(rows, labels)
    return rows


_PLACE = list(PLACE_COLUMNS)
_FROM_EVENT = [
    "row",
    "event",
    "time",
    "user",
    "outcome",
    "mfa",
    "mfa_at",
    "action",
    "sensitivity",
    "resource",
    "reports",
    "claimed",
    "groups",
    "claimed_type",
    "client_offset",
    "client_latitude",
    "client_longitude",
    "client_accuracy",
    "rtt",
    "edge",
    "line",
    "prefix",
    "device",
    "agent",
]
_OF_EVENT = np.dtype([(name, ITEM[name]) for name in _FROM_EVENT])


def sorted_groups(event: Event) -> tuple[str, ...]:
    return tuple(sorted(set(event.groups)))


def _told(event: Event, names: Names) -> tuple[float, ...]:
    """Return what the client tells of itself, from claimed_type to edge in the order of the columns."""
    assert event.occurred_at is not None
    claim, rtt = event.network, event.rtt
    return (
        -1 if claim is None or claim.type is None else NETWORK_TYPES.index(claim.type),
        nan if event.timezone is None else zone_offset(event.timezone, event.occurred_at // HOUR_MS),
        *claimed_position(event.position),
        nan if rtt is None else rtt.ms,
        -1 if rtt is None else names.edges.setdefault(rtt.edge, len(names.edges)),
    )


def claimed_position(claim: Position | None) -> tuple[float, float, float]:
    """Return latitude, longitude and accuracy in km as the client claims them: 1 km where it does not say, and never
    better than 50 m."""
    if claim is None:
        return nan, nan, nan
    accuracy = 1.0 if claim.accuracy_m is None else max(claim.accuracy_m / 1000, 0.05)
    return claim.latitude, claim.longitude, accuracy


@lru_cache(maxsize=65_536)
def zone_offset(zone: str, hour: int) -> float:
    """Return how many minutes east of UTC an IANA zone is in an hour since 1970, NaN where nobody knows the zone.

    >>> zone_offset("Europe/Lisbon", 0), zone_offset("Asia/Kathmandu", 490_000), zone_offset("Moon/Tycho", 0)
    (60.0, 345.0, nan)
    """
    there = _zone(zone)
    if there is None:
        return nan  # a database may name what it likes; what a client names was checked
    offset = datetime.fromtimestamp(hour * 3600, there).utcoffset()
    assert offset is not None
    return offset.total_seconds() / 60


@lru_cache(maxsize=1_024)  # more than there are: zoneinfo keeps eight, and reads the others from their files again
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _offsets(rows: Batch, labels: Sequence[Label]) -> np.ndarray:
    """Return how many minutes east of UTC each address's place is, by the zone that the database names, else by the sun
    at its longitude; NaN for a country or an address without a place that names none."""
    offsets = offsets_by_sun(rows)
    hours = (rows["event_time"] // HOUR_MS).tolist()
    for at, (label, hour) in enumerate(zip(labels, hours, strict=bool(labels))):
        named = nan if label.timezone is None else zone_offset(label.timezone, hour)
        if named == named:
            offsets[at] = named
    return offsets


def offsets_by_sun(rows: Batch) -> np.ndarray:
    """Return how many minutes east of UTC the sun is at each address's place, NaN without one."""
    return np.where(rows["located"] == Located.PLACE, np.round(rows["longitude"] / 15) * 60, nan)


def report_row(event: np.ndarray | None, result: str, at: int) -> np.ndarray:
    """Return the ITEM row (an array of one) of a report on the event whose own row is `event`, if it is known."""
    row = empty(1) if event is None else event.copy()
    row["role"] = Role.REPORT
    row["result"] = REPORT_RESULTS.index(result)
    row["time"] = at
    return row


def pack_items(rows: Batch) -> list[bytes]:
    """Return each ITEM row as the bytes that are sealed with its event, its schema in front."""
    kept = rows.copy()
    kept["user"] = 0
    for name in ("source", "resource", "groups", "edge"):  # what indexes this very batch
        kept[name] = -1
    size, whole, head = ITEM.itemsize, kept.tobytes(), bytes([ITEM_SCHEMA])
    return [head + whole[start : start + size] for start in range(0, len(whole), size)]


def unpack_item(data: bytes) -> np.ndarray:
    """Return an ITEM row (an array of one) from what `pack_items` made."""
    if data[0] == 1:
        return renew(np.frombuffer(data[1:], _ITEM_1), empty(1))
    if data[0] != ITEM_SCHEMA:
        raise RiskEngineError(f"a stored item has schema {data[0]}; this version reads up to {ITEM_SCHEMA}")
    return np.frombuffer(data[1:], ITEM).copy()
