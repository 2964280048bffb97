"""The policy as values: weights, thresholds, resources, networks and rules; frozen, versioned by its content."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase

import numpy as np

from riskengine.event import SENSITIVITIES
from riskengine.policy.rule import Rule
from riskengine.policy.source import NOBODY, Sources


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores from which on a step-up is asked for and the level is medium or high."""

    step_up: float
    medium: float
    high: float


@dataclass(frozen=True, slots=True)
class Weights:
    """Points each signal adds to the score at its value 1."""

    impossible_travel: float
    new_country: float
    new_place: float
    new_network: float
    new_device: float
    new_agent: float
    risky_network: float
    sensitive_resource: float
    failed_attempts: float
    address_attempts: float
    password_spray: float
    ignored_step_ups: float
    user_at_risk: float
    shared_address: float
    bad_address: float
    unusual_hour: float
    idle_account: float
    timezone_mismatch: float
    position_mismatch: float
    rtt_mismatch: float
    connection_mismatch: float
    missing_evidence: float


SIGNALS = tuple(one.name for one in fields(Weights))


@dataclass(frozen=True, slots=True)
class Travel:
    """How fast people get about, and what an impossible journey is worth."""

    speed_kmh: float
    airport_hours: float
    ground_kmh: float
    ground_km: float
    slack_km: float
    fastest_kmh: float
    region_km: float
    sure: float
    certain: float
    wide_share: float
    habitual_share: float


@dataclass(frozen=True, slots=True)
class Familiarity:
    """What something new is worth beside what is known of the user: `points_per_bit` of log-odds."""

    points_per_bit: float
    full_bits: float
    half: float
    logins: float
    implied_share: float
    operator_share: float
    forget_days: int
    ignored_days: int


@dataclass(frozen=True, slots=True)
class Novelty:
    """How many new values of each attribute a user is expected to show in `familiarity.logins` logins."""

    place: float
    country: float
    prefix: float
    network: float
    device: float
    agent: float


@dataclass(frozen=True, slots=True)
class Chance:
    """How likely it is that a stranger shows what this user is known by; of a prefix the network's kind says it."""

    network: float
    device: float
    agent: float
    absent: float


@dataclass(frozen=True, slots=True)
class Sharing:
    """What the organisation's other users say of a network, within `days` full days; only users known for
    `known_days` count, and fewer than `fewest` say nothing."""

    days: int
    known_days: int
    fewest: int
    colleagues: int
    prefix_bits: float
    network_bits: float
    place_bits: float
    country_bits: float
    venue_users: int
    workplace_days: float
    bad_failed_users: int
    bad_failure_share: float


@dataclass(frozen=True, slots=True)
class Timing:
    """When a time of day is unusual, and when an account counts as idle."""

    logins: int
    full_bits: float
    idle_days: int
    idle_full_days: int


@dataclass(frozen=True, slots=True)
class Corroboration:
    """When what the client says of itself contradicts its address; `edges` are (latitude, longitude) by name."""

    timezone_minutes: int
    timezone_full_minutes: int
    slack_km: float
    full_km: float
    light_km_per_ms: float
    usual_share: float
    usual_logins: int
    edges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Maturity:
    """When a history is ripe: this many logins on this many days."""

    ripe_logins: int
    ripe_days: int


@dataclass(frozen=True, slots=True)
class Attempts:
    """How many failures, and users tried in vain, within the window make an attempts signal 1. Of one user's failures
    at a source `failures_per_user` count; `mistypes` of a user's own are nothing out of the ordinary."""

    window_minutes: int
    mistypes: int
    user_failures: int
    failures_per_user: int
    address_failures: int
    prefix_failures: int
    address_users: int
    prefix_users: int
    failure_share: float


@dataclass(frozen=True, slots=True)
class GuessingCampaign:
    """When the attempts from one address are a campaign, which is denied."""

    address_failures: int
    address_users: int
    failure_share: float


@dataclass(frozen=True, slots=True)
class Listed:
    """Sources as a policy lists them: CIDRs, AS numbers, countries."""

    addresses: tuple[str, ...]
    asns: tuple[int, ...]
    countries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepUp:
    """What a step-up asks for (RFC 9470), and how many seconds a second factor stays fresh."""

    acr_values: str
    max_age: int


@dataclass(frozen=True, slots=True)
class Fallback:
    """The answer when the store cannot be reached."""

    decision: str


@dataclass(frozen=True, slots=True)
class ColdStart:
    """The least decision while a history tells little, as tables indexed by maturity and sensitivity: on a `plain`
    network, and on one that strangers share or hide behind. After `idle_days` without a login that taught, a history
    counts as idle."""

    idle_days: int
    plain: np.ndarray
    exposed: np.ndarray


@dataclass(frozen=True, slots=True)
class Quiet:
    """For how long after a step-up was passed the score alone does not ask the same user, device and prefix again."""

    hours: float


@dataclass(frozen=True, slots=True)
class Fatigue:
    """When step-ups that nobody passes are an attack on the user's patience: so many asked from one source within
    `hours`. From then on a step-up there asks for `acr_values`; with `then` of "cool_down" that source is denied for
    `cool_down_minutes` after the last one instead."""

    step_ups: int
    hours: float
    then: str
    acr_values: str
    cool_down_minutes: int


@dataclass(frozen=True, slots=True)
class Group:
    """What differs for the users of one group; None and what is left out are the policy's own."""

    step_up: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Networks:
    """One value a network Kind, as columns indexed by its code."""

    risk: np.ndarray
    radius_km: np.ndarray
    floor_km: np.ndarray
    gross_error: np.ndarray
    chance: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """All that decides what a login is worth; `version` is a digest of the text it was read from.

    Two of them are equal where they are one and the same: what is worked out for one is kept by it.
    """

    name: str
    mode: str
    version: str
    thresholds: Thresholds
    weights: Weights
    travel: Travel
    familiarity: Familiarity
    novelty: Novelty
    chance: Chance
    sharing: Sharing
    timing: Timing
    corroboration: Corroboration
    maturity: Maturity
    attempts: Attempts
    guessing_campaign: GuessingCampaign
    block: Sources
    step_up: StepUp
    fallback: Fallback
    networks: Networks
    resources: Mapping[str, str]
    actions: Mapping[str, str]
    trust: Sources = NOBODY
    rules: tuple[Rule, ...] = ()
    groups: Mapping[str, Group] = field(default_factory=dict)
    cold_start: ColdStart | None = None
    quiet: Quiet | None = None
    fatigue: Fatigue | None = None

    def sensitivity_of(self, resource: str | None) -> int:
        """Return the index into SENSITIVITIES that this resource has unless the caller says otherwise.

        The name itself counts before patterns, the longest pattern that fits before shorter ones, and of patterns of
        one length the most sensitive.
        """
        if resource is None or resource in self.resources:
            return SENSITIVITIES.index(self.resources.get(resource or "", "normal"))
        fitting = [
            (len(pattern), SENSITIVITIES.index(value))
            for pattern, value in self.resources.items()
            if fnmatchcase(resource, pattern)
        ]
        return max(fitting)[1] if fitting else SENSITIVITIES.index("normal")
