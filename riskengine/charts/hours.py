"""A week as 7 rows of 24 cells, the darker the more happened then."""

from collections.abc import Sequence

from riskengine.charts.element import element

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LEFT, _TOP, _CELL, _HEIGHT = 40.0, 6.0, 15.5, 18.0

STYLE = """
.hours { display: block; width: 100%; max-width: 40rem; height: auto; font: 11px system-ui, sans-serif; }
.hours text { fill: currentColor; }
.hours .cell { fill: currentColor; fill-opacity: .06; }
.hours .heat { fill: #0b6bb0; }
@media (prefers-color-scheme: dark) { .hours .heat { fill: #6db6f2; } }
"""


def week(title: str, counts: Sequence[Sequence[int]]) -> str:
    """Return the picture of `counts` by day (Monday first) and hour; each cell says what it counts."""
    most = max((count for day in counts for count in day), default=0)
    parts = [
        element("text", {"x": _LEFT + hour * _CELL, "y": _TOP + 7 * _HEIGHT + 12}, f"{hour}")
        for hour in range(0, 24, 3)
    ]
    for day, row in enumerate(counts):
        y = _TOP + day * _HEIGHT
        parts.append(element("text", {"x": 2.0, "y": y + 13}, DAYS[day][:3]))
        for hour, count in enumerate(row):
            box: dict[str, str | float] = {"x": _LEFT + hour * _CELL, "y": y, "width": 14.0, "height": 16.0}
            parts.append(element("rect", {"class": "cell", **box}))
            if count:
                heat = {"class": "heat", **box, "fill-opacity": 0.2 + 0.8 * count / most}
                said = element("title", {}, f"{DAYS[day]} {hour}:00, {count:,}")
                parts.append(f"{element('rect', heat).removesuffix('/>')}>{said}</rect>")
    head = '<svg class="hours" role="img" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 420 152">'
    return "\n".join([head, element("title", {}, title), *parts, "</svg>"])
