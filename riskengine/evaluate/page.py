"""An evaluation as one HTML page, with pictures."""

from riskengine.charts.plot import Axis, Bin, Line, bar_chart, day_histogram, histogram, line_chart
from riskengine.document.page import Chapter, html
from riskengine.document.picture import SCORES, share_axis, share_bar
from riskengine.document.share import percent
from riskengine.evaluate.curve import Point
from riskengine.evaluate.evaluation import Attack, Band, Day, Evaluation
from riskengine.evaluate.section import ALL_ATTACKS, Provenance, band_name, facts, sections

_LOWEST_FRICTION = 0.0001  # the left end of the ROC curve: what no login log of usual size can tell from 0


def page(about: Provenance, found: Evaluation) -> str:
    """Return the page; the same evaluation gives the same bytes."""
    named = {ALL_ATTACKS: found.pooled, **found.attacks}
    pictures = [
        [_days(found.days)],
        [_caught(named)],
        [],
        [_roc(named), _scores(found.distribution, found.coverage.legitimate, found.coverage.attacks)],
        [_calibration(found.calibration)],
    ]
    stopped, coverage = found.friction.not_allowed, found.coverage
    lead = (
        f"Not allowed: {percent(stopped.value)} of {coverage.legitimate:,} legitimate logins, "
        f"{percent(found.pooled.caught.value)} of {coverage.attacks:,} attacks."
    )
    chapters = [Chapter(*pair) for pair in zip(sections(found), pictures, strict=True)]
    return html(f"Policy {about.policy} over {', '.join(about.logs)}", lead, facts(about, coverage), chapters)


def _roc(named: dict[str, Attack]) -> str:
    ticks = tuple((share, f"{share * 100:g} %") for share in (_LOWEST_FRICTION, 0.001, 0.01, 0.1, 1.0))
    across = Axis("legitimate logins stopped", _LOWEST_FRICTION, 1.0, ticks, logarithmic=True)
    lines = [
        Line(f"AUC {attack.auc:.4f}, {name}", _visible(attack.roc))
        for name, attack in named.items()
        if attack.auc is not None
    ]
    title = "ROC curves of the score: attacks caught against legitimate logins stopped, threshold by threshold"
    return line_chart(title, lines, across, share_axis("attacks caught"))


def _visible(roc: list[Point]) -> list[tuple[float, float]]:
    """Return a curve from the left end of the axis on: what lies further left would draw over the axis."""
    left = [point.recall for point in roc if point.friction <= _LOWEST_FRICTION]
    start = [(_LOWEST_FRICTION, max(left))] if left else []
    return [*start, *((point.friction, point.recall) for point in roc if point.friction > _LOWEST_FRICTION)]


def _scores(distribution: list[Band], legitimate: int, attacks: int) -> str:
    bins = [
        Bin(
            band.low,
            band.high,
            (band.legitimate / legitimate if legitimate else None, band.attacks / attacks if attacks else None),
        )
        for band in distribution
    ]
    names = (f"legitimate logins ({legitimate:,})", f"attacks ({attacks:,})")
    return histogram("Scores of legitimate logins and of attacks", names, bins, SCORES, share_axis("of each"))


def _caught(named: dict[str, Attack]) -> str:
    bars = [share_bar(name, attack.caught) for name, attack in named.items()]
    return bar_chart("Attacks caught, by kind, with 95 % intervals", bars, share_axis("caught"))


def _calibration(calibration: list[Band]) -> str:
    bars = [share_bar(f"score {band_name(band.low, band.high)}", band.share) for band in calibration]
    return bar_chart("Share of attacks by score, with 95 % intervals", bars, share_axis("attacks"))


def _days(days: list[Day]) -> str:
    title, names = "Step-ups of legitimate logins by day", ("step-ups of legitimate logins",)
    return day_histogram(title, names, [(one.day, (one.stepped_up,)) for one in days], "step-ups")
