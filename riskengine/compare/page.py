"""A comparison as one HTML page, with pictures."""

from collections.abc import Mapping, Sequence

from riskengine.charts.plot import Bar, Bin, bar_chart, counting_axis, day_histogram, histogram
from riskengine.compare.comparison import Band, Change, Comparison, Day
from riskengine.compare.section import Provenance, facts, headline, sections
from riskengine.compare.tally import ReasonTally, Tally
from riskengine.document.page import Chapter, html
from riskengine.document.picture import SCORES, share_axis, share_bar
from riskengine.document.share import share

_MOST_BARS = 10
_STRICTER_LAXER = ("stricter than before", "laxer than before")


def page(about: Provenance, found: Comparison) -> str:
    """Return the page; the same comparison gives the same bytes."""
    pictures: list[list[str]] = [
        [_changes(found.changes), _days(found.days), _scores(found.scores)],
        [_reasons(found.by_reason)],
        [_shares("Share of decisions that change, by group", found.by_group)],
        [_shares("Share of decisions that change, by kind of network", found.by_network)],
        [],
        [],
        [],
    ]
    chapters = [Chapter(*pair) for pair in zip(sections(found), pictures, strict=True)]
    return html(f"What if: {about.after} instead of {about.before}", headline(found), facts(about, found), chapters)


def _changes(changes: Sequence[Change]) -> str:
    counts = {f"{change.before} → {change.after}": change.events for change in changes}
    return _counts("Decisions that change", counts)


def _reasons(found: Mapping[str, ReasonTally]) -> str:
    counts = {code: one.led for code, one in list(found.items())[:_MOST_BARS] if one.led}
    return _counts("Changes by the first reason of the stricter answer", counts)


def _counts(title: str, counts: Mapping[str, int]) -> str:
    bars = [Bar(name, count, None, None, f"{count:,}") for name, count in counts.items()]
    return bar_chart(title, bars, counting_axis("decisions", max(counts.values(), default=0)))


def _shares(title: str, found: Mapping[str, Tally]) -> str:
    measured = {name: share(one.changed, one.events) for name, one in list(found.items())[:_MOST_BARS]}
    bars = [share_bar(name, one) for name, one in measured.items()]
    return bar_chart(f"{title}, with 95 % intervals", bars, share_axis("changed"))


def _days(days: Sequence[Day]) -> str:
    counted = [(one.day, (one.stricter, one.laxer)) for one in days]
    return day_histogram("Decisions that change, by day", _STRICTER_LAXER, counted, "decisions")


def _scores(scores: Sequence[Band]) -> str:
    bins = [Bin(band.low, band.high, (band.before, band.after)) for band in scores]
    highest = max(max(band.before, band.after) for band in scores)
    return histogram("Scores before and after", ("before", "after"), bins, SCORES, counting_axis("events", highest))
