"""From one event's assessment to the answer that is stored and sent."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from riskengine.assess import SIGNALS, Assessments
from riskengine.batch import Located, country_letters
from riskengine.check import format_time
from riskengine.decision import DECISIONS, LEVELS, RULES
from riskengine.engine.admit import Entry
from riskengine.engine.tokens import Tokens
from riskengine.event import Event
from riskengine.geo import MS_PER_HOUR
from riskengine.locate.locator import Label
from riskengine.locate.source import DataSource
from riskengine.network import KINDS
from riskengine.policy import Policy
from riskengine.reason import Evidence, spell

MATURITY = ("none", "learning", "ripe")
DEGREE_DIGITS = 4  # ten metres: finer than any database is right


@dataclass(frozen=True, slots=True)
class Scene:
    """What the answers of one batch share. `places` names the other end of a journey by its event's row id."""

    policy: Policy
    source: DataSource
    places: Mapping[int, str | None]
    degraded: tuple[str, ...] = ()
    answered_by: str = "engine"


def answer(one: Entry, label: Label, result: Assessments, index: int, scene: Scene) -> dict[str, Any]:
    """Return the full answer to one event, as DESIGN lays it out: JSON values only, unknown is null."""
    item, verdict = result.items[index], result.verdicts[index]
    event, tokens = one.event, one.tokens
    decision = DECISIONS[item["decision"]]
    journey = _journey(item, verdict, label, scene)
    points = {name: int(result.points[name][index]) for name in SIGNALS}
    evidence = _evidence(event, tokens, label, item, verdict, journey, scene.policy)
    observing = scene.policy.mode == "observe"
    step_up = {"acr_values": scene.policy.step_up.acr_values, "max_age": scene.policy.step_up.max_age}
    return {
        "event_id": event.event_id,
        "occurred_at": None if event.occurred_at is None else format_time(event.occurred_at),
        "user_ref": None if tokens.user_ref is None else tokens.user_ref.hex(),
        "decision": decision,
        "score": int(verdict["score"]) / 10,
        "level": LEVELS[verdict["level"]],
        "reasons": spell(points, evidence, RULES[verdict["rule"]]),
        "location": location(item, label),
        "network": network(item, label),
        "travel": journey,
        "signals": {name: _number(result.signals[name][index]) for name in SIGNALS},
        "maturity": maturity(verdict, scene.policy),
        "step_up": step_up if decision == "step_up" else None,
        "would_be": DECISIONS[verdict["would_be"]] if observing else None,
        "policy": {"name": scene.policy.name, "version": scene.policy.version},
        "data": {
            "source": scene.source.name,
            "date": scene.source.date,
            "attribution": list(scene.source.attribution),
        },
        "source": scene.answered_by,
        "degraded": sorted({*one.arrival.degraded, *scene.source.degraded, *scene.degraded}),
    }


def stricter(found: dict[str, Any], policy: Policy) -> dict[str, Any]:
    """Return a fallback answer: no less strict than the policy's fallback."""
    order = DECISIONS.index
    if order(found["decision"]) >= order(policy.fallback.decision):
        return found
    step_up = {"acr_values": policy.step_up.acr_values, "max_age": policy.step_up.max_age}
    return {**found, "decision": policy.fallback.decision, "step_up": step_up}


def location(item: np.void, label: Label) -> dict[str, Any] | None:
    """Return where the address is, or null; `precision` says whether the point is a city's or a country's."""
    if math.isnan(item["latitude"]):
        return None
    return {
        "country": country_letters(int(item["country"])),
        "region": label.region,
        "city": label.city,
        "place": label.place(),
        "latitude": round(float(item["latitude"]), DEGREE_DIGITS),
        "longitude": round(float(item["longitude"]), DEGREE_DIGITS),
        "radius_km": round(float(item["radius"]), 1),
        "precision": "country" if item["located"] == Located.COUNTRY else "city",
    }


def network(item: np.void, label: Label) -> dict[str, Any]:
    """Return what is known of the network, and by what evidence its kind is named."""
    return {
        "asn": int(item["asn"]) or None,
        "name": label.as_name,
        "kind": KINDS[item["kind"]],
        "claimed": KINDS[item["claimed"]] if item["claimed"] else None,
        "evidence": label.evidence,
        "evidence_date": label.evidence_date,
    }


def maturity(verdict: np.void, policy: Policy) -> str:
    """Return how much the history behind a decision could tell: none, learning or ripe."""
    ripe = verdict["learned"] >= policy.maturity.ripe_logins and verdict["days"] >= policy.maturity.ripe_days
    return MATURITY[2 if ripe else 1 if verdict["learned"] else 0]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _journey(item: np.void, verdict: np.void, label: Label, scene: Scene) -> dict[str, Any] | None:
    """Return the journey that was measured: from the earlier to the later place, with what it would have taken."""
    if math.isnan(verdict["distance"]):
        return None
    # A name costs a look at the other event, so only a journey that says something has one.
    named = scene.places.get(int(verdict["other_row"])) if verdict["impossible"] > 0 else None
    there = _end(named, verdict, "other_")
    own = _end(label.place(), item, "")
    hours = int(verdict["gap"]) / MS_PER_HOUR
    certain_km = max(0.0, float(verdict["distance"]) - float(verdict["other_radius"]) - float(item["radius"]))
    first, second = (there, own) if verdict["before"] else (own, there)
    return {
        "from": first,
        "to": second,
        "distance_km": float(verdict["distance"]),
        "seconds": int(verdict["gap"]) / 1000,
        "min_speed_kmh": round(certain_km / hours, 1) if hours > 0 else None,
        "impossible": _number(verdict["impossible"]),
        "rough": bool(verdict["wide"]),
    }


def _end(place: str | None, row: np.void, prefix: str) -> dict[str, Any]:
    """Return one end of a journey; `prefix` is that of its columns."""
    return {
        "country": country_letters(int(row[f"{prefix}country"])),
        "place": place,
        "latitude": round(float(row[f"{prefix}latitude"]), DEGREE_DIGITS),
        "longitude": round(float(row[f"{prefix}longitude"]), DEGREE_DIGITS),
        "radius_km": round(float(row[f"{prefix}radius"]), 1),
    }


def _evidence(
    event: Event,
    tokens: Tokens,
    label: Label,
    item: np.void,
    verdict: np.void,
    journey: Mapping[str, Any] | None,
    policy: Policy,
) -> Evidence:
    """Return what the sentences about one event draw on."""
    return Evidence(
        place=label.place(),
        country=label.country_name or country_letters(int(item["country"])),
        network=label.as_name or (f"AS{item['asn']}" if item["asn"] else None),
        kind=KINDS[item["kind"]],
        claimed=KINDS[item["claimed"]],
        kind_evidence=label.evidence,
        resource=event.resource,
        action=event.action,
        learned=int(verdict["learned"]),
        located=not math.isnan(item["latitude"]),
        device_sent=event.device_id is not None,
        agent=tokens.agent,
        user_failures=int(item["user_failures"]),
        address_attempts=int(item["address_attempts"]),
        address_failures=int(item["address_failures"]),
        address_users=int(item["address_users"]),
        prefix_failures=int(item["prefix_failures"]),
        window_minutes=policy.attempts.window_minutes,
        ignored=int(verdict["ignored"]),
        journey=journey,
    )


def reasons_in_clear(found: Mapping[str, Any]) -> str:
    """Return codes and points of an answer's reasons as JSON: what may stand beside an event in clear."""
    return json.dumps([[reason["code"], reason["points"]] for reason in found["reasons"]])


def journey_rows(result: Assessments, rows: Sequence[int]) -> set[int]:
    """Return the row ids of the events whose place the journeys of these items are told by."""
    telling = result.verdicts[list(rows)]
    return {int(row) for row in telling["other_row"][telling["impossible"] > 0]}
