"""Is what they want worth a second factor here?"""

import numpy as np

from riskengine.event import ACTIONS, SENSITIVITIES
from riskengine.history.record import Records, Seen, Status
from riskengine.policy.policy import Policy
from riskengine.signals.network import exposed

_HIGH = SENSITIVITIES.index("high")


def sensitivity(items: np.ndarray, of_resource: np.ndarray, policy: Policy) -> np.ndarray:
    """Return each item's sensitivity, index into SENSITIVITIES: the highest of caller's word or resource, and action.

    `of_resource` is the policy's for each entry of the batch's resource names, with that of "no resource" last.
    """
    of_action = np.array([SENSITIVITIES.index(policy.actions.get(name, "low")) for name in ACTIONS])
    stated = np.where(items["sensitivity"] >= 0, items["sensitivity"], of_resource[items["resource"]])
    return np.maximum(stated, of_action[items["action"]])


def sensitive_resource(
    items: np.ndarray, records: Records, seen: Seen, policy: Policy, sensitive: np.ndarray
) -> np.ndarray:
    """Return 1 for something sensitive on a public or anonymising network, half beside a device not trusted."""
    high = sensitive == _HIGH
    strange = seen.trusts["device"] & (seen.status["device"] != Status.TRUSTED)
    return np.where(high & exposed(items), 1.0, np.where(high & strange, 0.5, 0.0))
