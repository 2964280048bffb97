"""A policy's numbers as one row, which is what compiled functions read them from."""

from dataclasses import fields

import numpy as np

from riskengine.event import ACTIONS, SENSITIVITIES
from riskengine.network import Kind
from riskengine.policy.policy import (
    Attempts,
    Chance,
    Corroboration,
    Familiarity,
    GuessingCampaign,
    Maturity,
    Networks,
    Novelty,
    Policy,
    Sharing,
    Thresholds,
    Timing,
    Travel,
)
from riskengine.policy.rule import MATURITY

# Each section's numbers stand under its name and theirs: `travel_speed_kmh`. Whole numbers stay whole.
_SECTIONS = {
    "thresholds": Thresholds,
    "travel": Travel,
    "familiarity": Familiarity,
    "chance": Chance,
    "sharing": Sharing,
    "timing": Timing,
    "corroboration": Corroboration,
    "maturity": Maturity,
    "attempts": Attempts,
    "guessing_campaign": GuessingCampaign,
}
_KINDS = {int: "i8", float: "f8"}
_LEAST = (len(MATURITY), len(SENSITIVITIES))
_NEVER = 1 << 40  # more days, and step-ups, than there are


def _numbers() -> list[tuple[str, str]]:
    return [
        (f"{section}_{one.name}", _KINDS[one.type])
        for section, kind in _SECTIONS.items()
        for one in fields(kind)
        if one.type in _KINDS
    ]


# By attribute, in the order of histories, `novelty`; by kind of network `network_…`; by action its sensitivity; by
# maturity and sensitivity the least decision of a cold start. What a policy leaves out never holds: `quiet_ms` and
# `fatigue_ms` are then negative.
SHEET = np.dtype(
    [
        *_numbers(),
        ("novelty", "f8", len(fields(Novelty))),
        *((f"network_{one.name}", "f8", len(Kind)) for one in fields(Networks)),
        ("actions", "i8", len(ACTIONS)),
        ("observes", "?"),
        ("max_age_ms", "i8"),
        ("cold_plain", "i8", _LEAST),
        ("cold_exposed", "i8", _LEAST),
        ("idle_days", "i8"),
        ("quiet_ms", "f8"),
        ("fatigue_ms", "f8"),
        ("fatigue_step_ups", "i8"),
        ("cool_down_ms", "i8"),
    ]
)


def sheet_of(policy: Policy) -> np.ndarray:
    """Return a policy's numbers as an array of one SHEET row."""
    sheet = np.zeros(1, SHEET)
    row = sheet[0]
    for section in _SECTIONS:
        values = getattr(policy, section)
        for one in fields(values):
            if f"{section}_{one.name}" in (SHEET.names or ()):
                row[f"{section}_{one.name}"] = getattr(values, one.name)
    row["novelty"] = [getattr(policy.novelty, one.name) for one in fields(Novelty)]
    for one in fields(policy.networks):
        row[f"network_{one.name}"] = getattr(policy.networks, one.name)
    row["actions"] = [SENSITIVITIES.index(policy.actions.get(name, "low")) for name in ACTIONS]
    row["observes"] = policy.mode == "observe"
    row["max_age_ms"] = policy.step_up.max_age * 1000
    row["idle_days"] = _NEVER
    if policy.cold_start is not None:
        row["cold_plain"], row["cold_exposed"] = policy.cold_start.plain, policy.cold_start.exposed
        row["idle_days"] = policy.cold_start.idle_days
    row["quiet_ms"] = -1.0 if policy.quiet is None else policy.quiet.hours * 3_600_000
    row["fatigue_ms"], row["fatigue_step_ups"], row["cool_down_ms"] = -1.0, _NEVER, -1
    if policy.fatigue is not None:
        row["fatigue_ms"], row["fatigue_step_ups"] = policy.fatigue.hours * 3_600_000, policy.fatigue.step_ups
        if policy.fatigue.then == "cool_down":
            row["cool_down_ms"] = policy.fatigue.cool_down_minutes * 60_000
    return sheet
