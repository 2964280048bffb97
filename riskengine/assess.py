"""The scoring core: a batch, its users' histories and a policy in; signals, scores and decisions out; it learns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskengine.batch import Batch, Decision, Located, Role, rounds
from riskengine.decision import decide
from riskengine.event import OUTCOMES, STEP_UP_RESULTS
from riskengine.history.learn import PASS_MS, SLACK_MS, learn, settle
from riskengine.history.record import Records, Seen, blank, look
from riskengine.network import resolve
from riskengine.policy import Policy
from riskengine.score import points_of, total_of
from riskengine.signals import attempts, familiarity, network, resource
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
)

# What an assessment holds of each item, as columns beside the signals and their points.
VERDICT = np.dtype(
    [
        ("score", "i8"),  # tenths
        ("decision", "i1"),  # as answered
        ("would_be", "i1"),  # as the policy has it, also in observe mode
        ("rule", "i1"),  # index into decision.RULES of what denies; 0 none
        ("level", "i1"),  # index into decision.LEVELS
        ("sensitivity", "i1"),
        ("seq", "u4"),  # the item's number in its user's sequence; 0 for one that is not part of it
        ("learned", "u4"),  # logins remembered before this one
        ("days", "u2"),
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
    ]
)


@dataclass(frozen=True, slots=True)
class Assessments:
    """What became of a batch: `items` with kind, radius, decision and contradicted filled in; signals in [0, 1] (NaN
    unknown) and their points in tenths by name; verdicts as VERDICT rows. Rows of reports carry no assessment."""

    items: Batch
    signals: dict[str, np.ndarray]
    points: dict[str, np.ndarray]
    verdicts: np.ndarray


def assess(
    batch: Batch, resources: Sequence[str], records: Records, policy: Policy, widening: np.ndarray | None = None
) -> Assessments:
    """Return the assessments of `batch`, and take it into `records` in place.

    `records[i]` is the history of the items whose `user` is i; `resources` are the names that `resource` indexes;
    `widening` (>= 1 an item) widens the radii of points that old data states. Any split of a sequence into batches
    gives equal results.
    """
    items = batch.copy()
    _forget_stale_factors(items, policy)
    _place(items, policy, np.ones(len(batch)) if widening is None else widening)
    of_resource = np.array([policy.sensitivity_of(name) for name in (*resources, None)])
    sensitive = resource.sensitivity(items, of_resource, policy)
    count = len(items)
    result = Assessments(
        items,
        {name: np.full(count, np.nan) for name in SIGNALS},
        {name: np.zeros(count, np.int64) for name in SIGNALS},
        np.zeros(count, VERDICT),
    )
    for items_of_round in rounds(items["user"]):
        index = _effective(result, items_of_round)
        _assess_round(result, index, sensitive[index], records, policy)
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
    result: Assessments, index: np.ndarray, sensitive: np.ndarray, records: Records, policy: Policy
) -> None:
    """Assess and learn one round: at most one item of each user, so that all rows are independent."""
    items = result.items[index]
    known = items["user"] >= 0
    state = blank(len(items))
    state[known] = records[items["user"][known]]
    settle(state, items)
    seen = look(state, items)
    if (items["role"] == Role.EVENT).any():
        _judge(result, index, items, sensitive, state, seen, policy)
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
    for name in ("decision", "contradicted", "kind", "radius"):
        items[name][inner] = items[name][source]
    return index[~np.isin(index, inner[~answers(items[inner])])]


def answers(reports: Batch) -> np.ndarray:
    """Return which reports may count: verdicts always; how a step-up ended only where one was asked, a pass in time."""
    ends = reports["result"] < len(STEP_UP_RESULTS)
    took = reports["time"] - reports["event_time"]
    fits = (took >= -SLACK_MS) & ((reports["result"] > 0) | (took <= PASS_MS))
    return ~ends | ((reports["decision"] == Decision.STEP_UP) & fits)


def _judge(
    result: Assessments,
    index: np.ndarray,
    items: Batch,
    sensitive: np.ndarray,
    state: Records,
    seen: Seen,
    policy: Policy,
) -> None:
    """Score and decide the events of a round; write decision and contradicted into `items` and all into `result`."""
    journey = travel(items, state, policy)
    signals = _signals(items, state, seen, journey, sensitive, policy)
    points = points_of(signals, policy)
    score = total_of(points)
    verdict = decide(items, state, seen, score, policy)

    event = items["role"] == Role.EVENT
    undecided = event & (items["decision"] == Decision.UNDECIDED)
    items["decision"] = np.where(undecided, verdict["decision"], items["decision"])
    contradicted = (journey.value >= policy.travel.certain) & (items["outcome"] == OUTCOMES.index("success"))
    items["contradicted"] = np.where(undecided, contradicted, items["contradicted"])
    result.items[index] = items
    rows = index[undecided]
    for name, value in signals.items():
        result.signals[name][rows] = value[undecided]
        result.points[name][rows] = points[name][undecided]
    found = {
        "score": score,
        **verdict,
        "sensitivity": sensitive,
        "learned": state["learned"],
        "days": state["days"],
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
    }
    for name, value in found.items():
        result.verdicts[name][rows] = value[undecided]


def _signals(
    items: Batch, state: Records, seen: Seen, journey: Journey, sensitive: np.ndarray, policy: Policy
) -> dict[str, np.ndarray]:
    """Return every signal's column, on a grid of 1e-6."""
    facts = (items, state, seen, policy)
    found = {
        "impossible_travel": journey.value,
        "new_country": familiarity.new_country(*facts),
        "new_place": familiarity.new_place(*facts),
        "new_network": familiarity.new_network(*facts),
        "new_device": familiarity.new_device(*facts),
        "new_agent": familiarity.new_agent(*facts),
        "risky_network": network.risky_network(*facts),
        "sensitive_resource": resource.sensitive_resource(*facts, sensitive),
        "failed_attempts": attempts.failed_attempts(*facts),
        "address_attempts": attempts.address_attempts(*facts),
        "password_spray": attempts.password_spray(*facts),
        "ignored_step_ups": familiarity.ignored_step_ups(*facts),
        "user_at_risk": state["at_risk"].astype(np.float64),
    }
    return {name: np.round(value, 6) for name, value in found.items()}
