"""Is what they want worth a second factor here?"""

from riskengine.compiled import Row, compiled
from riskengine.event import SENSITIVITIES
from riskengine.history.record import DEVICE, TRUSTED
from riskengine.signals.network import exposed

_HIGH = SENSITIVITIES.index("high")


@compiled
def sensitivity(item: Row, of_resource: int, policy: Row) -> int:
    """Return an item's sensitivity, index into SENSITIVITIES: the highest of caller's word or resource, and action."""
    stated = item.sensitivity if item.sensitivity >= 0 else of_resource
    return max(stated, policy.actions[item.action])


@compiled
def sensitive_resource(item: Row, seen: Row, sensitive: int) -> float:
    """Return 1 for something sensitive on a public or anonymising network, half beside a device not trusted."""
    if sensitive != _HIGH:
        return 0.0
    if exposed(item):
        return 1.0
    return 0.5 if seen.trusts[DEVICE] and seen.status[DEVICE] != TRUSTED else 0.0
