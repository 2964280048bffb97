"""Is somebody guessing? Failures on the user and from where the login comes, in the last full minutes."""

import math

from riskengine.compiled import Row, compiled
from riskengine.history.record import AGENT, DEVICE, NETWORK, PREFIX, TRUSTED

HOUSEHOLD = 3  # users who mistype at one address, and are no sign of guessing


@compiled
def at_home(seen: Row) -> bool:
    """Return whether a user is on a trusted device in a trusted network: failures elsewhere do not touch them there.

    Where no device was ever shown, trusted software in a trusted prefix stands for it.
    """
    prefix = seen.status[PREFIX] == TRUSTED
    inside = prefix or seen.status[NETWORK] == TRUSTED
    deviceless = not seen.knows[DEVICE] and not seen.shows[DEVICE] and seen.status[AGENT] == TRUSTED
    return (seen.status[DEVICE] == TRUSTED and inside) or (deviceless and prefix)


@compiled
def mostly_failing(attempts: int, failures: int, share: float) -> bool:
    """Return whether at least `share` of the attempts failed."""
    return failures >= share * max(attempts, 1)


@compiled
def failed_attempts(item: Row, seen: Row, policy: Row) -> float:
    """Return failures on this user from anywhere, 0 to 1: beyond what anybody mistypes, up to what the policy calls
    alarming. So a success after a burst of them counts in full, unless the user is at home; NaN without an account."""
    if item.user < 0:
        return math.nan
    if at_home(seen):
        return 0.0
    span = max(policy.attempts_user_failures - policy.attempts_mistypes, 1)
    return min(max((item.user_failures - policy.attempts_mistypes) / span, 0.0), 1.0)


@compiled
def address_attempts(item: Row, seen: Row, policy: Row) -> float:
    """Return failures from the address or its prefix, 0 to 1, where most attempts from there fail.

    Of one user's failures only some count, and what fewer users than HOUSEHOLD can make of them is nothing: a broken
    mail client behind an office's address is not its colleagues' fault.
    """
    if at_home(seen):
        return 0.0
    address = _failures(item.address_attempts, item.address_failures, item.address_users, policy)
    prefix = _failures(item.prefix_attempts, item.prefix_failures, item.prefix_users, policy)
    of_address = address / max(policy.attempts_address_failures, 1)
    return min(max(of_address, prefix / max(policy.attempts_prefix_failures, 1)), 1.0)


@compiled
def _failures(attempts: int, failures: int, users: int, policy: Row) -> int:
    """Return the failures of a source that count: none where few users failed, and no more often than they can (who
    failed without a name may be anybody)."""
    most = (HOUSEHOLD - 1) * policy.attempts_failures_per_user
    household = users < HOUSEHOLD and failures <= most
    return 0 if household or not mostly_failing(attempts, failures, policy.attempts_failure_share) else failures


@compiled
def password_spray(item: Row, seen: Row, policy: Row) -> float:
    """Return how many users were tried in vain from the address or its prefix, 0 to 1, where most attempts from there
    fail. A household that mistypes is no campaign: fewer than HOUSEHOLD say nothing."""
    if at_home(seen):
        return 0.0
    address = _users(item.address_attempts, item.address_failures, item.address_users, policy)
    prefix = _users(item.prefix_attempts, item.prefix_failures, item.prefix_users, policy)
    of_address = address / max(policy.attempts_address_users, 1)
    return min(max(of_address, prefix / max(policy.attempts_prefix_users, 1)), 1.0)


@compiled
def _users(attempts: int, failures: int, users: int, policy: Row) -> int:
    """Return the users tried in vain at a source that count."""
    counts = users >= HOUSEHOLD and mostly_failing(attempts, failures, policy.attempts_failure_share)
    return users if counts else 0


@compiled
def guessing_campaign(item: Row, seen: Row, policy: Row) -> bool:
    """Return whether the rule of that name denies: many failures on many users from this very address."""
    many = item.address_failures >= policy.guessing_campaign_address_failures
    of_many = item.address_users >= policy.guessing_campaign_address_users
    share = policy.guessing_campaign_failure_share
    failing = mostly_failing(item.address_attempts, item.address_failures, share)
    return many and of_many and failing and not at_home(seen)
