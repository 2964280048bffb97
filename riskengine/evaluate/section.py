"""An evaluation in words: sections of rows, the same for the terminal and the page."""

from dataclasses import dataclass
from fractions import Fraction

from riskengine.document.section import Section
from riskengine.document.share import NO_DATA, Share, interval, percent
from riskengine.evaluate.evaluation import Attack, Coverage, Evaluation, Friction, StepUps

ALL_ATTACKS = "all attacks"
_MEASURE = ("share", "95 % interval", "of")


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was evaluated: everything somebody needs to do it again. `data` and `data_date` say where places are from;
    None where nothing was decided."""

    logs: list[str]
    labels: str
    policy: str
    policy_version: str
    mode: str
    data: str | None
    data_date: str | None
    warm_up_days: int
    command: str


def facts(about: Provenance, coverage: Coverage) -> list[tuple[str, str]]:
    """Return what was evaluated, measured and left out, as names and sentences."""
    observing = ", observing: measured is what it would have answered" if about.mode == "observe" else ""
    left_out = {
        f"in the first {about.warm_up_days} days": coverage.warming_up,
        "failures": coverage.failures,
        "of unknown outcome": coverage.unknown_outcomes,
        "without a label": coverage.unlabelled,
    }
    told = ", ".join(f"{count:,} {why}" for why, count in left_out.items() if count)
    return [
        ("log", ", ".join(about.logs)),
        ("labels", f"{about.labels}: {_labels(coverage)}"),
        ("policy", f"{about.policy} {about.policy_version}{observing}"),
        ("data", f"{about.data} of {about.data_date}" if about.data else NO_DATA),
        ("measured", _measured(coverage)),
        ("left out", f"{told} (they teach, where they succeeded)" if told else "nothing"),
        ("again", about.command),
    ]


def sections(found: Evaluation) -> list[Section]:
    """Return the figures as sections."""
    named = {ALL_ATTACKS: found.pooled, **found.attacks}
    return [
        _friction(found.friction, found.by_maturity, found.step_ups),
        Section(
            "Attacks caught",
            ("attack", *_MEASURE),
            [(name, *_measure(attack.caught)) for name, attack in named.items()],
            "Caught: not allowed.",
        ),
        _precision(found),
        _score(named),
        Section(
            "Attacks by score",
            ("score", *_MEASURE),
            [(band_name(band.low, band.high), *_measure(band.share)) for band in found.calibration],
            "Of the logins of this log with such a score, how many were attacks.",
        ),
    ]


def rate_name(share: float) -> str:
    """Return a base rate as a person would say it.

    >>> rate_name(1 / 90_000), rate_name(0.02), rate_name(0.3)
    ('1 in 90,000', '1 in 50', '3 in 10')
    """
    rate = Fraction(share).limit_denominator(10_000_000)
    return f"{rate.numerator:,} in {rate.denominator:,}"


def band_name(low: float, high: float) -> str:
    """Return a band of scores as text."""
    return f"{low:g} to {high:g}"


def _friction(whole: Friction, by_maturity: dict[str, Friction], step_ups: StepUps) -> Section:
    rows = [
        ("not allowed", *_measure(whole.not_allowed)),
        *((f"  history: {name}", *_measure(found.not_allowed)) for name, found in by_maturity.items()),
        ("denied", *_measure(whole.denied)),
        ("asked for what they enter", *_measure(whole.demanded_by_resource)),
    ]
    rate = step_ups.per_user_month
    told = NO_DATA if rate is None else f"{rate:.2f}"
    counted = f"{step_ups.count:,} step-ups of {step_ups.users:,} users in {step_ups.days:,} days"
    return Section(
        "Legitimate logins",
        ("legitimate logins", *_MEASURE),
        rows,
        "Not allowed leaves out those that were only asked for what they enter, a demand of the policy. "
        f"Step-ups a user a month, demands included: {told} ({counted}).",
    )


def _precision(found: Evaluation) -> Section:
    rows = [(rate_name(one.attack_share), percent(one.value), interval(one.low, one.high)) for one in found.precision]
    return Section(
        "Precision",
        ("attacks among logins", "precision", "95 % intervals"),
        rows,
        "How many of the logins not allowed would be attacks, were attacks so many of all logins.",
    )


def _score(named: dict[str, Attack]) -> Section:
    rows = []
    for name, attack in named.items():
        area = NO_DATA if attack.auc is None else f"{attack.auc:.4f}"
        for at, one in enumerate(attack.at_friction):
            threshold = "none" if one.from_score is None else f"{one.from_score:g}"
            first = (name, area) if at == 0 else ("", "")
            rows.append((*first, f"{one.friction * 100:g} %", *_measure(one.recall), threshold))
    return Section(
        "The score alone",
        ("attack", "AUC", "friction", "caught", "95 % interval", "of", "from score"),
        rows,
        "What a threshold would catch that stops so many of the legitimate logins, in hindsight; rules apart. "
        "Of fewer than 1,000 logins 0.1 % is none.",
    )


def _labels(coverage: Coverage) -> str:
    if not coverage.unmatched_labels:
        return f"{coverage.labels:,}"
    lines = _list(coverage.unmatched_lines, coverage.unmatched_labels)
    return f"{coverage.labels:,}, of which {coverage.unmatched_labels:,} match no event that was decided ({lines})"


def _list(lines: list[int], total: int) -> str:
    named = ", ".join(str(line) for line in lines)
    return f"{'line' if total == 1 else 'lines'} {named}{' …' if total > len(lines) else ''}"


def _measured(coverage: Coverage) -> str:
    if coverage.first is None or coverage.last is None:
        return f"nothing of {coverage.events:,} events"
    return (
        f"{coverage.logins:,} logins of {coverage.users:,} users, {coverage.first[:10]} to {coverage.last[:10]}: "
        f"{coverage.legitimate:,} legitimate, {coverage.attacks:,} attacks"
    )


def _measure(found: Share) -> tuple[str, str, str]:
    return percent(found.value), interval(found.low, found.high), f"{found.count:,} of {found.of:,}"
