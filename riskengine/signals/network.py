"""What sort of network is this: how far it hides people or is open to anyone."""

import numpy as np

from riskengine.history.record import Records, Seen, Status
from riskengine.network import EXPOSED, Kind
from riskengine.policy import Policy


def risky_network(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return the risk of the network's kind, 0 to 1, by the policy; NaN where the kind is unknown.

    What the client says of its network counts where it makes matters worse, and never otherwise. A prefix that the
    user is trusted in (their own VPN) counts half.
    """
    risk = policy.networks.risk[items["kind"]]
    own = seen.status["prefix"] == Status.TRUSTED
    risk = np.where(own, risk * 0.5, risk)
    risk = np.maximum(risk, policy.networks.risk[items["claimed"]])
    unknown = (items["kind"] == Kind.UNKNOWN) & (items["claimed"] == Kind.UNKNOWN)
    return np.where(unknown, np.nan, risk)


def exposed(items: np.ndarray) -> np.ndarray:
    """Return whether strangers may share the network, or it hides who is behind it: by evidence or by the client."""
    return EXPOSED[items["kind"]] | EXPOSED[items["claimed"]]
