"""From one event's assessment to the answer that is stored and sent."""

import math
from collections import namedtuple
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np

from riskengine.assess import VERDICT, Assessments
from riskengine.batch import Located, country_letters
from riskengine.check import format_time
from riskengine.decision import DECISIONS, LEVELS, rule_reasons, step_up_terms
from riskengine.engine.admit import Entry
from riskengine.engine.block import BLOCKED, Block
from riskengine.geo import MS_PER_HOUR
from riskengine.history.record import ATTRIBUTES, CLAIMS
from riskengine.locate.locator import Label
from riskengine.locate.source import DataSource
from riskengine.network import KINDS
from riskengine.policy.policy import SIGNALS, Policy
from riskengine.policy.rule import MATURITY
from riskengine.reason import Evidence, spell
from riskengine.signals.network import PUBLIC_EVIDENCE

VOUCHERS = ("device", "prefix", "network", "agent")
# Whole numbers that an item, and a verdict, hold under the names that evidence has for them.
_COUNTS = (
    *("user_failures", "address_attempts", "address_failures", "address_users", "prefix_failures", "prefix_users"),
    *("line_regulars", "line_user_days", "line_attempts", "line_failures", "line_failed_users"),
)
_FACTS = ("learned", "ignored", "minute_of_week", "logins_then", "logins_near", "logins_of", "idle_days")
_counts, _facts = attrgetter(*_COUNTS), attrgetter(*_FACTS)
_COUNTRY = int(Located.COUNTRY)
_FEW = 32
PARTS_KEPT = 16_384  # of answers, which many have in common
_PLACE = attrgetter("country", "located", "latitude", "longitude", "radius")
DEGREE_DIGITS, RADIUS_DIGITS = 4, 1  # ten metres, and a hundred: finer than any database is right


@dataclass(frozen=True)
class Scene:
    """What the answers of one batch share. `places` names the other end of a journey by its event's row id."""

    policy: Policy
    source: DataSource
    places: Mapping[int, str | None]
    degraded: tuple[str, ...] = ()
    answered_by: str = "engine"
    shadow: Policy | None = None

    @cached_property
    def data(self) -> Mapping[str, Any]:
        """What is said of the geolocation data. All answers share it: it may not be changed."""
        source = self.source
        return {"source": source.name, "date": source.date, "attribution": list(source.attribution)}


class Judged(NamedTuple):
    """One event's row of an assessment as plain values: fields by name, signals (None unknown) and points in order of
    SIGNALS.

    `row` is the verdict as the array holds it, for the few that rules decided."""

    item: Any
    verdict: Any
    signals: tuple[float | None, ...]
    points: list[int]
    row: np.void
    shadow: np.void | None


# What an answer tells of an item; one conversion a batch costs less than one a field.
_FIELDS = [
    *("decision", "kind", "claimed", "asn", "country", "located", "latitude", "longitude", "radius"),
    *_COUNTS,
]
_ITEM: Any = namedtuple("_ITEM", _FIELDS)  # type: ignore[misc]
_VERDICT: Any = namedtuple("_VERDICT", VERDICT.names or ())  # type: ignore[misc]


def judged(result: Assessments, rows: Sequence[int]) -> list[Judged]:
    """Return these rows of an assessment as plain values."""
    found, at = result.found, np.asarray(rows, np.intp)
    told = found.signals[at].astype(object)
    told[np.isnan(found.signals[at])] = None  # NaN is no JSON
    shadow = [None] * len(at) if result.shadow is None else result.shadow[at]
    return list(
        map(
            Judged,
            map(_ITEM._make, _plain(result.items, _FIELDS, at)),
            map(_VERDICT._make, _plain(found.verdicts, _VERDICT._fields, at)),
            map(tuple, told.tolist()),
            found.points[at].tolist(),
            found.verdicts[at],
            shadow,
        )
    )


def _plain(rows: np.ndarray, names: Sequence[str], at: np.ndarray) -> Iterable[tuple[Any, ...]]:
    """Return fields of rows as plain values. Column by column costs less than row by row, but for a few rows."""
    if len(at) < _FEW:
        few: list[tuple[Any, ...]] = rows[list(names)][at].tolist()
        return few
    return zip(*(rows[name][at].tolist() for name in names), strict=True)


class Told(NamedTuple):
    """What an answer repeats of its event, or says of it in words. `user_ref` is in hexadecimal digits.

    `block` is the one that holds it."""

    event_id: str | None
    occurred_at: str | None
    user_ref: str | None
    action: str
    resource: str | None
    device_sent: bool
    agent: str | None
    claimed_type: str | None
    rtt_ms: float | None
    edge: str | None
    degraded: tuple[str, ...]
    block: Block | None = None


def told(one: Entry, block: Block | None = None) -> Told:
    """Return what the answer to an event takes from it."""
    event, ref = one.event, one.tokens.user_ref
    return Told(
        event.event_id,
        None if event.occurred_at is None else format_time(event.occurred_at),
        None if ref is None else ref.hex(),
        event.action,
        event.resource,
        event.device_id is not None,
        one.tokens.agent,
        event.network.type if event.network else None,
        event.rtt.ms if event.rtt else None,
        event.rtt.edge if event.rtt else None,
        one.arrival.degraded,
        block,
    )


def answer(event: Told, label: Label, found: Judged, scene: Scene) -> dict[str, Any]:
    """Return the full answer to one event, as DESIGN lays it out: JSON values only, unknown is null."""
    item, verdict, policy = found.item, found.verdict, scene.policy
    decision = DECISIONS[item.decision]
    journey = _journey(item, verdict, label, scene)
    return {
        "event_id": event.event_id,
        "occurred_at": event.occurred_at,
        "user_ref": event.user_ref,
        "decision": decision,
        "score": verdict.score / 10,
        "level": LEVELS[verdict.level],
        "reasons": reasons(event, label, found, journey, policy),
        "location": None if math.isnan(item.latitude) else location(*_PLACE(item), label),
        "network": network(item.asn, item.kind, item.claimed, label),
        "travel": journey,
        "signals": signals(found.signals),
        "vouched": vouched(verdict),
        "maturity": MATURITY[verdict.maturity],
        "step_up": step_up_terms(found.row, policy) if decision == "step_up" else None,
        "would_be": DECISIONS[verdict.would_be] if policy.mode == "observe" else None,
        "shadow": _shadow(found, scene),
        "policy": {
            "name": policy.name,
            "version": policy.version,
            "mode": policy.mode,
            "step_up_at": verdict.limit / 10,
        },
        "data": scene.data,
        "source": scene.answered_by,
        "degraded": sorted({*event.degraded, *scene.source.degraded, *scene.degraded}),
    }


def reasons(
    event: Told, label: Label, found: Judged, journey: Mapping[str, Any] | None, policy: Policy
) -> list[dict[str, Any]]:
    """Return what decided, what denies first, then signals, strongest first. `journey` is the answer's."""
    of_rules = rule_reasons(found.row, policy) if found.verdict.rules else []
    if event.block is not None:
        of_rules = [reason | event.block.told() if reason["code"] == BLOCKED else reason for reason in of_rules]
    if not any(found.points):
        return of_rules
    evidence = _evidence(event, label, found.item, found.verdict, journey, policy)
    return [*of_rules, *spell(dict(zip(SIGNALS, found.points, strict=True)), evidence)]


def vouched(verdict: Any) -> list[dict[str, Any]]:
    """Return what spoke for the login and took points back from what was new in it: `{by, points}`, strongest first."""
    if not verdict.taken:
        return []
    speaks = {name: getattr(verdict, f"for_{name}") for name in VOUCHERS}
    total = sum(speaks.values())
    shares = {name: round(verdict.taken * value / total, 1) for name, value in speaks.items() if value}
    found = [{"by": name, "points": share} for name, share in shares.items() if share]
    return sorted(found, key=lambda one: -float(one["points"]))


def _shadow(found: Judged, scene: Scene) -> dict[str, Any] | None:
    """Return what the policy scored alongside would have answered, None without one."""
    if found.shadow is None or scene.shadow is None:
        return None
    return {
        "decision": DECISIONS[found.shadow["decision"]],
        "score": int(found.shadow["score"]) / 10,
        "policy": {"name": scene.shadow.name, "version": scene.shadow.version},
    }


def stricter(found: dict[str, Any], scene: Scene) -> dict[str, Any]:
    """Return a fallback answer: no less strict than the policy's fallback; one that observes says so and allows."""
    policy, told = scene.policy, dict(found)
    name = "would_be" if policy.mode == "observe" else "decision"
    told[name] = _at_least(policy, found[name])
    if told["decision"] != found["decision"]:
        told["step_up"] = {"acr_values": policy.step_up.acr_values, "max_age": policy.step_up.max_age}
    if scene.shadow is not None:
        told["shadow"] = {**found["shadow"], "decision": _at_least(scene.shadow, found["shadow"]["decision"])}
    return told


def _at_least(policy: Policy, decision: str) -> str:
    return max(decision, policy.fallback.decision, key=DECISIONS.index)


@lru_cache(PARTS_KEPT)
def signals(values: tuple[float | None, ...]) -> Mapping[str, float | None]:
    """Return signals by name. Many events share it: it may not be changed."""
    return dict(zip(SIGNALS, values, strict=True))


@lru_cache(PARTS_KEPT)
def location(
    country: int, located: int, latitude: float, longitude: float, radius: float, label: Label
) -> Mapping[str, Any]:
    """Return where an address is; `precision` says whether the point is a city's or a country's.

    Many events share it: it may not be changed.
    """
    return {
        "country": country_letters(country),
        "region": label.region,
        "city": label.city,
        "place": label.place(),
        "latitude": round(latitude, DEGREE_DIGITS),
        "longitude": round(longitude, DEGREE_DIGITS),
        "radius_km": round(radius, RADIUS_DIGITS),
        "precision": "country" if located == _COUNTRY else "city",
    }


@lru_cache(PARTS_KEPT)
def network(asn: int, kind: int, claimed: int, label: Label) -> Mapping[str, Any]:
    """Return what is known of a network, and by what evidence its kind is named. Many events share it, too."""
    return {
        "asn": asn or None,
        "name": label.as_name,
        "kind": KINDS[kind],
        "claimed": KINDS[claimed] if claimed else None,
        "evidence": label.evidence,
        "evidence_date": label.evidence_date,
    }


def _number(value: float) -> float | None:
    return value if value == value else None  # NaN is no JSON


def _journey(item: Any, verdict: Any, label: Label, scene: Scene) -> dict[str, Any] | None:
    """Return the journey that was measured: from the earlier to the later place, with what it would have taken."""
    if math.isnan(verdict.distance):
        return None
    # A name costs a look at the other event, so only a journey that says something has one.
    named = scene.places.get(verdict.other_row) if verdict.impossible > 0 else None
    there = end(named, verdict.other_country, verdict.other_latitude, verdict.other_longitude, verdict.other_radius)
    own = end(label.place(), item.country, item.latitude, item.longitude, item.radius)
    first, second = (there, own) if verdict.before else (own, there)
    return {
        "from": first,
        "to": second,
        "distance_km": verdict.distance,
        "seconds": verdict.gap / 1000,
        "min_speed_kmh": least_speed(verdict.distance, verdict.other_radius, item.radius, verdict.gap),
        "impossible": _number(verdict.impossible),
        "rough": verdict.wide,
        "habitual": verdict.habitual,
    }


def least_speed(distance: float, radius: float, other_radius: float, gap: int) -> float | None:
    """Return how fast (km/h) a journey was at least, between two discs (km) in `gap` ms; None for no time at all."""
    hours = gap / MS_PER_HOUR
    return round(max(0.0, distance - radius - other_radius) / hours, 1) if hours > 0 else None


@lru_cache(PARTS_KEPT)
def end(place: str | None, country: int, latitude: float, longitude: float, radius: float) -> Mapping[str, Any]:
    """Return one end of a journey. Many journeys share it: it may not be changed."""
    return {
        "country": country_letters(country),
        "place": place,
        "latitude": round(latitude, DEGREE_DIGITS),
        "longitude": round(longitude, DEGREE_DIGITS),
        "radius_km": round(radius, RADIUS_DIGITS),
    }


def _evidence(
    event: Told,
    label: Label,
    item: Any,
    verdict: Any,
    journey: Mapping[str, Any] | None,
    policy: Policy,
) -> Evidence:
    """Return what the sentences about one event draw on."""
    return Evidence(
        place=label.place(),
        country=label.country_name or country_letters(item.country),
        network=label.as_name or (f"AS{item.asn}" if item.asn else None),
        kind=KINDS[item.kind],
        claimed=KINDS[item.claimed],
        kind_evidence=label.evidence,
        resource=event.resource,
        action=event.action,
        shown=frozenset(name for at, name in enumerate(ATTRIBUTES) if verdict.shown >> at & 1),
        located=not math.isnan(item.latitude),
        device_sent=event.device_sent,
        agent=event.agent,
        window_minutes=policy.attempts.window_minutes,
        journey=journey,
        clock_ahead=_number(verdict.clock_ahead),
        clock_usual=verdict.clock_usual,
        claimed_km=_number(verdict.claimed_km),
        claimed_type=event.claimed_type,
        rtt_ms=event.rtt_ms,
        edge=event.edge,
        edge_km=_number(verdict.edge_km),
        missed=tuple(name for bit, name in enumerate(CLAIMS) if verdict.missed >> bit & 1),
        days=policy.sharing.days,
        public_evidence=PUBLIC_EVIDENCE[verdict.public],
        **dict(zip(_COUNTS, _counts(item), strict=True)),
        **dict(zip(_FACTS, _facts(verdict), strict=True)),
    )


def reasons_in_clear(found: Mapping[str, Any]) -> str:
    """Return codes and points of an answer's reasons as JSON: what may stand beside an event in clear."""
    told = [[reason["code"], reason["points"]] for reason in found["reasons"]]
    return msgspec.json.encode(told).decode() if told else "[]"


def journey_rows(result: Assessments, rows: Sequence[int]) -> set[int]:
    """Return the row ids of the events whose place the journeys of these items are told by."""
    telling = result.verdicts[list(rows)]
    return set(telling["other_row"][telling["impossible"] > 0].tolist())
