"""From score and rules to decision and level. The score alone never denies: that takes a rule with a name.

What comes later in this list wins. The score, or what `cold_start` says, asks for a step-up; a step-up passed a moment
ago or a rule's `at_most` waives that, a trusted network what the score asks. A second factor that failed, a user at
risk and a rule's `at_least` ask whatever was waived. Step-up fatigue of a source, rules that deny, campaigns and the
block list deny.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from riskengine.batch import Batch, Decision
from riskengine.event import SENSITIVITIES
from riskengine.geo import MS_PER_HOUR
from riskengine.history.record import Records, Seen, Wait, day_of
from riskengine.policy.policy import ColdStart, Policy
from riskengine.policy.rule import MATURITY, Facts, holds
from riskengine.policy.terms import Terms
from riskengine.reason import spell_time
from riskengine.signals.attempts import guessing_campaign
from riskengine.signals.network import exposed

LEVELS = ("low", "medium", "high")
DECISIONS = ("allow", "step_up", "deny")
# What decides besides the score; the policy's own rules follow, in its order. Which of them did is kept as bits of one
# number. The second cold_start is one that only the sensitivity of what is entered brings about.
BUILT_IN = (
    *("blocked", "guessing_campaign", "step_up_fatigue", "second_factor_failed"),
    *("cold_start", "cold_start", "trusted_network", "quiet"),
)
_BLOCKED, _CAMPAIGN, _FATIGUE, _FAILED, _COLD, _COLD_RESOURCE, _TRUSTED, _QUIET = range(len(BUILT_IN))
# Signals that a trusted network does not outweigh.
_LOUDER = ("failed_attempts", "address_attempts", "password_spray", "bad_address", "ignored_step_ups")
_NORMAL, _HIGH = SENSITIVITIES.index("normal"), SENSITIVITIES.index("high")
_MS_PER_MINUTE = 60_000
_SENTENCES = {
    "blocked": "The source is on the block list",
    "guessing_campaign": "Passwords are being guessed from this address",
    "second_factor_failed": "The second factor given with this login was wrong",
    "trusted_network": "The policy trusts this network with what the score alone would ask",
}

Masks = dict[int, np.ndarray]  # by bit


@dataclass(frozen=True, slots=True)
class Case:
    """What decisions rest on, as columns: items, their users' histories and what these know of them; signals and the
    score (tenths), how sensitive what is entered is, and whether the journey contradicts other logins."""

    items: Batch
    records: Records
    seen: Seen
    signals: Mapping[str, np.ndarray]
    score: np.ndarray
    sensitivity: np.ndarray
    contradicted: np.ndarray


def verdicts(case: Case, terms: Terms) -> dict[str, np.ndarray]:
    """Return for each event `decision`, `would_be`, `level` and `maturity` codes; `rules`, the bits of what decided
    besides the score (see `rule_reasons`); and `limit`, the score in tenths that asks for a step-up.

    A second factor passed satisfies every step-up but that of a user at risk; one failed asks for another try.
    """
    policy, score = terms.policy, case.score
    stage, limit = maturity(case.records, case.items, policy), terms.limit(case.items["groups"])
    held = _held(case, stage, terms)
    would_be, marks = _decided(case, score >= limit, stage, held, policy)
    medium, high = round(policy.thresholds.medium * 10), round(policy.thresholds.high * 10)
    return {
        "decision": np.full(len(score), Decision.ALLOW) if policy.mode == "observe" else would_be,
        "would_be": would_be,
        "rules": _bits(marks, len(score)),
        "level": np.where(score >= medium, 1, 0) + np.where(score >= high, 1, 0),
        "maturity": stage,
        "limit": limit,
    }


def maturity(records: Records, items: Batch, policy: Policy) -> np.ndarray:
    """Return how much each history can tell, as codes of MATURITY: none before the first login that taught, ripe from
    so many logins on so many days on, idle when the last one is `cold_start.idle_days` ago or longer."""
    learned, needs = records["learned"], policy.maturity
    ripe = (learned >= needs.ripe_logins) & (records["days"] >= needs.ripe_days)
    stage = np.where(ripe, MATURITY.index("ripe"), np.where(learned > 0, MATURITY.index("learning"), 0))
    if policy.cold_start is None:
        return stage
    gap = day_of(items["event_time"]).astype(np.int64) - records["last_day"]
    return np.where((learned > 0) & (gap >= policy.cold_start.idle_days), MATURITY.index("idle"), stage)


def _decided(
    case: Case, asks: np.ndarray, stage: np.ndarray, held: Mapping[str, Masks], policy: Policy
) -> tuple[np.ndarray, Masks]:
    """Return the decisions where the score asks for a step-up in `asks`, and by bit what else had a part in them."""
    at_risk, failed = case.records["at_risk"] > 0, case.items["mfa"] == 2
    unproved = (case.items["mfa"] != 1) | at_risk
    asked, marks = _asked(case, asks & unproved, stage, held["waives"], policy)
    demands = {bit: mask & unproved for bit, mask in held["demands"].items()}
    step_up = _any(asked, failed, at_risk, *demands.values())
    worn, cooling = _fatigue(case, step_up, policy)
    denials = {_BLOCKED: policy.block.hold(case.items), _CAMPAIGN: guessing_campaign(case.items, case.seen, policy)}
    denials |= held["denies"]
    would_be = np.where(step_up, Decision.STEP_UP, Decision.ALLOW)
    would_be = np.where(_any(cooling, *denials.values()), Decision.DENY, would_be)
    return would_be, {**marks, **demands, **denials, _FAILED: failed, _FATIGUE: worn}


def _asked(
    case: Case, asks: np.ndarray, stage: np.ndarray, waivers: Masks, policy: Policy
) -> tuple[np.ndarray, Masks]:
    """Return where score or cold start ask for a step-up that nothing waives; and what asked, and what waived."""
    proved = (case.items["mfa"] == 1) & (case.records["at_risk"] == 0)
    trusted = policy.trust.vouch(case.items)
    cold = {bit: mask & ~proved for bit, mask in _cold_start(case, stage, trusted, policy).items()}
    wanted = _any(asks, *cold.values())
    if not wanted.any():
        return wanted, {}
    ours = asks & trusted & _outweighs(case)
    waivers = {_QUIET: _quiet(case, policy), **waivers}
    waivers = {bit: mask & wanted for bit, mask in waivers.items()}
    asked = _any(asks & ~ours, *cold.values()) & ~_any(*waivers.values())
    return asked, {**{bit: mask & asked for bit, mask in cold.items()}, _TRUSTED: ours, **waivers}


def _outweighs(case: Case) -> np.ndarray:
    """Return where a trusted network (an office, the company's VPN) may stand for what the score asks.

    Trust says whose network it is, not who sits there: nothing that contradicts the account's use elsewhere is
    outweighed, no guessing at the user or from this source, no step-up that nobody passed, and nothing where what is
    entered is sensitive. It is worth as much as the address that the caller states: who lets clients choose it, by a
    header that a proxy does not overwrite, lets them choose to be trusted.
    """
    louder = _any(*(case.signals[name] > 0 for name in _LOUDER))
    return ~case.contradicted & ~louder & (case.sensitivity < _HIGH)


def _quiet(case: Case, policy: Policy) -> np.ndarray:
    """Return where the same user passed a step-up a moment ago on this device and prefix, for nothing less sensitive.

    A login without a device id, or that contradicts the account's use elsewhere, is never excused so. An abandoned
    step-up excuses nothing.
    """
    items, passes = case.items, case.records["passes"]
    if policy.quiet is None:
        return np.zeros(len(items), bool)
    ago = items["event_time"][:, None] - passes["passed_at"]
    same = (passes["passed_prefix"] == items["prefix"][:, None]) & (passes["passed_device"] == items["device"][:, None])
    lately = (ago >= 0) & (ago <= policy.quiet.hours * MS_PER_HOUR)
    enough = (passes["passed_for"] >= case.sensitivity[:, None]) & (passes["passed_for"] < len(SENSITIVITIES))
    here = (items["device"] > 0) & (items["prefix"] > 0) & ~case.contradicted
    return (same & lately & enough).any(axis=1) & here


def _cold_start(case: Case, stage: np.ndarray, trusted: np.ndarray, policy: Policy) -> Masks:
    """Return where so little of a history asks for a step-up: of anybody, and only for what is sensitive."""
    rule = policy.cold_start
    if rule is None:
        return {}
    strange = exposed(case.items) & ~trusted
    asks = _least(rule, stage, case.sensitivity, strange)
    if not asks.any():
        return {}
    usual = _least(rule, stage, np.minimum(case.sensitivity, _NORMAL), strange)
    return {_COLD: asks & usual, _COLD_RESOURCE: asks & ~usual}


def _least(rule: ColdStart, stage: np.ndarray, sensitivity: np.ndarray, strange: np.ndarray) -> np.ndarray:
    """Return where a cold start asks for a step-up."""
    return np.where(strange, rule.exposed[stage, sensitivity], rule.plain[stage, sensitivity]) > Decision.ALLOW


def _fatigue(case: Case, step_up: np.ndarray, policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    """Return where a step-up would be one of many that nobody passes, and where the source has to cool down instead.

    It is the source that is counted and cooled down, by the prefix that earlier step-ups were asked at; the user is
    asked as ever from elsewhere, and what the score lets in from there is let in.
    """
    rule, pending, items = policy.fatigue, case.records["pending"], case.items
    if rule is None or not step_up.any():
        return np.zeros(len(items), bool), np.zeros(len(items), bool)
    ago = items["event_time"][:, None] - pending["time"]
    here = (pending["origin"] == items["prefix"][:, None]) & (pending["origin"] > 0) & (pending["state"] != Wait.NONE)
    lately = here & (ago >= 0) & (ago <= rule.hours * MS_PER_HOUR)
    worn = step_up & (lately.sum(axis=1) >= rule.step_ups)
    cooling = (lately & (ago <= rule.cool_down_minutes * _MS_PER_MINUTE)).any(axis=1)
    return worn, worn & cooling & (rule.then == "cool_down")


def _held(case: Case, stage: np.ndarray, terms: Terms) -> dict[str, Masks]:
    """Return where the policy's rules hold, by bit, under what they do. To lower something to a step-up does nothing:
    the score asks for no more, and what denies is not lowered."""
    held: dict[str, Masks] = {"waives": {}, "demands": {}, "denies": {}}
    if terms.rules:
        facts = Facts(case.items, case.signals, case.score, case.sensitivity, stage)
        for at, (rule, named) in enumerate(zip(terms.policy.rules, terms.rules, strict=True), len(BUILT_IN)):
            if rule.demands:
                held["denies" if rule.decision == Decision.DENY else "demands"][at] = holds(rule, facts, named)
            elif rule.decision == Decision.ALLOW:
                held["waives"][at] = holds(rule, facts, named)
    return held


def _any(*masks: np.ndarray) -> np.ndarray:
    """Return where at least one of some masks holds."""
    found = masks[0]
    for mask in masks[1:]:
        found = found | mask
    return found


def _bits(marks: Masks, count: int) -> np.ndarray:
    """Return where which bits hold, as one number an item."""
    found = np.zeros(count, np.uint64)
    for bit, mask in marks.items():
        if mask.any():
            found |= np.where(mask, np.uint64(1 << bit), np.uint64(0))
    return found


def rule_reasons(verdict: np.void, policy: Policy) -> list[dict[str, Any]]:
    """Return the reasons of one event that are no signals, what denies first: `{code, message, points, evidence}`.

    They add no points. Where `resource` stands in the evidence and is true, the rule is about what was entered.
    """
    bits = int(verdict["rules"])
    found = [_reason(bit, verdict, policy) for bit in range(len(BUILT_IN) + len(policy.rules)) if bits >> bit & 1]
    return [{"code": code, "message": told, "points": 0.0, "evidence": facts} for code, told, facts in found]


def _reason(bit: int, verdict: np.void, policy: Policy) -> tuple[str, str, dict[str, Any]]:
    """Return code, sentence and evidence of one bit."""
    if bit >= len(BUILT_IN):
        rule = policy.rules[bit - len(BUILT_IN)]
        return rule.code, rule.why, {"resource": rule.about_resource}
    code = BUILT_IN[bit]
    if bit in (_COLD, _COLD_RESOURCE):
        told, facts = _spell_cold(verdict, policy)
        return code, told, {**facts, "resource": bit == _COLD_RESOURCE}
    if bit == _FATIGUE and policy.fatigue is not None:
        many, hours = policy.fatigue.step_ups, policy.fatigue.hours
        told = f"At least {many} step-ups asked at this source in {spell_time(hours * 3600)} were not passed"
        return code, told, {"step_ups": many, "hours": hours, "then": policy.fatigue.then}
    if bit == _QUIET and policy.quiet is not None:
        hours = policy.quiet.hours
        told = f"A step-up was passed with this device in this network in the last {spell_time(hours * 3600)}"
        return code, told, {"hours": hours}
    return code, _SENTENCES[code], {}


def _spell_cold(verdict: np.void, policy: Policy) -> tuple[str, dict[str, Any]]:
    stage = MATURITY[verdict["maturity"]]
    facts: dict[str, Any] = {"maturity": stage}
    if stage == "idle" and policy.cold_start is not None:
        days = policy.cold_start.idle_days
        return f"The account was not used for {days} days or longer", {**facts, "idle_days": days}
    return f"{'Nothing' if stage == 'none' else 'Little'} is known of this user yet", facts


def step_up_terms(verdict: np.void, policy: Policy) -> dict[str, Any]:
    """Return what a step-up asks for: only what cannot be phished, where somebody tries the user's patience."""
    worn = policy.fatigue is not None and int(verdict["rules"]) >> _FATIGUE & 1
    acr_values = policy.fatigue.acr_values if policy.fatigue is not None and worn else policy.step_up.acr_values
    return {"acr_values": acr_values, "max_age": policy.step_up.max_age}
