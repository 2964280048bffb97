"""A policy applied to the names and the sources of one batch: what each resource and each set of groups is worth."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from riskengine.batch import Batch, Decision, Names
from riskengine.event import SENSITIVITIES
from riskengine.policy.policy import SIGNALS, Policy
from riskengine.policy.rule import MATURITY, Rule, may_hold
from riskengine.policy.sheet import sheet_of

# What a rule does; one that lowers something to a step-up does nothing: the score asks for no more, and what denies is
# not lowered.
WAIVES, DEMANDS, DENIES, NOTHING = range(4)
_ANY_SCORE = 1 << 40

# Of each rule what it does, and those of its conditions that only an assessment tells: the least value of each signal
# (NaN none), the score in tenths from which on and below which, and which sensitivity and maturity fulfil it.
RULE = np.dtype(
    [
        ("does", "i8"),
        ("signals", "f8", len(SIGNALS)),
        ("least", "i8"),
        ("below", "i8"),
        ("sensitivity", "u1", len(SENSITIVITIES)),
        ("maturity", "u1", len(MATURITY)),
    ]
)
# What a policy says of an item before it is assessed: the row of its groups in Terms, its resource's sensitivity,
# latitude and longitude of the edge that answered (NaN unknown), whether its source is blocked or trusted, and as bits
# which rules may hold.
STATED = np.dtype(
    [
        ("group", "i8"),
        ("sensitivity", "i8"),
        ("edge", "f8", 2),
        ("blocked", "?"),
        ("trusted", "?"),
        ("may_hold", "u8"),
    ]
)


class Terms(NamedTuple):
    """A policy as compiled functions take it.

    `sheet` is an array of one SHEET row, `rules` of RULE rows. `weights` (a column a signal) and `limits` (tenths: the
    score that asks for a step-up) have one row a set of groups, that of "none" last; a policy without groups has that
    one only.
    """

    sheet: np.ndarray
    rules: np.ndarray
    weights: np.ndarray
    limits: np.ndarray


def terms(policy: Policy, names: Names) -> Terms:
    """Return a policy as compiled functions take it, for the sets of groups of a batch."""
    return _terms(policy, tuple(names.groups) if policy.groups else ())


@lru_cache(16)
def _terms(policy: Policy, groups: tuple[tuple[str, ...], ...]) -> Terms:
    rules = np.zeros(len(policy.rules), RULE)
    for row, rule in zip(rules, policy.rules, strict=True):
        row["does"] = _does(rule)
        row["signals"] = [rule.when.signals.get(name, np.nan) for name in SIGNALS]
        row["least"] = -_ANY_SCORE if rule.when.score is None else round(rule.when.score * 10)
        row["below"] = _ANY_SCORE if rule.when.score_below is None else round(rule.when.score_below * 10)
        for name in ("sensitivity", "maturity"):
            row[name] = rule.codes.get(name, True)
    return Terms(sheet_of(policy), rules, _weights(policy, groups), _limits(policy, groups))


def _does(rule: Rule) -> int:
    if rule.demands:
        return DENIES if rule.decision == Decision.DENY else DEMANDS
    return WAIVES if rule.decision == Decision.ALLOW else NOTHING


def _limits(policy: Policy, groups: tuple[tuple[str, ...], ...]) -> np.ndarray:
    """Return, in tenths, from which score on a step-up is asked of each set of groups: of several the lowest."""
    own = {name: group.step_up for name, group in policy.groups.items() if group.step_up is not None}
    usual = policy.thresholds.step_up
    found = [min((own[name] for name in some if name in own), default=usual) for some in (*groups, ())]
    return np.array([round(one * 10) for one in found], np.int64)


def _weights(policy: Policy, groups: tuple[tuple[str, ...], ...]) -> np.ndarray:
    """Return each signal's weight for each set of groups, of several the highest."""
    return np.array([[_weight(policy, name, some) for name in SIGNALS] for some in (*groups, ())], np.float64)


def _weight(policy: Policy, name: str, groups: tuple[str, ...]) -> float:
    own = [policy.groups[group].weights for group in groups if group in policy.groups]
    usual: float = getattr(policy.weights, name)
    return max((weights[name] for weights in own if name in weights), default=usual)


def stated(policy: Policy, items: Batch, names: Names) -> np.ndarray:
    """Return STATED rows for the items of a batch, whose kinds of network are resolved."""
    found = np.zeros(len(items), STATED)
    if policy.groups:
        found["group"] = np.arange(len(names.groups) + 1)[items["groups"]]
    sensitivity = np.array([policy.sensitivity_of(name) for name in (*names.resources, None)], np.int64)
    found["sensitivity"] = sensitivity[items["resource"]]
    nowhere = (np.nan, np.nan)
    edges = [*(policy.corroboration.edges.get(name, nowhere) for name in names.edges), nowhere]
    found["edge"] = np.array(edges)[items["edge"]]
    if policy.block.names_anybody:
        found["blocked"] = policy.block.hold(items)
    if policy.trust.names_anybody:
        found["trusted"] = policy.trust.vouch(items)
    for bit, rule in enumerate(policy.rules):
        held = may_hold(rule, items, _named(rule, names))
        found["may_hold"] |= np.where(held, np.uint64(1 << bit), np.uint64(0))
    return found


def _named(rule: Rule, names: Names) -> Mapping[str, np.ndarray]:
    """Return which sets of groups and which resources fulfil a rule's conditions on them, none of them last."""
    found = {}
    if rule.when.groups:
        wanted = set(rule.when.groups)
        found["groups"] = np.array([*(bool(wanted & set(some)) for some in names.groups), False])
    if rule.when.resources:
        found["resource"] = np.array([*(matches(name, rule.when.resources) for name in names.resources), False])
    return found


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a name fits one of some glob patterns.

    >>> matches("finance/payroll", ("hr/*", "finance/*")), matches("Finance/payroll", ("finance/*",))
    (True, False)
    """
    return any(fnmatchcase(name, pattern) for pattern in patterns)
