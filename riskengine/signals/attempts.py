"""Is somebody guessing? Failures on the user and from where the login comes, in the last full minutes."""

import numpy as np

from riskengine.history.record import Records, Seen, Status
from riskengine.policy.policy import Policy

HOUSEHOLD = 3  # users who mistype at one address, and are no sign of guessing


def at_home(seen: Seen) -> np.ndarray:
    """Return where a user is on a trusted device in a trusted network: failures elsewhere do not touch them there.

    Where no device was ever shown, trusted software in a trusted prefix stands for it.
    """
    prefix = seen.status["prefix"] == Status.TRUSTED
    inside = prefix | (seen.status["network"] == Status.TRUSTED)
    deviceless = ~seen.knows["device"] & ~seen.shows["device"] & (seen.status["agent"] == Status.TRUSTED)
    return ((seen.status["device"] == Status.TRUSTED) & inside) | (deviceless & prefix)


def mostly_failing(attempts: np.ndarray, failures: np.ndarray, share: float) -> np.ndarray:
    """Return where at least `share` of the attempts failed."""
    return failures >= share * np.maximum(attempts, 1)


def failed_attempts(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return failures on this user from anywhere, 0 to 1: beyond what anybody mistypes, up to what the policy calls
    alarming. So a success after a burst of them counts in full, unless the user is at home; NaN without an account."""
    limits = policy.attempts
    span = max(limits.user_failures - limits.mistypes, 1)
    value = np.clip((items["user_failures"] - limits.mistypes) / span, 0.0, 1.0)
    value = np.where(at_home(seen), 0.0, value)
    return np.where(items["user"] < 0, np.nan, value)


def address_attempts(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return failures from the address or its prefix, 0 to 1, where most attempts from there fail.

    Of one user's failures only some count, and what fewer users than HOUSEHOLD can make of them is nothing: a broken
    mail client behind an office's address is not its colleagues' fault.
    """
    limits = policy.attempts
    address, prefix = (
        np.where(_household(items, source, policy), 0, items[f"{source}_failures"]) * _failing(items, source, policy)
        for source in ("address", "prefix")
    )
    value = np.maximum(address / max(limits.address_failures, 1), prefix / max(limits.prefix_failures, 1))
    return np.where(at_home(seen), 0.0, np.minimum(value, 1.0))


def password_spray(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how many users were tried in vain from the address or its prefix, 0 to 1, where most attempts from there
    fail. A household that mistypes is no campaign: fewer than HOUSEHOLD say nothing."""
    limits = policy.attempts
    address, prefix = (
        np.where(items[f"{source}_users"] < HOUSEHOLD, 0, items[f"{source}_users"]) * _failing(items, source, policy)
        for source in ("address", "prefix")
    )
    value = np.maximum(address / max(limits.address_users, 1), prefix / max(limits.prefix_users, 1))
    return np.where(at_home(seen), 0.0, np.minimum(value, 1.0))


def _household(items: np.ndarray, source: str, policy: Policy) -> np.ndarray:
    """Return where few users failed, and no more often than they can: who failed without a name may be anybody."""
    most = (HOUSEHOLD - 1) * policy.attempts.failures_per_user
    return (items[f"{source}_users"] < HOUSEHOLD) & (items[f"{source}_failures"] <= most)


def _failing(items: np.ndarray, source: str, policy: Policy) -> np.ndarray:
    return mostly_failing(items[f"{source}_attempts"], items[f"{source}_failures"], policy.attempts.failure_share)


def guessing_campaign(items: np.ndarray, seen: Seen, policy: Policy) -> np.ndarray:
    """Return where the rule of that name denies: many failures on many users from this very address."""
    rule = policy.guessing_campaign
    campaign = (
        (items["address_failures"] >= rule.address_failures)
        & (items["address_users"] >= rule.address_users)
        & mostly_failing(items["address_attempts"], items["address_failures"], rule.failure_share)
    )
    return campaign & ~at_home(seen)
