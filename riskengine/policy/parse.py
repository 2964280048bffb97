"""Reading a policy: TOML to values, refused with the line, the key and what is wrong."""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from riskengine.batch import Decision
from riskengine.errors import PolicyError
from riskengine.event import ACTIONS, SENSITIVITIES
from riskengine.network import KINDS
from riskengine.policy.policy import (
    SIGNALS,
    Attempts,
    Chance,
    ColdStart,
    Corroboration,
    Fallback,
    Familiarity,
    Fatigue,
    Group,
    GuessingCampaign,
    Listed,
    Maturity,
    Networks,
    Novelty,
    Policy,
    Quiet,
    Sharing,
    StepUp,
    Thresholds,
    Timing,
    Travel,
    Weights,
)
from riskengine.policy.reader import Reader
from riskengine.policy.rule import MATURITY, MOST, Rule, When
from riskengine.policy.source import NOBODY, Sources, sources

_TABLES: dict[str, type] = {
    "thresholds": Thresholds,
    "weights": Weights,
    "travel": Travel,
    "familiarity": Familiarity,
    "novelty": Novelty,
    "chance": Chance,
    "sharing": Sharing,
    "timing": Timing,
    "corroboration": Corroboration,
    "maturity": Maturity,
    "attempts": Attempts,
    "guessing_campaign": GuessingCampaign,
    "step_up": StepUp,
    "fallback": Fallback,
}
# What a policy may leave out, and then has none of.
_OPTIONAL = ("trust", "rules", "groups", "cold_start", "quiet", "fatigue")
_DECISIONS = {"allow": Decision.ALLOW, "step_up": Decision.STEP_UP, "deny": Decision.DENY}
# What the tables of cold_start are called, in order of MATURITY; a ripe history is none.
_COLD = {"first": "none", "learning": "learning", "idle": "idle"}
_RULE = ("name", "why", "when", "at_least", "at_most")
_NAME = re.compile(r"[a-z0-9_]{1,40}")


def parse(text: str, name: str = "policy") -> Policy:
    """Return the policy that a TOML text states; raise PolicyError naming `name`, line, key and what is wrong."""
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{name}: is not TOML: {error}") from error
    read = Reader(text, name)
    top = ("name", "mode", *_TABLES, "block", "resources", "actions", "networks")
    read.only(body, "", (*top, *_OPTIONAL))
    for key in top:
        if key not in body:
            raise read.wrong(key, "is missing")
    tables = {key: read.table(body[key], key, kind) for key, kind in _TABLES.items()}
    if not tables["thresholds"].medium <= tables["thresholds"].high:
        raise read.wrong("thresholds.medium", "must not be above thresholds.high")
    if tables["fallback"].decision not in ("allow", "step_up"):
        raise read.wrong("fallback.decision", "must be allow or step_up")
    return Policy(
        name=read.text_of(body["name"], "name"),
        mode=read.choice(body["mode"], "mode", ("enforce", "observe")),
        version=version_of(text),
        resources=read.choices(body["resources"], "resources", None, SENSITIVITIES),
        actions=read.choices(body["actions"], "actions", ACTIONS, SENSITIVITIES),
        networks=_networks(read, body["networks"]),
        block=_sources(read, body["block"], "block"),
        trust=_sources(read, body["trust"], "trust") if "trust" in body else NOBODY,
        rules=_rules(read, body.get("rules", [])),
        groups=_groups(read, body.get("groups", {})),
        cold_start=_cold_start(read, body["cold_start"]) if "cold_start" in body else None,
        quiet=read.table(body["quiet"], "quiet", Quiet) if "quiet" in body else None,
        fatigue=_fatigue(read, body["fatigue"]) if "fatigue" in body else None,
        **tables,
    )


def version_of(text: str) -> str:
    """Return the version of a policy: a digest of its text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _networks(read: Reader, body: Any) -> Networks:
    found = read.only(body, "networks", KINDS)
    columns: dict[str, list[float]] = {field.name: [] for field in fields(Networks)}
    for kind in KINDS:
        if kind not in found:
            raise read.wrong(f"networks.{kind}", "is missing")
        values = read.only(found[kind], f"networks.{kind}", tuple(columns))
        for name, column in columns.items():
            if name not in values:
                raise read.wrong(f"networks.{kind}.{name}", "is missing")
            column.append(read.number(values[name], f"networks.{kind}.{name}", float))
    return Networks(**{name: np.array(column) for name, column in columns.items()})


def _sources(read: Reader, body: Any, path: str) -> Sources:
    listed = read.table(body, path, Listed)
    return sources(
        read.cidrs(listed.addresses, f"{path}.addresses"),
        listed.asns,
        read.countries(listed.countries, f"{path}.countries"),
    )


def _groups(read: Reader, body: Any) -> dict[str, Group]:
    found = read.only(body, "groups", tuple(body) if isinstance(body, dict) else ())
    groups: dict[str, Group] = {name: read.table(one, f"groups.{name}", Group) for name, one in found.items()}
    for name, group in groups.items():
        read.only(dict(group.weights), f"groups.{name}.weights", SIGNALS)
    return groups


def _fatigue(read: Reader, body: Any) -> Fatigue:
    found: Fatigue = read.table(body, "fatigue", Fatigue)
    read.choice(found.then, "fatigue.then", ("phishing_resistant", "cool_down"))
    return found


def _cold_start(read: Reader, body: Any) -> ColdStart:
    found = read.only(body, "cold_start", ("idle_days", *_COLD, "exposed"))
    for key in ("idle_days", "exposed"):
        if key not in found:
            raise read.wrong(f"cold_start.{key}", "is missing")
    exposed = read.only(found["exposed"], "cold_start.exposed", tuple(_COLD))
    return ColdStart(
        int(read.number(found["idle_days"], "cold_start.idle_days", int)),
        _least(read, found, "cold_start"),
        _least(read, exposed, "cold_start.exposed"),
    )


def _least(read: Reader, body: Mapping[str, Any], path: str) -> np.ndarray:
    """Return decisions by maturity and sensitivity."""
    least = np.full((len(MATURITY), len(SENSITIVITIES)), Decision.ALLOW, np.int8)
    for name, stage in _COLD.items():
        if name not in body:
            raise read.wrong(f"{path}.{name}", "is missing")
        by_sensitivity = read.choices(body[name], f"{path}.{name}", SENSITIVITIES, ("allow", "step_up"))
        for sensitivity in SENSITIVITIES:
            if sensitivity not in by_sensitivity:
                raise read.wrong(f"{path}.{name}.{sensitivity}", "is missing")
        least[MATURITY.index(stage)] = [_DECISIONS[by_sensitivity[one]] for one in SENSITIVITIES]
    return least


def _rules(read: Reader, body: Any) -> tuple[Rule, ...]:
    if not isinstance(body, list) or len(body) > MOST:
        raise read.wrong("rules", f"must be tables [[rules]], at most {MOST}")
    rules = tuple(_rule(read, one, f"rules.{number}") for number, one in enumerate(body, 1))
    names = [rule.name for rule in rules]
    for number, name in enumerate(names, 1):
        if name in names[: number - 1]:
            raise read.wrong(f"rules.{number}.name", "is that of an earlier rule")
    return rules


def _rule(read: Reader, body: Any, path: str) -> Rule:
    found = read.only(body, path, _RULE)
    for key in ("name", "when"):
        if key not in found:
            raise read.wrong(f"{path}.{key}", "is missing")
    name = read.text_of(found["name"], f"{path}.name")
    if not _NAME.fullmatch(name):
        raise read.wrong(f"{path}.name", "must be up to 40 of a-z, 0-9 and _")
    if ("at_least" in found) is ("at_most" in found):
        raise read.wrong(path, "must say either at_least or at_most")
    demands = "at_least" in found
    key, choices = ("at_least", ("step_up", "deny")) if demands else ("at_most", ("allow", "step_up"))
    verdict = read.choice(found[key], f"{path}.{key}", choices)
    why = read.text_of(found.get("why", f"The rule {name} holds"), f"{path}.why")
    when: When = read.table(found["when"], f"{path}.when", When)
    if when == When():
        raise read.wrong(f"{path}.when", "must state a condition")
    read.only(dict(when.signals), f"{path}.when.signals", SIGNALS)
    coded = {"networks": KINDS, "actions": ACTIONS, "sensitivity": SENSITIVITIES, "maturity": MATURITY}
    codes = {}
    for column, known in coded.items():
        if stated := getattr(when, column):
            codes[column] = np.isin(np.arange(len(known)), read.listed(stated, f"{path}.when.{column}", known))
    elsewhere = read.countries(when.not_countries, f"{path}.when.not_countries")
    return Rule(
        name,
        why,
        _DECISIONS[verdict],
        demands,
        when,
        codes,
        _conditions(read, when, f"{path}.when"),
        np.array(elsewhere, np.int64) if elsewhere else None,
    )


def _conditions(read: Reader, when: When, path: str) -> tuple[Sources, ...]:
    """Return what a rule says of where a login comes from: each of these must hold."""
    found = []
    if when.addresses:
        found.append(sources(read.cidrs(when.addresses, f"{path}.addresses"), (), ()))
    if when.asns:
        found.append(sources((), when.asns, ()))
    if when.countries:
        found.append(sources((), (), read.countries(when.countries, f"{path}.countries")))
    return tuple(found)
