"""A policy applied to the names of one batch: what each resource and each set of groups is worth, told once."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase

import numpy as np

from riskengine.batch import Names
from riskengine.policy.policy import Policy, Weights
from riskengine.policy.rule import Rule

_SIGNALS = tuple(field.name for field in fields(Weights))


@dataclass(frozen=True, slots=True)
class Terms:
    """A policy, and what it says of a batch's names. Tables have one entry a name, that of "none" last: what -1
    indexes.

    `sensitivity` is of resources; `step_up` of sets of groups, in tenths; `weights` of sets of groups by signal, plain
    numbers where no group has its own; `rules` of groups and resources, by the rules that have such conditions.
    """

    policy: Policy
    sensitivity: np.ndarray
    step_up: np.ndarray
    weights: Mapping[str, np.ndarray | float]
    rules: tuple[Mapping[str, np.ndarray], ...]

    def limit(self, groups: np.ndarray) -> np.ndarray:
        """Return the score, in tenths, from which on a second factor is asked of items with these sets of groups."""
        return self.step_up[groups]

    def weights_of(self, groups: np.ndarray) -> Mapping[str, np.ndarray | float]:
        """Return each signal's weight for items with these sets of groups: a column, or one number for all."""
        if not self.policy.groups:
            return self.weights
        return {name: table[groups] if isinstance(table, np.ndarray) else table for name, table in self.weights.items()}


def terms(policy: Policy, names: Names) -> Terms:
    """Return what a policy says of the names of a batch."""
    return Terms(
        policy,
        np.array([policy.sensitivity_of(name) for name in (*names.resources, None)], np.int8),
        thresholds_for(policy, names),
        weights_for(policy, names),
        tuple(_named(rule, names) for rule in policy.rules),
    )


def thresholds_for(policy: Policy, names: Names) -> np.ndarray:
    """Return, in tenths, from which score on a step-up is asked of each set of groups: of several the lowest."""
    own = {name: group.step_up for name, group in policy.groups.items() if group.step_up is not None}
    found = [min((own[name] for name in some if name in own), default=None) for some in (*names.groups, ())]
    usual = policy.thresholds.step_up
    return np.array([round((usual if one is None else one) * 10) for one in found], np.int64)


def weights_for(policy: Policy, names: Names) -> dict[str, np.ndarray | float]:
    """Return each signal's weight for each set of groups, of several the highest; one number where none has its own."""
    found: dict[str, np.ndarray | float] = {name: getattr(policy.weights, name) for name in _SIGNALS}
    for name in _SIGNALS if policy.groups else ():
        own = {group: one.weights[name] for group, one in policy.groups.items() if name in one.weights}
        if own:
            usual = found[name]
            sets = (*names.groups, ())
            found[name] = np.array([max((own[one] for one in some if one in own), default=usual) for some in sets])
    return found


def _named(rule: Rule, names: Names) -> dict[str, np.ndarray]:
    """Return which sets of groups and which resources fulfil a rule's conditions on them."""
    found = {}
    if rule.when.groups:
        wanted = set(rule.when.groups)
        found["groups"] = np.array([*(bool(wanted & set(some)) for some in names.groups), False])
    if rule.when.resources:
        found["resources"] = np.array([*(matches(name, rule.when.resources) for name in names.resources), False])
    return found


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a name fits one of some glob patterns.

    >>> matches("finance/payroll", ("hr/*", "finance/*")), matches("Finance/payroll", ("finance/*",))
    (True, False)
    """
    return any(fnmatchcase(name, pattern) for pattern in patterns)
