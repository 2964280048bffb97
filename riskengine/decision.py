"""From score and rules to decision and level. The score alone never denies: that takes a rule with a name."""

import numpy as np

from riskengine.batch import Batch, Decision
from riskengine.history.record import Records, Seen
from riskengine.policy import Policy
from riskengine.signals.attempts import guessing_campaign

LEVELS = ("low", "medium", "high")
RULES = ("", "blocked", "guessing_campaign", "second_factor_failed")
DECISIONS = ("allow", "step_up", "deny")


def decide(items: Batch, records: Records, seen: Seen, score: np.ndarray, policy: Policy) -> dict[str, np.ndarray]:
    """Return `decision`, `would_be`, `rule` and `level` codes for each event; `score` is in tenths.

    A second factor passed satisfies a step-up, but for a user at risk; one failed asks for another try.
    """
    limits = policy.thresholds
    asks = score >= round(limits.step_up * 10)
    proved = (items["mfa"] == 1) & (records["at_risk"] == 0)
    failed = items["mfa"] == 2
    would_be = np.where((asks & ~proved) | failed | (records["at_risk"] > 0), Decision.STEP_UP, Decision.ALLOW)
    campaign, block = guessing_campaign(items, seen, policy), blocked(items, policy)
    would_be = np.where(campaign | block, Decision.DENY, would_be)
    rule = np.where(failed, RULES.index("second_factor_failed"), 0)
    rule = np.where(block, RULES.index("blocked"), np.where(campaign, RULES.index("guessing_campaign"), rule))
    level = np.where(score >= round(limits.medium * 10), 1, 0) + np.where(score >= round(limits.high * 10), 1, 0)
    decision = np.full(len(items), Decision.ALLOW) if policy.mode == "observe" else would_be
    return {"decision": decision, "would_be": would_be, "rule": rule, "level": level}


def blocked(items: Batch, policy: Policy) -> np.ndarray:
    """Return which items come from a source on the policy's block list."""
    high, low = items["address_high"], items["address_low"]
    found = np.isin(items["asn"], np.array(policy.block.asns, np.int64))
    countries = np.array(policy.blocked_countries(), np.int64)
    found |= np.isin(items["country"], countries) & (items["country"] > 0)
    for first_high, first_low, last_high, last_low in policy.blocked:
        above = (high > first_high) | ((high == first_high) & (low >= first_low))
        below = (high < last_high) | ((high == last_high) & (low <= last_low))
        found |= above & below
    return found
