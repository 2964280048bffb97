"""Is somebody guessing? Failures on the user and from where the login comes, in the last full minutes."""

import numpy as np

from riskengine.history.record import Records, Seen, Status
from riskengine.policy import Policy


def at_home(seen: Seen) -> np.ndarray:
    """Return where a user is on a trusted device in a trusted network: failures elsewhere do not touch them there.

    Where no device was ever shown, trusted software in a trusted prefix stands for it.
    """
    prefix = seen.status["prefix"] == Status.TRUSTED
    inside = prefix | (seen.status["network"] == Status.TRUSTED)
    deviceless = ~seen.knows["device"] & ~seen.shows["device"] & (seen.status["agent"] == Status.TRUSTED)
    return ((seen.status["device"] == Status.TRUSTED) & inside) | (deviceless & prefix)


def _mostly_failing(attempts: np.ndarray, failures: np.ndarray, share: float) -> np.ndarray:
    return failures >= share * np.maximum(attempts, 1)


def failed_attempts(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return failures on this user, as a share of what the policy calls alarming; 0 for a user who is at home."""
    value = np.minimum(items["user_failures"] / max(policy.attempts.user_failures, 1), 1.0)
    value = np.where(at_home(seen), 0.0, value)
    return np.where(items["user"] < 0, np.nan, value)


def address_attempts(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return failures from the address or its prefix where most attempts from there fail."""
    limits = policy.attempts
    address = np.where(
        _mostly_failing(items["address_attempts"], items["address_failures"], limits.failure_share),
        items["address_failures"] / max(limits.address_failures, 1),
        0.0,
    )
    prefix = np.where(
        _mostly_failing(items["prefix_attempts"], items["prefix_failures"], limits.failure_share),
        items["prefix_failures"] / max(limits.prefix_failures, 1),
        0.0,
    )
    value = np.minimum(np.maximum(address, prefix), 1.0)
    return np.where(at_home(seen), 0.0, value)


def password_spray(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how many users were tried from the address where most attempts from there fail."""
    limits = policy.attempts
    many = items["address_users"] / max(limits.address_users, 1)
    failing = _mostly_failing(items["address_attempts"], items["address_failures"], limits.failure_share)
    value = np.where(failing & (items["address_failures"] > 0), np.minimum(many, 1.0), 0.0)
    # A household or a small office mistyping is not a campaign.
    value = np.where(items["address_users"] < 3, 0.0, value)
    return np.where(at_home(seen), 0.0, value)


def guessing_campaign(items: np.ndarray, seen: Seen, policy: Policy) -> np.ndarray:
    """Return where the rule of that name denies: many failures on many users from this very address."""
    rule = policy.guessing_campaign
    campaign = (
        (items["address_failures"] >= rule.address_failures)
        & (items["address_users"] >= rule.address_users)
        & _mostly_failing(items["address_attempts"], items["address_failures"], rule.failure_share)
    )
    return campaign & ~at_home(seen)
