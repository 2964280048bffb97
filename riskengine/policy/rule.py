"""Rules that users own: when all of this holds, then at least, or at most, that."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from riskengine.batch import Batch, Decision
from riskengine.policy.source import Sources

MATURITY = ("none", "learning", "ripe", "idle")
MOST = 50  # rules of one policy: which of them held is kept as bits of one number


@dataclass(frozen=True, slots=True)
class When:
    """The conditions of a rule: all that are stated must hold, and of a list any one entry.

    `networks` are kinds, `addresses` CIDRs, `resources` glob patterns; `signals` holds the least value of each signal,
    `score` is the least score and `score_below` one that is not reached. What is unknown fulfils no condition, not
    even `not_countries`.
    """

    groups: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    asns: tuple[int, ...] = ()
    countries: tuple[str, ...] = ()
    not_countries: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    sensitivity: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    maturity: tuple[str, ...] = ()
    signals: Mapping[str, float] = field(default_factory=dict)
    score: float | None = None
    score_below: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. A demand (`demands`) makes the decision at least `decision`, a waiver at most.

    `codes` says of each coded column (network, action, sensitivity, maturity) which codes fulfil the condition;
    `sources` holds addresses, AS numbers and countries, each None where there is no such condition.
    """

    name: str
    why: str
    decision: Decision
    demands: bool
    when: When
    codes: Mapping[str, np.ndarray]
    sources: tuple[Sources, ...]
    elsewhere: np.ndarray | None  # countries that the login must not come from

    @property
    def code(self) -> str:
        """What its reason is called."""
        return f"rule.{self.name}"

    @property
    def about_resource(self) -> bool:
        """Whether it is about what is entered, rather than about who enters."""
        return bool(self.when.resources or self.when.sensitivity)


def may_hold(rule: Rule, items: Batch, named: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return for which items all those conditions of a rule hold that rest on no assessment.

    `named` says of each of the batch's sets of `groups`, and of each `resource`, whether it fulfils the rule, none of
    them last.
    """
    found = np.ones(len(items), bool)
    for name, fulfils in named.items():
        found &= fulfils[items[name]]
    if "actions" in rule.codes:
        found &= rule.codes["actions"][items["action"]]
    if "networks" in rule.codes:
        found &= _network(rule, items, rule.codes["networks"])
    for sources in rule.sources:
        found &= sources.hold(items) if rule.demands else sources.vouch(items)
    if rule.elsewhere is not None:
        found &= (items["country"] > 0) & ~np.isin(items["country"], rule.elsewhere)
    return found


def _network(rule: Rule, items: Batch, fulfils: np.ndarray) -> np.ndarray:
    """Return which items come from a kind of network; what the client claims of it counts where it adds risk only."""
    found = fulfils[items["kind"]]
    return found | ((items["claimed"] > 0) & fulfils[items["claimed"]]) if rule.demands else found
