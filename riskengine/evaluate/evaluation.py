"""What a policy is worth over a log whose truth is known: the figures, as values.

An Evaluation is what `riskengine evaluate --json` writes: its keys are the names of the fields here and of the classes
they hold, and they stay. Shares are 0 to 1 with `count`, `of` and their 95 % interval (`low`, `high`); null is "no
data". A login is *stopped* when it is not allowed, and an attack that is stopped is *caught*.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from riskengine.check import format_time
from riskengine.document.share import Share, share
from riskengine.evaluate.curve import FRICTIONS, FULL, AtFriction, Point, at_friction, auc, roc, tally
from riskengine.evaluate.labels import LEGITIMATE
from riskengine.evaluate.sample import Login, Sample
from riskengine.event import DAY_MS
from riskengine.policy.rule import MATURITY

# Attacks among all logins. The last is what the RBA data set of Wiefling et al. (2022) holds: takeovers per success.
BASE_RATES = (Fraction(1, 1000), Fraction(1, 10_000), Fraction(1, 90_000))
MONTH_DAYS = 30
CALIBRATION_WIDTH, DISTRIBUTION_WIDTH = 100, 50  # tenths of a score
_NAMED_LINES = 10


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was measured (`logins` on `days` days, UTC, both ends counted; times RFC 3339) and what was left out.

    Each event left out is counted once: warming up, else a failure, else of unknown outcome, else unlabelled.
    `unmatched_labels` speak of no event that was decided; `unmatched_lines` are the first lines of them.
    """

    events: int
    logins: int
    legitimate: int
    attacks: int
    users: int
    first: str | None
    last: str | None
    days: int
    warming_up: int
    failures: int
    unknown_outcomes: int
    unlabelled: int
    labels: int
    unmatched_labels: int
    unmatched_lines: list[int]


@dataclass(frozen=True, slots=True)
class Friction:
    """What legitimate logins met. `not_allowed` leaves out what a resource demanded; `stopped` is both together."""

    not_allowed: Share
    demanded_by_resource: Share
    stopped: Share
    denied: Share


@dataclass(frozen=True, slots=True)
class StepUps:
    """Step-ups asked of legitimate logins, a user (of those with such a login) in 30 days of those measured."""

    count: int
    users: int
    days: int
    per_user_month: float | None


@dataclass(frozen=True, slots=True)
class Attack:
    """How attacks of one kind fared: under the policy, and by the score alone against all legitimate logins."""

    caught: Share
    auc: float | None
    at_friction: list[AtFriction]
    roc: list[Point]


@dataclass(frozen=True, slots=True)
class Precision:
    """How many of the logins stopped would be attacks if `attack_share` of all logins were, of kinds mixed as here.

    `low` and `high` take the unkind and the kind ends of both intervals it rests on.
    """

    attack_share: float
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Band:
    """The logins with scores from `low` to below `high` (of the last band, to 100), and the share of attacks there."""

    low: float
    high: float
    legitimate: int
    attacks: int
    share: Share


@dataclass(frozen=True, slots=True)
class Day:
    """One day, UTC: legitimate logins, and how many of them were stepped up."""

    day: str
    legitimate: int
    stepped_up: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All figures; `pooled` are the attacks of every kind, `distribution` narrower bands than `calibration`."""

    coverage: Coverage
    friction: Friction
    by_maturity: dict[str, Friction]
    step_ups: StepUps
    pooled: Attack
    attacks: dict[str, Attack]
    precision: list[Precision]
    calibration: list[Band]
    distribution: list[Band]
    days: list[Day]


def evaluate(sample: Sample, labels: int, base_rates: Sequence[Fraction] = BASE_RATES) -> Evaluation:
    """Return the figures of a sample; `labels` is how many the file held."""
    legitimate = [login for login in sample.logins if login.label == LEGITIMATE]
    attacks = [login for login in sample.logins if login.label != LEGITIMATE]
    scores = tally(login.score for login in legitimate), tally(login.score for login in attacks)
    found, pooled = friction(legitimate), _attack(attacks, scores[0])
    kinds = sorted({login.label for login in attacks})
    return Evaluation(
        coverage=_coverage(sample, labels, len(legitimate)),
        friction=found,
        by_maturity=_by_maturity(legitimate),
        step_ups=_step_ups(legitimate, _days(sample.logins)),
        pooled=pooled,
        attacks={kind: _attack([login for login in attacks if login.label == kind], scores[0]) for kind in kinds},
        precision=[precision(rate, pooled.caught, found.stopped) for rate in base_rates],
        calibration=bands(*scores, CALIBRATION_WIDTH),
        distribution=bands(*scores, DISTRIBUTION_WIDTH),
        days=_by_day(legitimate),
    )


def friction(legitimate: Sequence[Login]) -> Friction:
    """Return what these logins met."""
    stopped = [login for login in legitimate if login.decision != "allow"]
    demanded = sum(login.demanded for login in stopped)
    denied = sum(login.decision == "deny" for login in stopped)
    counts = (len(stopped) - demanded, demanded, len(stopped), denied)
    return Friction(*(share(count, len(legitimate)) for count in counts))


def precision(rate: Fraction, caught: Share, stopped: Share) -> Precision:
    """Return how many of the logins stopped are attacks where the share `rate` of all logins is.

    >>> found = precision(Fraction(1, 10_000), share(60, 100), share(100, 10_000))
    >>> round(found.value, 4)
    0.006
    """

    def of(recall: float | None, bothered: float | None) -> float | None:
        if recall is None or bothered is None:
            return None
        true, false = float(rate) * recall, float(1 - rate) * bothered
        return true / (true + false) if true + false else None

    ends = of(caught.low, stopped.high), of(caught.high, stopped.low)
    return Precision(float(rate), of(caught.value, stopped.value), *ends)


def bands(legitimate: np.ndarray, attacks: np.ndarray, width: int) -> list[Band]:
    """Return the bands of `width` tenths of a score; the full score belongs to the last."""
    found = []
    for low in range(0, FULL, width):
        high = low + width if low + width < FULL else FULL + 1
        good, bad = int(legitimate[low:high].sum()), int(attacks[low:high].sum())
        found.append(Band(low / 10, (low + width) / 10, good, bad, share(bad, good + bad)))
    return found


def _attack(attacks: Sequence[Login], legitimate: np.ndarray) -> Attack:
    scores = tally(login.score for login in attacks)
    return Attack(
        caught=share(sum(login.decision != "allow" for login in attacks), len(attacks)),
        auc=auc(legitimate, scores),
        at_friction=[at_friction(legitimate, scores, friction) for friction in FRICTIONS],
        roc=roc(legitimate, scores),
    )


def _by_maturity(legitimate: Sequence[Login]) -> dict[str, Friction]:
    """Return the friction by how much history there was."""
    groups = {name: [login for login in legitimate if login.maturity == name] for name in MATURITY}
    return {name: friction(logins) for name, logins in groups.items() if logins}


def _step_ups(legitimate: Sequence[Login], days: int) -> StepUps:
    count = sum(login.decision == "step_up" for login in legitimate)
    users = len({login.user for login in legitimate})
    return StepUps(count, users, days, count / users / days * MONTH_DAYS if users else None)


def _by_day(legitimate: Sequence[Login]) -> list[Day]:
    """Return the days that had legitimate logins, in order."""
    found: dict[int, list[Login]] = {}
    for login in legitimate:
        found.setdefault(login.occurred_at // DAY_MS, []).append(login)
    return [
        Day(format_time(day * DAY_MS)[:10], len(logins), sum(login.decision == "step_up" for login in logins))
        for day, logins in sorted(found.items())
    ]


def _days(logins: Sequence[Login]) -> int:
    days = [login.occurred_at // DAY_MS for login in logins]
    return max(days) - min(days) + 1 if days else 0


def _coverage(sample: Sample, labels: int, legitimate: int) -> Coverage:
    times = [login.occurred_at for login in sample.logins]
    return Coverage(
        events=sample.events,
        logins=len(times),
        legitimate=legitimate,
        attacks=len(times) - legitimate,
        users=len({login.user for login in sample.logins}),
        first=format_time(min(times)) if times else None,
        last=format_time(max(times)) if times else None,
        days=_days(sample.logins),
        warming_up=sample.warming_up,
        failures=sample.failures,
        unknown_outcomes=sample.unknown_outcomes,
        unlabelled=sample.unlabelled,
        labels=labels,
        unmatched_labels=len(sample.unmatched_lines),
        unmatched_lines=sample.unmatched_lines[:_NAMED_LINES],
    )
