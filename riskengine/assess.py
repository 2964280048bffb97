"""The scoring core: a batch, its users' histories and a policy in; signals, scores and decisions out; it learns."""

from dataclasses import dataclass

import numpy as np

from riskengine.batch import Batch, Decision, Located, Names, Role, rounds
from riskengine.decision import Case, verdicts
from riskengine.event import OUTCOMES, STEP_UP_RESULTS
from riskengine.history.learn import PASS_MS, SLACK_MS, learn, settle
from riskengine.history.record import Records, Seen, blank, look, shown_before
from riskengine.network import resolve
from riskengine.policy.policy import Policy
from riskengine.policy.terms import Terms, terms
from riskengine.score import points_of, total_of
from riskengine.signals import attempts, corroboration, familiarity, network, resource, timing
from riskengine.signals.travel import Journey, travel

SIGNALS = (
    "impossible_travel",
    "new_country",
    "new_place",
    "new_network",
    "new_device",
    "new_agent",
    "risky_network",
    "sensitive_resource",
    "failed_attempts",
    "address_attempts",
    "password_spray",
    "ignored_step_ups",
    "user_at_risk",
    "shared_address",
    "bad_address",
    "unusual_hour",
    "idle_account",
    "timezone_mismatch",
    "position_mismatch",
    "rtt_mismatch",
    "connection_mismatch",
    "missing_evidence",
)

# Signals whose sentences tell more than the columns of the other ones hold.
TOLD = SIGNALS[SIGNALS.index("shared_address") :]
# What an assessment holds of each item, as columns beside the signals and their points.
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
        ("distance", "f8"),  # the journey measured; see signals.travel.Journey
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
        ("for_device", "f8"),  # points that speak for the login; see signals.familiarity.Credit
        ("for_prefix", "f8"),
        ("for_network", "f8"),
        ("for_agent", "f8"),
        ("minute_of_week", "i2"),  # see timing.facts
        ("logins_then", "i2"),
        ("logins_near", "i2"),
        ("logins_of", "i2"),
        ("idle_days", "i4"),
        ("clock_ahead", "f8"),  # see corroboration.facts
        ("clock_usual", "?"),
        ("claimed_km", "f8"),
        ("edge_km", "f8"),
        ("missed", "u1"),
        ("public", "i1"),  # index into network.PUBLIC_EVIDENCE
    ]
)


# What a second policy, which decides nothing, would have made of each item.
SHADOW = np.dtype([("score", "i8"), ("decision", "i1")])


@dataclass(frozen=True, slots=True)
class Assessments:
    """What became of a batch: `items` with kind, radius, decision and contradicted filled in; signals in [0, 1] (NaN
    unknown) and their points in tenths by name; verdicts as VERDICT rows; `shadow` as SHADOW rows, None without a
    shadow policy. Rows of reports carry no assessment."""

    items: Batch
    signals: dict[str, np.ndarray]
    points: dict[str, np.ndarray]
    verdicts: np.ndarray
    shadow: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class _Bench:
    """A policy with what it says of one batch: its terms, each item's sensitivity, where the edges stand."""

    terms: Terms
    sensitivity: np.ndarray
    edges: np.ndarray

    @classmethod
    def of(cls, policy: Policy, items: Batch, names: Names) -> "_Bench":
        """Return the bench that a policy makes for a batch."""
        found = terms(policy, names)
        sensitive = resource.sensitivity(items, found.sensitivity, policy)
        return cls(found, sensitive, corroboration.places_of(names.edges, policy))


def assess(
    batch: Batch,
    names: Names,
    records: Records,
    policy: Policy,
    widening: np.ndarray | None = None,
    shadow: Policy | None = None,
) -> Assessments:
    """Return the assessments of `batch`, and take it into `records` in place.

    `records[i]` is the history of the items whose `user` is i; `names` are what items point to; `widening` (>= 1 an
    item) widens the radii of points that old data states; `shadow` is judged by alongside and decides nothing. Any
    split of a sequence into batches gives equal results.
    """
    items = batch.copy()
    _forget_stale_factors(items, policy)
    _place(items, policy, np.ones(len(batch)) if widening is None else widening)
    bench = _Bench.of(policy, items, names)
    beside = None if shadow is None else _Bench.of(shadow, items, names)
    count = len(items)
    result = Assessments(
        items,
        {name: np.full(count, np.nan) for name in SIGNALS},
        {name: np.zeros(count, np.int64) for name in SIGNALS},
        np.zeros(count, VERDICT),
        None if shadow is None else np.zeros(count, SHADOW),
    )
    for items_of_round in rounds(items["user"]):
        _assess_round(result, _effective(result, items_of_round), records, bench, beside)
    return result


def _forget_stale_factors(items: Batch, policy: Policy) -> None:
    """Take a second factor passed longer ago than the policy's `max_age`, or in the future, for none, in place."""
    age = items["event_time"] - items["mfa_at"]
    fresh = (age <= policy.step_up.max_age * 1000) & (age >= -SLACK_MS)
    items["mfa"] = np.where((items["mfa"] == 1) & ~fresh, 0, items["mfa"])


def _place(items: Batch, policy: Policy, widening: np.ndarray) -> None:
    """Resolve each item's network kind and radius, in place; a decided item keeps what was known when it was."""
    fresh = items["kind"] == 0
    kind = resolve(items["traits"], items["listed"], items["asn"] + items["country"] > 0)
    items["kind"] = np.where(fresh, kind, items["kind"])
    given = items["given_radius"]
    radius = np.where(np.isnan(given), policy.networks.radius_km[items["kind"]], given)
    radius = np.maximum(radius, policy.networks.floor_km[items["kind"]])
    radius = np.where(items["located"] == Located.PLACE, radius * widening, radius)
    radius = np.where(np.isnan(items["latitude"]), np.nan, radius)
    items["radius"] = np.where(fresh, radius, items["radius"])


def _assess_round(
    result: Assessments, index: np.ndarray, records: Records, bench: _Bench, beside: _Bench | None
) -> None:
    """Assess and learn one round: at most one item of each user, so that all rows are independent."""
    items = result.items[index]
    known = items["user"] >= 0
    state = blank(len(items))
    state[known] = records[items["user"][known]]
    settle(state, items)
    seen = look(state, items)
    if (items["role"] == Role.EVENT).any():
        if beside is not None and result.shadow is not None:
            other = _judgement(items, index, state, seen, beside)
            result.shadow["score"][index], result.shadow["decision"][index] = other.score, other.verdict["would_be"]
        _judge(result, index, items, state, seen, bench)
    learn(state, items, seen)
    result.verdicts["seq"][index] = np.where(known, state["seq"], 0)
    records[items["user"][known]] = state[known]


def _effective(result: Assessments, index: np.ndarray) -> np.ndarray:
    """Return the items of a round without the reports that answer no step-up of this policy's.

    A report on an event of the same batch takes over, in place, what was decided of it in an earlier round.
    """
    items = result.items
    inner = index[(items["role"][index] == Role.REPORT) & (items["source"][index] >= 0)]
    if not len(inner):
        return index
    source = items["source"][inner]
    for name in ("decision", "contradicted", "kind", "radius", "hop", "sensitivity"):
        items[name][inner] = items[name][source]
    return index[~np.isin(index, inner[~answers(items[inner])])]


def answers(reports: Batch) -> np.ndarray:
    """Return which reports may count: verdicts always; how a step-up ended only where one was asked, a pass in time."""
    ends = reports["result"] < len(STEP_UP_RESULTS)
    took = reports["time"] - reports["event_time"]
    fits = (took >= -SLACK_MS) & ((reports["result"] > 0) | (took <= PASS_MS))
    return ~ends | ((reports["decision"] == Decision.STEP_UP) & fits)


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What one policy makes of the items of a round, as columns."""

    signals: dict[str, np.ndarray]
    points: dict[str, np.ndarray]
    score: np.ndarray
    verdict: dict[str, np.ndarray]
    journey: Journey
    contradicted: np.ndarray
    credit: familiarity.Credit
    taken: np.ndarray


def _judgement(items: Batch, index: np.ndarray, state: Records, seen: Seen, bench: _Bench) -> _Judgement:
    """Return what a policy makes of the items of a round, which are those at `index` of the batch."""
    policy, sensitive = bench.terms.policy, bench.sensitivity[index]
    journey = travel(items, state, seen, familiarity.own_km(items, state, seen, policy), policy)
    signals = _signals(items, state, seen, journey, sensitive, bench)
    weights = bench.terms.weights_of(items["groups"])
    credit = familiarity.credit(items, state, seen, journey.contradiction(seen, policy), policy)
    left, taken = familiarity.relieved(signals, weights, credit)
    points = points_of(signals, weights, dict.fromkeys(familiarity.RELIEVED, left))
    score = total_of(points)
    contradicted = journey.value >= policy.travel.certain
    case = Case(items, state, seen, signals, score, sensitive, contradicted)
    return _Judgement(signals, points, score, verdicts(case, bench.terms), journey, contradicted, credit, taken)


def _judge(
    result: Assessments, index: np.ndarray, items: Batch, state: Records, seen: Seen, bench: _Bench
) -> None:
    """Score and decide the events of a round; write decision and contradicted into `items` and all into `result`."""
    judged = _judgement(items, index, state, seen, bench)
    undecided = (items["role"] == Role.EVENT) & (items["decision"] == Decision.UNDECIDED)
    succeeded = items["outcome"] == OUTCOMES.index("success")
    for name, value in (
        ("decision", judged.verdict["decision"]),
        ("contradicted", judged.contradicted & succeeded),
        ("hop", judged.journey.hop),
        ("sensitivity", bench.sensitivity[index]),
    ):
        items[name] = np.where(undecided, value, items[name])
    result.items[index] = items
    rows = index[undecided]
    for name, value in judged.signals.items():
        result.signals[name][rows] = value[undecided]
        result.points[name][rows] = judged.points[name][undecided]
    for name, value in _facts(judged, state, seen).items():
        result.verdicts[name][rows] = value[undecided]
    _tell(result, rows, items[undecided], state[undecided], bench)


def _facts(judged: _Judgement, state: Records, seen: Seen) -> dict[str, np.ndarray]:
    """Return the columns of VERDICT, but for `seq` and what `_tell` adds."""
    journey, credit = judged.journey, judged.credit
    return {
        "score": judged.score,
        **judged.verdict,
        "learned": state["learned"],
        "days": state["days"],
        "shown": shown_before(seen),
        "ignored": state["ignored"],
        "distance": journey.distance,
        "gap": journey.gap,
        "before": journey.before,
        "other_row": journey.row,
        "other_latitude": journey.latitude,
        "other_longitude": journey.longitude,
        "other_radius": journey.radius,
        "other_country": journey.country,
        "impossible": journey.impossible,
        "wide": journey.wide,
        "habitual": journey.habitual,
        "taken": judged.taken,
        "for_device": credit.device,
        "for_prefix": credit.prefix,
        "for_network": credit.network,
        "for_agent": credit.agent,
    }


def _tell(result: Assessments, rows: np.ndarray, items: Batch, state: Records, bench: _Bench) -> None:
    """Write what sentences need and signals do not, of those items whose reasons will hold such a sentence."""
    telling = np.logical_or.reduce([result.points[name][rows] > 0 for name in TOLD])
    if telling.any():
        who, known = items[telling], state[telling]
        policy = bench.terms.policy
        found = timing.facts(who, known) | corroboration.facts(who, known, policy, bench.edges)
        found["public"] = network.public_evidence(who, policy)
        for name, value in found.items():
            result.verdicts[name][rows[telling]] = value


def _signals(
    items: Batch, state: Records, seen: Seen, journey: Journey, sensitive: np.ndarray, bench: _Bench
) -> dict[str, np.ndarray]:
    """Return every signal's column, on a grid of 1e-6."""
    facts = (items, state, seen, bench.terms.policy)
    found = {
        "impossible_travel": journey.value,
        **familiarity.familiarity(*facts),
        "risky_network": network.risky_network(*facts),
        "sensitive_resource": resource.sensitive_resource(*facts, sensitive),
        "failed_attempts": attempts.failed_attempts(*facts),
        "address_attempts": attempts.address_attempts(*facts),
        "password_spray": attempts.password_spray(*facts),
        "ignored_step_ups": familiarity.ignored_step_ups(*facts),
        "user_at_risk": state["at_risk"].astype(np.float64),
        "shared_address": network.shared_address(*facts),
        "bad_address": network.bad_address(*facts),
        "unusual_hour": timing.unusual_hour(*facts),
        "idle_account": timing.idle_account(*facts),
        "timezone_mismatch": corroboration.timezone_mismatch(*facts),
        "position_mismatch": corroboration.position_mismatch(*facts),
        "rtt_mismatch": corroboration.rtt_mismatch(*facts, bench.edges),
        "connection_mismatch": corroboration.connection_mismatch(*facts),
        "missing_evidence": corroboration.missing_evidence(*facts),
    }
    return {name: np.round(value, 6) for name, value in found.items()}
