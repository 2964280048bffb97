"""The scoring core: a batch, its users' histories and a policy in; signals, scores and decisions out; it learns."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from riskengine.batch import Batch, Decision, Located, Names, Role, empty
from riskengine.compiled import Row, compiled, is_kept
from riskengine.decision import CASE, decide
from riskengine.event import OUTCOMES, STEP_UP_RESULTS
from riskengine.geo import rounded
from riskengine.history.learn import PASS_MS, SLACK_MS, fold, learn, settle
from riskengine.history.record import FLAT, NO_OFFSET, SCHEMA, Records, blank
from riskengine.history.seen import SEEN, look, shown_before
from riskengine.network import resolved
from riskengine.policy.policy import SIGNALS, Policy
from riskengine.policy.terms import Terms, stated, terms
from riskengine.score import score
from riskengine.signals import attempts, corroboration, familiarity, network, resource, timing
from riskengine.signals.travel import JOURNEY, contradiction, travel

# What an assessment holds of each item beside the signals and their points.
VERDICT = np.dtype(
    [
        ("score", "i8"),  # tenths
        ("decision", "i1"),  # as answered
        ("would_be", "i1"),  # as the policy has it, also in observe mode
        ("rules", "u8"),  # bits of what decided besides the score; see decision.rule_reasons
        ("limit", "i8"),  # tenths: the score that asks for a step-up
        ("maturity", "i1"),  # index into policy.rule.MATURITY
        ("level", "i1"),  # index into decision.LEVELS
        ("seq", "u4"),  # the item's number in its user's sequence; 0 for one that is not part of it
        ("learned", "u4"),  # logins remembered before this one
        ("days", "u2"),
        ("shown", "u1"),  # bits, in order of ATTRIBUTES: what of the login was shown before, trusted or not
        ("ignored", "u1"),  # step-ups in a row that nobody passed
        ("distance", "f8"),  # the journey measured; see signals.travel.JOURNEY
        ("gap", "i8"),
        ("before", "?"),
        ("other_row", "i8"),
        ("other_latitude", "f8"),
        ("other_longitude", "f8"),
        ("other_radius", "f8"),
        ("other_country", "u2"),
        ("impossible", "f8"),
        ("wide", "?"),
        ("habitual", "?"),
        ("taken", "f8"),  # points that what speaks for the login took back from what is new
        ("for_device", "f8"),  # points that speak for the login; see signals.familiarity.give_credit
        ("for_prefix", "f8"),
        ("for_network", "f8"),
        ("for_agent", "f8"),
        ("minute_of_week", "i2"),  # see timing.tell
        ("logins_then", "i2"),
        ("logins_near", "i2"),
        ("logins_of", "i2"),
        ("idle_days", "i4"),
        ("clock_ahead", "f8"),  # see corroboration.tell
        ("clock_usual", "?"),
        ("claimed_km", "f8"),
        ("edge_km", "f8"),
        ("missed", "u1"),
        ("public", "i1"),  # index into network.PUBLIC_EVIDENCE
    ]
)


# What a second policy, which decides nothing, would have made of each item.
SHADOW = np.dtype([("score", "i8"), ("decision", "i1")])
# A row of signals by name.
_NAMED = np.dtype([(name, "f8") for name in SIGNALS])

# From here on stand signals whose sentences need more than is told of every item.
_TOLD = SIGNALS.index("shared_address")
_RELIEVED = np.array([SIGNALS.index(name) for name in familiarity.RELIEVED])
_EVENT, _REPORT = int(Role.EVENT), int(Role.REPORT)
_UNDECIDED, _STEP_UP = int(Decision.UNDECIDED), int(Decision.STEP_UP)
_SUCCESS, _AT_A_POINT = OUTCOMES.index("success"), int(Located.PLACE)
_SIGNALS, _CREDITS = len(SIGNALS), len(familiarity.CREDIT)
_ENDS, _PASSED = len(STEP_UP_RESULTS), STEP_UP_RESULTS.index("step_up_passed")


class Found(NamedTuple):
    """What an assessment writes, a row an item: signals and points a column a signal, in order of SIGNALS; VERDICT
    rows. `named` are the signals once more, the same memory, by name."""

    signals: np.ndarray
    named: np.ndarray
    points: np.ndarray
    verdicts: np.ndarray


class _Desk(NamedTuple):
    """Room to work in, a row each but for `journeys`, which has two; `blank` is the record of nobody."""

    seen: np.ndarray
    journeys: np.ndarray
    credit: np.ndarray
    left: np.ndarray
    case: np.ndarray
    nobody: np.ndarray
    blank: np.ndarray


@dataclass(frozen=True)
class Assessments:
    """What became of a batch: `items` with kind, radius, decision and contradicted filled in; `found` has signals in
    [0, 1] (NaN unknown), their points in tenths and verdicts; `shadow` as SHADOW rows, None without a shadow policy.
    Rows of reports carry no assessment."""

    items: Batch
    found: Found
    shadow: np.ndarray | None = None

    @cached_property
    def signals(self) -> dict[str, np.ndarray]:
        """Each signal's column."""
        return {name: self.found.signals[:, at] for at, name in enumerate(SIGNALS)}

    @cached_property
    def points(self) -> dict[str, np.ndarray]:
        """Each signal's points, in tenths."""
        return {name: self.found.points[:, at] for at, name in enumerate(SIGNALS)}

    def only(self, rows: np.ndarray) -> "Assessments":
        """Return the assessment of some items alone."""
        found = self.found
        signals, points, verdicts = found.signals[rows], found.points[rows], found.verdicts[rows]
        shadow = None if self.shadow is None else self.shadow[rows]
        return Assessments(self.items[rows], Found(signals, found.named[rows], points, verdicts), shadow)

    @property
    def verdicts(self) -> np.ndarray:
        """The verdicts, as VERDICT rows."""
        return self.found.verdicts


def assess(
    batch: Batch,
    names: Names,
    records: Records,
    policy: Policy,
    widening: np.ndarray | None = None,
    shadow: Policy | None = None,
    held: np.ndarray | None = None,
) -> Assessments:
    """Return the assessments of `batch`, and take it into `records` in place.

    `records[i]` is the history of the items whose `user` is i; `names` are what items point to; `widening` (>= 1 an
    item) widens the radii of points that old data states; `shadow` is judged by alongside and decides nothing; `held`
    says which items a block of an incident denies, whatever the policy. Any split of a sequence into batches gives
    equal results.
    """
    items, count = batch.copy(), len(batch)
    main = terms(policy, names)
    _prepare(items, np.ones(count) if widening is None else np.array(widening, np.float64), main.sheet)
    said = _stated(policy, items, names, held)  # of networks, which are known from here on
    found, beside = _room(count), _room(count if shadow else 0)
    if shadow is None:
        _assess(items, _flat(records), main, said, main, said[:0], found, beside)
        return Assessments(items, found)
    other, other_said = terms(shadow, names), _stated(shadow, items, names, held)
    _assess(items, _flat(records), main, said, other, other_said, found, beside)
    return Assessments(items, found, _shadow(beside))


def _stated(policy: Policy, items: Batch, names: Names, held: np.ndarray | None) -> np.ndarray:
    """Return what a policy says of the items before they are assessed, and which of them a block holds."""
    said = stated(policy, items, names)
    if held is not None:
        said["blocked"] |= held
    return said


def is_ready() -> bool:
    """Return whether deciding and learning were compiled by an earlier process."""
    return is_kept(_assess)


def ready(policy: Policy) -> None:
    """Have everything compiled that deciding and learning call from outside the core, so that nobody's login waits."""
    nothing = empty(0)
    assess(nothing, Names(), blank(0), policy)
    fold(nothing)


def _flat(records: Records) -> Records:
    """Return records as compiled functions take them: the same memory."""
    if not (records.flags.c_contiguous and records.flags.writeable):
        raise ValueError("records must be one writable stretch of memory")  # others would be compiled for anew
    return records.view(FLAT)


def _room(count: int) -> Found:
    signals = np.full((count, len(SIGNALS)), np.nan)
    return Found(signals, signals.view(_NAMED)[:, 0], np.zeros(signals.shape, np.int64), np.zeros(count, VERDICT))


@compiled
def _desk() -> _Desk:
    nobody = np.zeros(2, FLAT)
    for at in range(2):
        nobody[at].schema, nobody[at].zone = SCHEMA, NO_OFFSET
    return _Desk(
        np.zeros(1, SEEN),
        np.zeros(2, JOURNEY),
        np.zeros(_CREDITS),
        np.ones(_SIGNALS),
        np.zeros(1, CASE),
        nobody[:1],
        nobody[1:],
    )


def _shadow(beside: Found) -> np.ndarray:
    rows = np.zeros(len(beside.verdicts), SHADOW)
    rows["score"], rows["decision"] = beside.verdicts["score"], beside.verdicts["would_be"]
    return rows


@compiled
def _prepare(items: Batch, widening: np.ndarray, sheet: np.ndarray) -> None:
    """Resolve each item's network kind and radius; a decided item keeps what was known when it was. Take a second
    factor passed longer ago than the policy's `max_age`, or in the future, for none."""
    policy = sheet[0]
    for at in range(len(items)):
        item = items[at]
        age = item.event_time - item.mfa_at
        if item.mfa == 1 and not -SLACK_MS <= age <= policy.max_age_ms:
            item.mfa = 0
        if item.kind == 0:
            item.kind = resolved(item)
            item.radius = _radius(item, widening[at], policy)


@compiled
def _radius(item: Row, widening: float, policy: Row) -> float:
    """Return the radius in km of an item's place: as given, else its kind's; never better than its kind's floor."""
    if math.isnan(item.latitude):
        return math.nan
    usual = policy.network_radius_km[item.kind]
    radius = max(usual if math.isnan(item.given_radius) else item.given_radius, policy.network_floor_km[item.kind])
    return radius * widening if item.located == _AT_A_POINT else radius


@compiled
def _assess(
    items: Batch,
    records: Records,
    main: Terms,
    said: np.ndarray,
    other: Terms,
    other_said: np.ndarray,
    found: Found,
    beside: Found,
) -> None:
    """Assess and learn the items one after another. A user's items stand in their order; users do not meet."""
    desk = _desk()
    seen = desk.seen[0]
    for at in range(len(items)):
        item = items[at]
        if item.role == _REPORT and item.source >= 0 and not _takes_over(item, items[item.source]):
            continue
        if item.user < 0:
            desk.nobody[0] = desk.blank[0]
        record = records[item.user] if item.user >= 0 else desk.nobody[0]
        settle(record, item)
        look(record, item, seen)
        if item.role == _EVENT and item.decision == _UNDECIDED:
            if len(other_said):
                _judge(item, record, other, other_said[at], desk, beside, at)
            journey = desk.journeys[_judge(item, record, main, said[at], desk, found, at)]
            _decide(item, desk.case[0], journey.hop, found.verdicts[at])
        if item.user >= 0:
            learn(record, item, seen)
            found.verdicts[at].seq = record.seq


@compiled
def _takes_over(report: Row, event: Row) -> bool:
    """Write what was decided of an event of the same batch into a report on it; return whether that may count."""
    report.decision, report.contradicted, report.hop = event.decision, event.contradicted, event.hop
    report.kind, report.radius, report.sensitivity = event.kind, event.radius, event.sensitivity
    return _answers(report)


@compiled
def _answers(report: Row) -> bool:
    """Return whether a report may count: verdicts always; how a step-up ended only where one was asked, a pass in
    time."""
    took = report.time - report.event_time
    fits = took >= -SLACK_MS and (report.result != _PASSED or took <= PASS_MS)
    return report.result >= _ENDS or (report.decision == _STEP_UP and fits)


@compiled
def _judge(item: Row, record: Row, by: Terms, said: Row, desk: _Desk, found: Found, at: int) -> int:
    """Write what a policy makes of an event into `found`; return which journey counts."""
    policy, seen, case = by.sheet[0], desk.seen[0], desk.case[0]
    signals, points, verdict = found.signals[at], found.points[at], found.verdicts[at]
    which = travel(item, record, seen, familiarity.own_km(item, record, seen, policy), policy, desk.journeys)
    journey, weights = desk.journeys[which], by.weights[said.group]
    case.sensitivity = resource.sensitivity(item, said.sensitivity, policy)
    case.contradicted = journey.value >= policy.travel_certain
    _signals(item, record, desk, journey, said, policy, found.named[at])
    _to_grid(signals)
    familiarity.give_credit(item, record, seen, contradiction(journey, seen, policy), policy, desk.credit)
    verdict.taken = _relieve(signals, weights, desk.credit, desk.left)
    case.score = score(signals, weights, desk.left, points)
    decide(item, record, seen, signals, case, said, by, verdict)
    _write(verdict, record, seen, journey, desk.credit)
    if points[_TOLD:].any():
        timing.tell(item, record, verdict)
        corroboration.tell(item, record, policy, said.edge, verdict)
        verdict.public = network.public_evidence(item, policy)
    return which


@compiled
def _decide(item: Row, case: Row, hop: int, verdict: Row) -> None:
    """Write the decision, and what later items need of it, into the event."""
    item.decision, item.sensitivity, item.hop = verdict.decision, case.sensitivity, hop
    item.contradicted = case.contradicted and item.outcome == _SUCCESS


@compiled
def _signals(item: Row, record: Row, desk: _Desk, journey: Row, said: Row, policy: Row, found: Row) -> None:
    """Write every signal."""
    seen = desk.seen[0]
    found.impossible_travel = journey.value
    of_kind = familiarity.familiarity(item, record, seen, policy)
    found.new_country, found.new_place, found.new_network, found.new_device, found.new_agent = of_kind
    found.risky_network = network.risky_network(item, record, seen, policy)
    found.sensitive_resource = resource.sensitive_resource(item, seen, desk.case[0].sensitivity)
    found.failed_attempts = attempts.failed_attempts(item, seen, policy)
    found.address_attempts = attempts.address_attempts(item, seen, policy)
    found.password_spray = attempts.password_spray(item, seen, policy)
    found.ignored_step_ups = familiarity.ignored_step_ups(item, record, seen, policy)
    found.user_at_risk = record.at_risk
    found.shared_address = network.shared_address(item, policy)
    found.bad_address = network.bad_address(item, seen, policy)
    found.unusual_hour = timing.unusual_hour(item, record, policy)
    found.idle_account = timing.idle_account(item, record, policy)
    found.timezone_mismatch = corroboration.timezone_mismatch(item, record, seen, policy)
    found.position_mismatch = corroboration.position_mismatch(item, seen, policy)
    found.rtt_mismatch = corroboration.rtt_mismatch(item, seen, policy, said.edge)
    found.connection_mismatch = corroboration.connection_mismatch(item, seen)
    found.missing_evidence = corroboration.missing_evidence(item, record, policy)


@compiled
def _to_grid(signals: np.ndarray) -> None:
    """Put signals on a grid of 1e-6, where 0 has no sign."""
    for at in range(len(signals)):
        signals[at] = rounded(signals[at], 1e6) + 0.0


@compiled
def _relieve(signals: np.ndarray, weights: np.ndarray, credit: np.ndarray, left: np.ndarray) -> float:
    """Fill `left`, 0 to 1 a signal, with what is left of the points of what is new after what speaks for the login;
    return how many points that takes away."""
    points = 0.0
    for at in _RELIEVED:
        points += (0.0 if math.isnan(signals[at]) else signals[at]) * weights[at]
    rest = max(points - (credit[0] + credit[1] + credit[2] + credit[3]), 0.0)
    left[:] = 1.0
    left[_RELIEVED] = rounded(rest / max(points, 1e-9), 1e6) if points > 0 else 1.0
    return rounded(points - rest, 10.0)


@compiled
def _write(verdict: Row, record: Row, seen: Row, journey: Row, credit: np.ndarray) -> None:
    """Write what an answer tells of history, journey and credit."""
    verdict.learned, verdict.days, verdict.ignored = record.learned, record.days, record.ignored
    verdict.shown = shown_before(seen)
    verdict.distance, verdict.gap, verdict.before = journey.distance, journey.gap, journey.before
    verdict.other_row, verdict.other_country = journey.row, journey.country
    verdict.other_latitude, verdict.other_longitude = journey.latitude, journey.longitude
    verdict.other_radius, verdict.impossible = journey.radius, journey.impossible
    verdict.wide, verdict.habitual = journey.wide, journey.habitual
    verdict.for_device, verdict.for_prefix = credit[0], credit[1]
    verdict.for_network, verdict.for_agent = credit[2], credit[3]
