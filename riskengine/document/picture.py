"""Pictures of shares and scores, for any document that has some."""

from riskengine.charts.plot import Axis, Bar
from riskengine.document.share import NO_DATA, Share, percent

QUARTERS = tuple((at / 4, f"{at * 25} %") for at in range(5))
SCORES = Axis("score", 0.0, 100.0, tuple((at, str(at)) for at in range(0, 101, 20)))


def share_axis(label: str) -> Axis:
    """Return an axis from nothing to all."""
    return Axis(label, 0.0, 1.0, QUARTERS)


def share_bar(name: str, found: Share) -> Bar:
    """Return a share as a bar with its interval."""
    note = f"{percent(found.value)} of {found.of:,}" if found.of else NO_DATA
    return Bar(name, found.value, found.low, found.high, note)
