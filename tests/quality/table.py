"""The one table of what must hold over a population, and the figures that it is held against."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from riskengine.batch import Decision, Located
from riskengine.event import DAY_MS, OUTCOMES
from riskengine.geo import MS_PER_HOUR, R99_PER_R67, distance_km
from riskengine.network import PLACELESS
from tests.quality.attackers import LABELS
from tests.quality.journeys import START_MS
from tests.quality.people import TRAITS
from tests.quality.plain import RULES, challenged
from tests.quality.population import LEGITIMATE
from tests.quality.runner import Run

FASTEST_KMH, AIRLINER_KMH, AIRPORT_HOURS = 1150.0, 900.0, 0.5


@dataclass(frozen=True)
class Target:
    """What a share must be: at least or at most `limit` over all seeds, and within `tolerance` of it in one seed, whose
    60 attacks of a kind or 8,000 logins leave so much to chance."""

    name: str
    least: bool
    limit: float
    tolerance: float

    def met(self, share: "Share", pooled: bool = True) -> bool:
        """Return whether a share is as it must be; one of nothing is not."""
        slack = 0.0 if pooled else self.tolerance
        value = share.value
        return value is not None and (value >= self.limit - slack if self.least else value <= self.limit + slack)


NOT_ALLOWED, DENIED = "not allowed", "denied"
IMPOSSIBLE, POSSIBLE = "impossible pairs flagged", "possible pairs flagged"
TARGETS = (
    # Missed so far, with 0.93 % over seeds 100-109: the tolerance keeps it from growing, and `make quality` says so.
    Target(NOT_ALLOWED, False, 0.004, 0.009),
    Target(DENIED, False, 0.0002, 0.0004),
    Target("naive", True, 0.97, 0.05),
    Target("stolen_session", True, 0.98, 0.04),
    Target("stuffing", True, 0.99, 0.06),
    Target("vpn_in_country", True, 0.95, 0.06),
    Target("targeted", True, 0.50, 0.12),
    Target(IMPOSSIBLE, True, 1.0, 0.0),
    Target(POSSIBLE, False, 0.0, 0.0),
)


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    count: int = 0
    of: int = 0

    def __add__(self, other: "Share") -> "Share":
        return Share(self.count + other.count, self.of + other.of)

    @property
    def value(self) -> float | None:
        """The share, 0 to 1; None of nothing."""
        return self.count / self.of if self.of else None


@dataclass(frozen=True)
class Figures:
    """One log under one policy: `shares` by the names of TARGETS; `plain` the same by plain rule; the share of honest
    logins not allowed by trait of their user (`traits`) and by way of connecting (`via`)."""

    shares: Mapping[str, Share]
    plain: Mapping[str, Mapping[str, Share]] = field(default_factory=dict)
    traits: Mapping[str, Share] = field(default_factory=dict)
    via: Mapping[str, Share] = field(default_factory=dict)


def pooled(some: Iterable[Figures]) -> Figures:
    """Return the figures of several logs taken together."""
    found = list(some)
    rules = found[0].plain if found else {}
    return Figures(
        _added(one.shares for one in found),
        {rule: _added(one.plain[rule] for one in found) for rule in rules},
        _added(one.traits for one in found),
        _added(one.via for one in found),
    )


def _added(some: Iterable[Mapping[str, Share]]) -> dict[str, Share]:
    total: dict[str, Share] = {}
    for shares in some:
        for name, share in shares.items():
            total[name] = total.get(name, Share()) + share
    return total


@dataclass(frozen=True)
class Measured:
    """The events of a run that count, as columns over the log's events: `login` holds successful ones after the warm-up
    of users who were known before it, `honest` the legitimate ones of these that name nothing of high sensitivity."""

    label: np.ndarray
    login: np.ndarray
    honest: np.ndarray

    @classmethod
    def of(cls, run: Run) -> "Measured":
        """Return what is measured of a run."""
        log = run.prepared.log
        warm_up = log.parameters.warm_up_days * DAY_MS
        first: dict[str | None, int] = {}
        for event in log.events:
            if event.outcome == "success":
                first.setdefault(event.user_id, event.occurred_at or 0)
        login = [
            event.outcome == "success" and (event.occurred_at or 0) - max(first[event.user_id], START_MS) >= warm_up
            for event in log.events
        ]
        label = np.array([note.label for note in log.notes.values()])
        high = np.array([note.high for note in log.notes.values()])
        return cls(label, np.array(login), np.array(login) & (label == LEGITIMATE) & ~high)


def figures(run: Run) -> Figures:
    """Return the figures of a run, and those of the plain rules over the same log."""
    measured = Measured.of(run)
    decision = run.found.items["decision"][run.prepared.at]
    stopped = decision != Decision.ALLOW
    shares = _shares(measured, stopped)
    shares[DENIED] = _share(decision == Decision.DENY, measured.login & (measured.label == LEGITIMATE))
    shares[IMPOSSIBLE], shares[POSSIBLE] = _pairs(run, measured)
    log = run.prepared.log
    ids = np.array(list(log.notes))
    plain = {rule: _shares(measured, np.isin(ids, list(challenged(log, run.prepared.events, rule)))) for rule in RULES}
    notes = list(log.notes.values())
    traits = {
        name: _share(stopped, measured.honest & np.array([name in note.traits for note in notes])) for name in TRAITS
    }
    via = np.array([note.via for note in notes])
    return Figures(
        shares, plain, traits, {name: _share(stopped, measured.honest & (via == name)) for name in sorted(set(via))}
    )


def _shares(measured: Measured, stopped: np.ndarray) -> dict[str, Share]:
    """Return how many honest logins, and attacks of each kind, were stopped."""
    found = {NOT_ALLOWED: _share(stopped, measured.honest)}
    return found | {label: _share(stopped, measured.login & (measured.label == label)) for label in LABELS}


def _share(counted: np.ndarray, among: np.ndarray) -> Share:
    return Share(int((counted & among).sum()), int(among.sum()))


def _pairs(run: Run, measured: Measured) -> tuple[Share, Share]:
    """Return how many impossible journeys were flagged as such, and how many possible ones were.

    A journey is from a user's last login that taught the engine where they are to the next login. It is impossible
    where the nearest points of both 99 % discs ask for more than FASTEST_KMH, and possible where an airliner at
    AIRLINER_KMH, and AIRPORT_HOURS, bring one from centre to centre. What is flagged counts as possible where the very
    journey that the engine speaks of was.
    """
    at, found = run.prepared.at, run.found
    items = found.items[at]
    flagged = found.points["impossible_travel"][at] > 0
    start, end = _consecutive(run)
    one, other = items[start], items[end]
    ends = (one["latitude"], one["longitude"], other["latitude"], other["longitude"])
    km = np.array([distance_km(*pair) for pair in zip(*ends, strict=True)])
    hours = (other["time"] - one["time"]) / MS_PER_HOUR
    apart = km - R99_PER_R67 * (one["radius"] + other["radius"])
    impossible = (apart > FASTEST_KMH * hours) & (one["line"] != other["line"])
    possible = km / AIRLINER_KMH + AIRPORT_HOURS <= hours
    verdicts = found.verdicts[at]
    told = verdicts["distance"] / AIRLINER_KMH + AIRPORT_HOURS <= verdicts["gap"] / MS_PER_HOUR
    return (
        Share(int((impossible & flagged[end]).sum()), int(impossible.sum())),
        Share(int((flagged & told).sum()), int(possible.sum())),
    )


def _consecutive(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of events as indexes of the log's: a login that had taught the engine a place by then, and its
    user's next. A step-up teaches when it is reported passed, which may be after the next login."""
    log, items = run.prepared.log, run.found.items[run.prepared.at]
    placed = (items["located"] <= Located.COUNTRY) & ~np.isnan(items["latitude"]) & ~PLACELESS[items["kind"]]
    tells = placed & (items["outcome"] == OUTCOMES.index("success"))
    number = {event.event_id: at for at, event in enumerate(log.events)}
    let_in = np.flatnonzero(tells & (items["decision"] == Decision.ALLOW)).tolist()
    taught = [(log.events[at].occurred_at or 0, 1, at) for at in let_in]
    for report in log.reports:
        at = number[report.event_id]
        if report.result == "step_up_passed" and tells[at] and items["decision"][at] == Decision.STEP_UP:
            taught.append((report.at or 0, 1, at))
    met = [(log.events[at].occurred_at or 0, 0, at) for at in np.flatnonzero(tells).tolist()]
    last: dict[str | None, int] = {}
    pairs = []
    for _, teaches, at in sorted(taught + met):
        user = log.events[at].user_id
        if teaches:
            last[user] = max(last.get(user, at), at)
        elif user in last:
            pairs.append((last[user], at))
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]
