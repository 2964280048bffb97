"""What a policy may say and hardly means: sentences for whoever checks it. None of it is refused."""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from riskengine.batch import Decision
from riskengine.policy.policy import Policy
from riskengine.policy.rule import Rule
from riskengine.policy.source import Ranges, Sources

_ALL_V4 = (b"\0" * 10 + b"\xff\xff" + b"\0" * 4, b"\0" * 10 + b"\xff" * 6)


def oddities(policy: Policy) -> list[str]:
    """Return what is odd about a policy, a sentence each."""
    found = [*_scores(policy), *_networks(policy), *_groups(policy)]
    for rule in policy.rules:
        found += [f"rules: {rule.name} {what}" for what in _rule(rule, policy)]
    return found


def _scores(policy: Policy) -> Iterator[str]:
    weights, limits = asdict(policy.weights), policy.thresholds
    for name, weight in weights.items():
        if weight == 0:
            yield f"weights.{name} is 0: the signal is never told"
    if limits.step_up == 0:
        yield "thresholds.step_up is 0: every login without a second factor is stepped up"
    if limits.step_up > min(100.0, sum(weights.values())):
        yield "thresholds.step_up is more than all signals together: the score never asks for a step-up"
    if limits.high < limits.step_up:
        yield "thresholds.high is below thresholds.step_up: a high level may be allowed"
    if policy.fallback.decision == "allow":
        yield "fallback.decision is allow: whoever can stop the database is let in"
    if policy.mode == "observe":
        yield "mode is observe: nothing is asked for or denied"
    if policy.quiet is not None and policy.quiet.hours > 168:
        yield "quiet.hours is more than a week"


def _networks(policy: Policy) -> Iterator[str]:
    if _everybody(policy.trust.ranges):
        yield "trust.addresses names the whole internet: the score asks nobody"
    if len(policy.trust.private.first):
        yield (
            "trust.addresses names private networks: whoever can state an address of theirs, past a proxy that does "
            "not overwrite it, is trusted"
        )
    if len(policy.trust.countries):
        yield "trust.countries trusts whole countries, with all VPN exits there"
    if _everybody(policy.block.ranges):
        yield "block.addresses names the whole internet: everybody is denied"
    if _share(policy.trust, policy.block):
        yield "trust and block name the same source: it is blocked"


def _everybody(ranges: Ranges) -> bool:
    """Return whether all IPv4 addresses lie in a range."""
    return bool(np.any((ranges.first <= _ALL_V4[0]) & (ranges.last >= _ALL_V4[1])))


def _share(one: Sources, other: Sources) -> bool:
    """Return whether two lists name a source both."""
    over = (one.ranges.first[:, None] <= other.ranges.last) & (other.ranges.first <= one.ranges.last[:, None])
    return bool(over.any() or np.isin(one.asns, other.asns).any() or np.isin(one.countries, other.countries).any())


def _groups(policy: Policy) -> Iterator[str]:
    weights = asdict(policy.weights)
    for name, group in policy.groups.items():
        if group.step_up is not None and group.step_up > policy.thresholds.step_up:
            yield f"groups.{name}.step_up is above thresholds.step_up: the group is asked less than others"
        for signal, weight in group.weights.items():
            if weight < weights[signal]:
                yield f"groups.{name}.weights.{signal} is below the policy's: the group is asked less than others"


def _rule(rule: Rule, policy: Policy) -> Iterator[str]:
    when, waives = rule.when, not rule.demands
    if waives and rule.decision == Decision.STEP_UP:
        yield "does nothing: a score asks for no more than a step-up, and what denies is not lowered"
    if when.countries and not {*map(str.upper, when.countries)} - {*map(str.upper, when.not_countries)}:
        yield "never holds: not_countries excludes all its countries"
    if when.score_below is not None and (when.score_below == 0 or (when.score or 0) >= when.score_below):
        yield "never holds: no score is below score_below and reaches score"
    if waives and when.score_below is not None and when.score_below <= policy.thresholds.step_up:
        yield "waives what is not asked: score_below is not above thresholds.step_up"
    if "idle" in when.maturity and policy.cold_start is None:
        yield "names the maturity idle, which there is only with a table cold_start"
    for name, least in when.signals.items():
        if least == 0:
            yield f"asks for {name} of 0 or more, which holds wherever the signal is known"
