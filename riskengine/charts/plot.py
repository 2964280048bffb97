"""SVG pictures of values: lines, bars with their intervals, histograms; each a string that stands in any HTML page.

A picture holds no colours: series have the classes `s0`, `s1` …, and `STYLE` is the sheet for light and dark pages. The
title is its first element, which screen readers speak. What cannot be drawn (None, NaN, infinity) leaves a gap, and
what lies outside an axis stands at its end.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeGuard

from riskengine.charts.element import element, number

WIDTH = 420.0  # of every picture, in its own units: about as wide as a phone, so that its letters stay readable there
_LEFT, _RIGHT, _TOP, _BELOW = 48.0, 12.0, 24.0, 36.0
_PLOT_HEIGHT = 200.0
_LEGEND_HEIGHT = 16.0
_BAR_TOP, _BAR_ROW, _BAR_HEIGHT = 4.0, 36.0, 10.0
_LONGEST_NAME = 36
_COLOURS = 8
_STEPS = (1, 2, 5, 10)  # what an axis may count in, times a power of ten
_HIGHEST = 1e300

STYLE = """
.chart { display: block; width: 100%; max-width: 40rem; height: auto; font: 12px system-ui, sans-serif; }
.chart text { fill: currentColor; }
.chart .end { text-anchor: end; }
.chart .middle { text-anchor: middle; }
.chart .grid { stroke: currentColor; stroke-opacity: .15; }
.chart .interval { stroke: currentColor; stroke-width: 1.5; }
.chart .line { fill: none; stroke: var(--ink); stroke-width: 2; stroke-linejoin: round; }
.chart .fill { fill: var(--ink); }
.chart .track { fill: currentColor; fill-opacity: .08; }
.s0 { --ink: #0b6bb0; } .s1 { --ink: #c8501e; } .s2 { --ink: #00835f; } .s3 { --ink: #8a3fa0; }
.s4 { --ink: #7a5a1e; } .s5 { --ink: #007c8a; } .s6 { --ink: #c2185b; } .s7 { --ink: #5a5a5a; }
.chart .line.s1, .chart .line.s5 { stroke-dasharray: 7 3; }
.chart .line.s2, .chart .line.s6 { stroke-dasharray: 2 2; }
.chart .line.s3, .chart .line.s7 { stroke-dasharray: 9 3 2 3; }
@media (prefers-color-scheme: dark) {
.s0 { --ink: #6db6f2; } .s1 { --ink: #ff9a6b; } .s2 { --ink: #4fd1a5; } .s3 { --ink: #d79be8; }
.s4 { --ink: #d9b36c; } .s5 { --ink: #5cd0de; } .s6 { --ink: #ff85ad; } .s7 { --ink: #b4b4b4; }
}
"""


@dataclass(frozen=True, slots=True)
class Axis:
    """What one direction of a picture measures: a label, the values at its ends, and (value, text) where it is marked.

    A logarithmic axis begins above 0.
    """

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return where a value stands between the ends, 0 to 1.

        >>> Axis("", 0, 200, ()).at(50), Axis("", 0.01, 1, (), logarithmic=True).at(0.1), Axis("", 0, 1, ()).at(7)
        (0.25, 0.5, 1.0)
        """
        low, high = self.low, self.high
        inside = min(max(value, low), high)
        if self.logarithmic:
            low, high, inside = math.log10(low), math.log10(high), math.log10(inside)
        # Halves, because the distance between two huge ends may be more than a float holds.
        return (inside / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """A named line through (x, y) points, in order."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Bar:
    """A named value with the interval it lies in, and a note beside it; None is unknown."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Bin:
    """What lies between two values of the x axis: one height for each series."""

    low: float
    high: float
    heights: Sequence[float | None]


def counting_axis(label: str, highest: float) -> Axis:
    """Return an axis from 0 to `highest` or a little beyond, marked at up to six round whole numbers.

    >>> [text for _, text in counting_axis("logins", 1234).ticks]
    ['0', '500', '1,000', '1,500']
    """
    highest = min(max(highest, 1.0), _HIGHEST) if math.isfinite(highest) else 1.0
    power = 10.0 ** max(math.floor(math.log10(highest / 5)), 0)
    step = next(power * step for step in _STEPS if power * step * 5 >= highest)
    count = math.ceil(highest / step)
    ticks = tuple((step * at, _spell(step * at)) for at in range(count + 1))
    return Axis(label, 0.0, step * count, ticks)


def line_chart(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """Return a picture of lines over two axes, with a legend below; a line of one point is a dot."""
    parts = _axes(x, y)
    for at, line in enumerate(lines):
        run: list[str] = []
        for point in [*line.points, (math.nan, math.nan)]:
            if all(map(math.isfinite, point)):
                run.append(f"{number(_across(x, point[0]))},{number(_upward(y, point[1]))}")
            elif run:
                parts.append(_stroke(run, at))
                run = []
    names = [line.name for line in lines]
    return _picture(title, [*parts, *_legend(names, _line_sign)], _plot_height(len(names)))


def histogram(title: str, names: Sequence[str], bins: Sequence[Bin], x: Axis, y: Axis) -> str:
    """Return a picture of bins whose series stand side by side as columns; `names` are the series."""
    parts = _axes(x, y)
    for found in bins:
        left, right = _across(x, found.low), _across(x, found.high)
        width = (right - left) * 0.9 / max(len(names), 1)
        for at, height in enumerate(found.heights):
            if _known(height):
                top = _upward(y, height)
                box = {"x": left + at * width, "y": top, "width": width, "height": _TOP + _PLOT_HEIGHT - top}
                parts.append(element("rect", {"class": f"fill s{at % _COLOURS}", **box}))
    return _picture(title, [*parts, *_legend(names, _column_sign)], _plot_height(len(names)))


def day_histogram(title: str, names: Sequence[str], days: Sequence[tuple[str, Sequence[int]]], upward: str) -> str:
    """Return a picture of counts by day: of (YYYY-MM-DD in order, a count for each series)."""
    numbers = [date.fromisoformat(day).toordinal() for day, _ in days]
    first, last = (numbers[0], numbers[-1] + 1) if numbers else (0, 1)
    ticks = ((first, days[0][0]), (last, days[-1][0])) if days else ()
    bins = [Bin(at, at + 1, counts) for at, (_, counts) in zip(numbers, days, strict=True)]
    highest = max((count for _, counts in days for count in counts), default=0)
    across = Axis("day (UTC)", first, last, ticks)
    return histogram(title, names if days else (), bins, across, counting_axis(upward, highest))


def bar_chart(title: str, bars: Sequence[Bar], axis: Axis) -> str:
    """Return a picture of bars below each other, each with its name, its note and the interval it lies in."""
    bottom = _BAR_TOP + _BAR_ROW * max(len(bars), 1)
    parts = []
    for value, text in axis.ticks:
        x = _bar_at(axis, value)
        parts.append(element("line", {"class": "grid", "x1": x, "x2": x, "y1": _BAR_TOP, "y2": bottom}))
        parts.append(element("text", {"class": _anchor(axis.at(value)), "x": x, "y": bottom + 14}, text))
    parts.append(element("text", {"class": "middle", "x": WIDTH / 2, "y": bottom + 30}, axis.label))
    for at, bar in enumerate(bars):
        parts += _bar(bar, axis, _BAR_TOP + _BAR_ROW * at)
    return _picture(title, parts if bars else [*parts, _no_data(bottom / 2)], bottom + _BELOW)


def _bar(bar: Bar, axis: Axis, y: float) -> list[str]:
    """Return one row: name and note, and below them the bar on its track."""
    start, end = _bar_at(axis, axis.low), _bar_at(axis, axis.high)
    top, middle = y + 18, y + 18 + _BAR_HEIGHT / 2
    box: dict[str, str | float] = {"x": start, "y": top, "width": end - start, "height": _BAR_HEIGHT}
    parts = [
        element("text", {"x": start, "y": y + 13}, _short(bar.name)),
        element("text", {"class": "end", "x": end, "y": y + 13}, bar.note),
        element("rect", {"class": "track", **box}),
    ]
    if _known(bar.value):
        width = _bar_at(axis, bar.value) - start
        parts.append(element("rect", {"class": "fill s0", **box, "width": width}))
    if _known(bar.low) and _known(bar.high):
        ends = {"x1": _bar_at(axis, bar.low), "x2": _bar_at(axis, bar.high)}
        parts.append(element("line", {"class": "interval", **ends, "y1": middle, "y2": middle}))
        for x in ends.values():
            parts.append(element("line", {"class": "interval", "x1": x, "x2": x, "y1": middle - 4, "y2": middle + 4}))
    return parts


def _axes(x: Axis, y: Axis) -> list[str]:
    """Return the marks and labels of a plot."""
    bottom, right = _TOP + _PLOT_HEIGHT, WIDTH - _RIGHT
    parts = []
    for value, text in y.ticks:
        at = _upward(y, value)
        parts.append(element("line", {"class": "grid", "x1": _LEFT, "x2": right, "y1": at, "y2": at}))
        parts.append(element("text", {"class": "end", "x": _LEFT - 5, "y": at + 4}, text))
    for value, text in x.ticks:
        at = _across(x, value)
        parts.append(element("line", {"class": "grid", "x1": at, "x2": at, "y1": _TOP, "y2": bottom}))
        parts.append(element("text", {"class": _anchor(x.at(value)), "x": at, "y": bottom + 15}, text))
    parts.append(element("text", {"class": "middle", "x": (_LEFT + right) / 2, "y": bottom + 31}, x.label))
    return [*parts, element("text", {"x": 2.0, "y": 12.0}, y.label)]


def _stroke(run: Sequence[str], at: int) -> str:
    """Return the stroke through some points, or a dot on a single one."""
    if len(run) > 1:
        return element("polyline", {"class": f"line s{at % _COLOURS}", "points": " ".join(run)})
    x, y = run[0].split(",")
    return element("circle", {"class": f"fill s{at % _COLOURS}", "cx": x, "cy": y, "r": 3})


def _legend(names: Sequence[str], sign: Callable[[int, float], str]) -> list[str]:
    """Return a row for each series below the plot, its sign and its name; without any, that there is no data."""
    if not names:
        return [_no_data(_TOP + _PLOT_HEIGHT / 2)]
    parts = []
    for at, name in enumerate(names):
        y = _TOP + _PLOT_HEIGHT + _BELOW + _LEGEND_HEIGHT * (at + 0.5)
        parts += [sign(at, y), element("text", {"x": _LEFT + 28, "y": y + 4}, _short(name))]
    return parts


def _line_sign(at: int, y: float) -> str:
    return element("line", {"class": f"line s{at % _COLOURS}", "x1": _LEFT, "x2": _LEFT + 22, "y1": y, "y2": y})


def _column_sign(at: int, y: float) -> str:
    box = {"x": _LEFT + 10, "y": y - 6, "width": 12, "height": 12}
    return element("rect", {"class": f"fill s{at % _COLOURS}", **box})


def _plot_height(series: int) -> float:
    return _TOP + _PLOT_HEIGHT + _BELOW + _LEGEND_HEIGHT * series + 4


def _picture(title: str, parts: Iterable[str], height: float) -> str:
    box = f"0 0 {number(WIDTH)} {number(height)}"
    head = f'<svg class="chart" role="img" xmlns="http://www.w3.org/2000/svg" viewBox="{box}">'
    return "\n".join([head, element("title", {}, title), *parts, "</svg>"])


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _no_data(y: float) -> str:
    return element("text", {"class": "middle", "x": WIDTH / 2, "y": y}, "no data")


def _spell(value: float) -> str:
    return f"{value:,g}" if value < 1e6 else f"{value:.3g}"


def _anchor(at: float) -> str:
    """Return how a mark's text stands, so that those at the ends stay within the picture."""
    return "start" if at < 0.05 else "end" if at > 0.95 else "middle"


def _across(x: Axis, value: float) -> float:
    return _LEFT + x.at(value) * (WIDTH - _LEFT - _RIGHT)


def _upward(y: Axis, value: float) -> float:
    return _TOP + (1 - y.at(value)) * _PLOT_HEIGHT


def _bar_at(axis: Axis, value: float) -> float:
    return _RIGHT + axis.at(value) * (WIDTH - 2 * _RIGHT)
