"""From score and rules to decision and level. The score alone never denies: that takes a rule with a name.

What comes later in this list wins. The score, or what `cold_start` says, asks for a step-up; a step-up passed a moment
ago or a rule's `at_most` waives that, a trusted network what the score asks. A second factor that failed, a user at
risk and a rule's `at_least` ask whatever was waived. Step-up fatigue of a source, rules that deny, campaigns and the
block list deny.
"""

import math
from typing import Any

import numpy as np

from riskengine.batch import Decision
from riskengine.compiled import Row, compiled, signed
from riskengine.event import SENSITIVITIES
from riskengine.history.record import PASSES, PENDING, Wait, day_at
from riskengine.policy.policy import SIGNALS, Policy
from riskengine.policy.rule import MATURITY
from riskengine.policy.terms import DEMANDS, DENIES, WAIVES, Terms
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
_LOUDER = tuple(
    SIGNALS.index(name)
    for name in ("failed_attempts", "address_attempts", "password_spray", "bad_address", "ignored_step_ups")
)
_NORMAL, _HIGH = SENSITIVITIES.index("normal"), SENSITIVITIES.index("high")
_ALLOW, _STEP_UP, _DENY = int(Decision.ALLOW), int(Decision.STEP_UP), int(Decision.DENY)
_NONE, _LEARNING, _RIPE, _IDLE = range(len(MATURITY))
_OWN = len(BUILT_IN)  # the first bit of the policy's own rules
_WAIT_NONE = int(Wait.NONE)
_SENTENCES = {
    "blocked": "The source is on the block list",
    "guessing_campaign": "Passwords are being guessed from this address",
    "second_factor_failed": "The second factor given with this login was wrong",
    "trusted_network": "The policy trusts this network with what the score alone would ask",
}

# What decisions rest on besides item, history and signals: how sensitive what is entered is, the score (tenths), and
# whether the journey contradicts others; `decide` adds the score that asks for a step-up and the history's maturity.
CASE = np.dtype([("sensitivity", "i8"), ("score", "i8"), ("limit", "i8"), ("maturity", "i8"), ("contradicted", "?")])


@compiled
def maturity(item: Row, record: Row, policy: Row) -> int:
    """Return how much a history can tell, as a code of MATURITY: none before the first login that taught, ripe from
    so many logins on so many days on, idle when the last one is `cold_start.idle_days` ago or longer."""
    if record.learned == 0:
        return _NONE
    if day_at(item.event_time) - signed(record.last_day) >= policy.idle_days:
        return _IDLE
    ripe = record.learned >= policy.maturity_ripe_logins and record.days >= policy.maturity_ripe_days
    return _RIPE if ripe else _LEARNING


@compiled
def decide(
    item: Row, record: Row, seen: Row, signals: np.ndarray, case: Row, said: Row, by: Terms, verdict: Row
) -> None:
    """Write into a verdict what a policy decides on an event, and by what: score, limit, maturity, level; `would_be`
    as the policy has it, `decision` as it is answered; as `rules` the bits of what decided besides the score."""
    policy = by.sheet[0]
    case.limit, case.maturity = by.limits[said.group], maturity(item, record, policy)
    verdict.score, verdict.limit, verdict.maturity = case.score, case.limit, case.maturity
    verdict.level = _level(case.score, policy)
    verdict.would_be, verdict.rules = _decided(item, record, seen, signals, case, said, policy, by.rules)
    verdict.decision = _ALLOW if policy.observes else verdict.would_be


@compiled
def _level(score: int, policy: Row) -> int:
    """Return the index into LEVELS of a score in tenths."""
    medium, high = np.rint(policy.thresholds_medium * 10), np.rint(policy.thresholds_high * 10)
    return (1 if score >= medium else 0) + (1 if score >= high else 0)


@compiled
def _decided(
    item: Row, record: Row, seen: Row, signals: np.ndarray, case: Row, stated: Row, policy: Row, rules: np.ndarray
) -> tuple[int, int]:
    """Return the decision, and as bits what decided besides the score (see `rule_reasons`).

    A second factor passed satisfies every step-up but that of a user at risk; one failed asks for another try.
    """
    waives, demands, denies = _held(signals, case, stated, rules)
    at_risk, failed = record.at_risk > 0, item.mfa == 2
    unproved = item.mfa != 1 or at_risk
    asked, bits = _asked(item, record, signals, case, stated, policy, waives, unproved)
    demands = demands if unproved else 0
    step_up = asked or failed or at_risk or demands != 0
    worn, cooling = _fatigue(item, record, policy) if step_up else (False, False)
    denies |= _mark(_BLOCKED, stated.blocked) | _mark(_CAMPAIGN, guessing_campaign(item, seen, policy))
    bits |= demands | denies | _mark(_FAILED, failed) | _mark(_FATIGUE, worn)
    if denies or cooling:
        return _DENY, bits
    return _STEP_UP if step_up else _ALLOW, bits


@compiled
def _mark(bit: int, holds: bool) -> int:
    """Return a bit where something holds, else 0."""
    return signed(1) << bit if holds else signed(0)


@compiled
def _held(signals: np.ndarray, case: Row, stated: Row, rules: np.ndarray) -> tuple[int, int, int]:
    """Return as bits which of the policy's rules hold: those that waive, that demand, that deny."""
    waives, demands, denies = signed(0), signed(0), signed(0)
    for at in range(len(rules)):
        if not (stated.may_hold >> np.uint64(at) & np.uint64(1) and _holds(rules[at], signals, case)):
            continue
        bit = _mark(_OWN + at, True)
        if rules[at].does == WAIVES:
            waives |= bit
        elif rules[at].does == DEMANDS:
            demands |= bit
        elif rules[at].does == DENIES:
            denies |= bit
    return waives, demands, denies


@compiled
def _holds(rule: Row, signals: np.ndarray, case: Row) -> bool:
    """Return whether those conditions of a rule hold that rest on the assessment."""
    if not (rule.sensitivity[case.sensitivity] and rule.maturity[case.maturity]):
        return False
    if not rule.least <= case.score < rule.below:
        return False
    for at in range(len(signals)):
        if not math.isnan(rule.signals[at]) and not signals[at] >= rule.signals[at]:  # NaN is not
            return False
    return True


@compiled
def _asked(
    item: Row,
    record: Row,
    signals: np.ndarray,
    case: Row,
    stated: Row,
    policy: Row,
    waives: int,
    unproved: bool,
) -> tuple[bool, int]:
    """Return whether score or cold start ask for a step-up that nothing waives; and what asked, and what waived."""
    asks = unproved and case.score >= case.limit
    cold = _cold_start(item, case, stated, policy) if unproved else signed(0)
    if not (asks or cold):
        return False, signed(0)
    ours = asks and stated.trusted and _outweighs(signals, case)
    waives |= _mark(_QUIET, _quiet(item, record, case, policy))
    asked = ((asks and not ours) or cold != 0) and waives == 0
    return asked, (cold if asked else signed(0)) | _mark(_TRUSTED, ours) | waives


@compiled
def _outweighs(signals: np.ndarray, case: Row) -> bool:
    """Return whether a trusted network (an office, the company's VPN) may stand for what the score asks.

    Trust says whose network it is, not who sits there: nothing that contradicts the account's use elsewhere is
    outweighed, no guessing at the user or from this source, no step-up that nobody passed, and nothing where what is
    entered is sensitive. It is worth as much as the address that the caller states: who lets clients choose it, by a
    header that a proxy does not overwrite, lets them choose to be trusted.
    """
    for at in _LOUDER:
        if signals[at] > 0:
            return False
    return not case.contradicted and case.sensitivity < _HIGH


@compiled
def _quiet(item: Row, record: Row, case: Row, policy: Row) -> bool:
    """Return whether the same user passed a step-up a moment ago on this device and prefix, for nothing less sensitive.

    A login without a device id, or that contradicts the account's use elsewhere, is never excused so. An abandoned
    step-up excuses nothing.
    """
    if case.contradicted or item.device == 0 or item.prefix == 0:
        return False
    for at in range(PASSES):
        kept = record.passes[at]
        same = kept.passed_prefix == item.prefix and kept.passed_device == item.device
        enough = case.sensitivity <= kept.passed_for < len(SENSITIVITIES)
        if same and enough and 0 <= item.event_time - kept.passed_at <= policy.quiet_ms:
            return True
    return False


@compiled
def _cold_start(item: Row, case: Row, stated: Row, policy: Row) -> int:
    """Return as bits whether so little of a history asks for a step-up: of anybody, or only for what is sensitive."""
    strange = exposed(item) and not stated.trusted
    least = policy.cold_exposed if strange else policy.cold_plain
    if least[case.maturity, case.sensitivity] <= _ALLOW:
        return signed(0)
    usual = least[case.maturity, min(case.sensitivity, _NORMAL)] > _ALLOW
    return _mark(_COLD if usual else _COLD_RESOURCE, True)


@compiled
def _fatigue(item: Row, record: Row, policy: Row) -> tuple[bool, bool]:
    """Return whether a step-up would be one of many that nobody passes, and whether the source has to cool down
    instead.

    It is the source that is counted and cooled down, by the prefix that earlier step-ups were asked at; the user is
    asked as ever from elsewhere, and what the score lets in from there is let in.
    """
    count, cooling = 0, False
    for at in range(PENDING):
        waiting = record.pending[at]
        ago = item.event_time - waiting.time
        here = waiting.origin == item.prefix and waiting.origin > 0 and waiting.state != _WAIT_NONE
        if here and 0 <= ago <= policy.fatigue_ms:
            count += 1
            cooling |= ago <= policy.cool_down_ms
    worn = count >= policy.fatigue_step_ups
    return worn, worn and cooling


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
