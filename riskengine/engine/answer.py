"""From one event's assessment to the answer that is stored and sent."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from riskengine.assess import Assessments
from riskengine.batch import Located, country_letters
from riskengine.check import format_time
from riskengine.decision import DECISIONS, LEVELS, rule_reasons, step_up_terms
from riskengine.engine.admit import Entry
from riskengine.engine.tokens import Tokens
from riskengine.event import Event
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
DEGREE_DIGITS = 4  # ten metres: finer than any database is right


@dataclass(frozen=True, slots=True)
class Scene:
    """What the answers of one batch share. `places` names the other end of a journey by its event's row id."""

    policy: Policy
    source: DataSource
    places: Mapping[int, str | None]
    degraded: tuple[str, ...] = ()
    answered_by: str = "engine"
    shadow: Policy | None = None


def answer(one: Entry, label: Label, result: Assessments, index: int, scene: Scene) -> dict[str, Any]:
    """Return the full answer to one event, as DESIGN lays it out: JSON values only, unknown is null."""
    item, verdict = result.items[index], result.verdicts[index]
    event, tokens = one.event, one.tokens
    decision = DECISIONS[item["decision"]]
    journey = _journey(item, verdict, label, scene)
    points = {name: int(result.points[name][index]) for name in SIGNALS}
    evidence = _evidence(event, tokens, label, item, verdict, journey, scene.policy)
    observing = scene.policy.mode == "observe"
    return {
        "event_id": event.event_id,
        "occurred_at": None if event.occurred_at is None else format_time(event.occurred_at),
        "user_ref": None if tokens.user_ref is None else tokens.user_ref.hex(),
        "decision": decision,
        "score": int(verdict["score"]) / 10,
        "level": LEVELS[verdict["level"]],
        "reasons": [*rule_reasons(verdict, scene.policy), *spell(points, evidence)],
        "location": location(item, label),
        "network": network(item, label),
        "travel": journey,
        "signals": {name: _number(result.signals[name][index]) for name in SIGNALS},
        "vouched": vouched(verdict),
        "maturity": MATURITY[verdict["maturity"]],
        "step_up": step_up_terms(verdict, scene.policy) if decision == "step_up" else None,
        "would_be": DECISIONS[verdict["would_be"]] if observing else None,
        "shadow": _shadow(result, index, scene),
        "policy": {
            "name": scene.policy.name,
            "version": scene.policy.version,
            "mode": scene.policy.mode,
            "step_up_at": int(verdict["limit"]) / 10,
        },
        "data": {
            "source": scene.source.name,
            "date": scene.source.date,
            "attribution": list(scene.source.attribution),
        },
        "source": scene.answered_by,
        "degraded": sorted({*one.arrival.degraded, *scene.source.degraded, *scene.degraded}),
    }


def vouched(verdict: np.void) -> list[dict[str, Any]]:
    """Return what spoke for the login and took points back from what was new in it: `{by, points}`, strongest first."""
    speaks = {name: float(verdict[f"for_{name}"]) for name in VOUCHERS}
    total, taken = sum(speaks.values()), float(verdict["taken"])
    if not taken:
        return []
    shares = {name: round(taken * value / total, 1) for name, value in speaks.items()}
    found = [{"by": name, "points": share} for name, share in shares.items() if share]
    return sorted(found, key=lambda one: -float(one["points"]))


def _shadow(result: Assessments, index: int, scene: Scene) -> dict[str, Any] | None:
    """Return what the policy scored alongside would have answered, None without one."""
    if result.shadow is None or scene.shadow is None:
        return None
    row = result.shadow[index]
    return {
        "decision": DECISIONS[row["decision"]],
        "score": int(row["score"]) / 10,
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
        "habitual": bool(verdict["habitual"]),
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
        shown=frozenset(name for at, name in enumerate(ATTRIBUTES) if int(verdict["shown"]) >> at & 1),
        located=not math.isnan(item["latitude"]),
        device_sent=event.device_id is not None,
        agent=tokens.agent,
        window_minutes=policy.attempts.window_minutes,
        journey=journey,
        clock_ahead=_number(verdict["clock_ahead"]),
        clock_usual=bool(verdict["clock_usual"]),
        claimed_km=_number(verdict["claimed_km"]),
        claimed_type=event.network.type if event.network else None,
        rtt_ms=event.rtt.ms if event.rtt else None,
        edge=event.rtt.edge if event.rtt else None,
        edge_km=_number(verdict["edge_km"]),
        missed=tuple(name for bit, name in enumerate(CLAIMS) if int(verdict["missed"]) >> bit & 1),
        days=policy.sharing.days,
        public_evidence=PUBLIC_EVIDENCE[verdict["public"]],
        **{name: int(row[name]) for row, names in ((item, _COUNTS), (verdict, _FACTS)) for name in names},
    )


def reasons_in_clear(found: Mapping[str, Any]) -> str:
    """Return codes and points of an answer's reasons as JSON: what may stand beside an event in clear."""
    return json.dumps([[reason["code"], reason["points"]] for reason in found["reasons"]])


def journey_rows(result: Assessments, rows: Sequence[int]) -> set[int]:
    """Return the row ids of the events whose place the journeys of these items are told by."""
    telling = result.verdicts[list(rows)]
    return {int(row) for row in telling["other_row"][telling["impossible"] > 0]}
