"""The policy: weights, thresholds, resources, networks and rules, read from TOML, frozen, versioned by its content."""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from ipaddress import IPv6Address, ip_network
from typing import Any, get_type_hints

import numpy as np

from riskengine.batch import country_code
from riskengine.errors import PolicyError
from riskengine.event import ACTIONS, SENSITIVITIES
from riskengine.network import KINDS


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


@dataclass(frozen=True, slots=True)
class Travel:
    """How fast people get about, and what an impossible journey is worth."""

    speed_kmh: float
    airport_hours: float
    ground_kmh: float
    ground_km: float
    slack_km: float
    certain: float
    wide_share: float


@dataclass(frozen=True, slots=True)
class Familiarity:
    """What something new, or something missing, is worth beside what is known of the user."""

    half: float
    absent: float
    same_country_share: float
    trusted_device_share: float
    ignored_days: int


@dataclass(frozen=True, slots=True)
class Maturity:
    """When a history is ripe: this many logins on this many days."""

    ripe_logins: int
    ripe_days: int


@dataclass(frozen=True, slots=True)
class Attempts:
    """How many failures within the window make an attempts signal 1."""

    window_minutes: int
    user_failures: int
    address_failures: int
    prefix_failures: int
    address_users: int
    failure_share: float


@dataclass(frozen=True, slots=True)
class GuessingCampaign:
    """When the attempts from one address are a campaign, which is denied."""

    address_failures: int
    address_users: int
    failure_share: float


@dataclass(frozen=True, slots=True)
class Block:
    """Sources that are denied: CIDRs, AS numbers, countries."""

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
class Networks:
    """One value a network Kind, as columns indexed by its code."""

    risk: np.ndarray
    radius_km: np.ndarray
    floor_km: np.ndarray
    gross_error: np.ndarray


@dataclass(frozen=True, slots=True)
class Policy:
    """All that decides what a login is worth; `version` is a digest of the text it was read from."""

    name: str
    mode: str
    version: str
    thresholds: Thresholds
    weights: Weights
    travel: Travel
    familiarity: Familiarity
    maturity: Maturity
    attempts: Attempts
    guessing_campaign: GuessingCampaign
    block: Block
    step_up: StepUp
    fallback: Fallback
    networks: Networks
    resources: Mapping[str, str]
    actions: Mapping[str, str]
    # (first, last) of each blocked CIDR as two 64-bit halves each
    blocked: tuple[tuple[int, int, int, int], ...]

    def sensitivity_of(self, resource: str | None) -> int:
        """Return the index into SENSITIVITIES that this resource has unless the caller says otherwise."""
        return SENSITIVITIES.index(self.resources.get(resource or "", "normal"))

    def blocked_countries(self) -> tuple[int, ...]:
        """Return the codes of the blocked countries."""
        return tuple(country_code(letters) for letters in self.block.countries)


_TABLES: dict[str, type] = {
    "thresholds": Thresholds,
    "weights": Weights,
    "travel": Travel,
    "familiarity": Familiarity,
    "maturity": Maturity,
    "attempts": Attempts,
    "guessing_campaign": GuessingCampaign,
    "block": Block,
    "step_up": StepUp,
    "fallback": Fallback,
}
# Bounds of numbers by what their name ends in or is; first match wins.
_SHARES = frozenset(
    {
        "certain",
        "wide_share",
        "absent",
        "same_country_share",
        "trusted_device_share",
        "failure_share",
        "risk",
        "gross_error",
    }
)
_POSITIVE = frozenset({"half", "window_minutes", "speed_kmh", "ground_kmh", "radius_km", "floor_km"})
_WINDOW_MOST = 1440


class _Reader:
    """Reads one TOML text, and can say in which line a key stands."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name

    def wrong(self, path: str, what: str) -> PolicyError:
        line = self._line(path)
        where = f"{self.name}, line {line}" if line else self.name
        return PolicyError(f"{where}: {path} {what}")

    def _line(self, path: str) -> int | None:
        """Return the line on which `path` (dotted) is set, or its table begins, or None."""
        table, key = "", path.rsplit(".", 1)[-1]
        home = path.rsplit(".", 1)[0] if "." in path else ""
        found = None
        for number, line in enumerate(self.text.splitlines(), 1):
            header = re.match(r"\s*\[([^\[\]]+)\]", line)
            if header:
                table = header.group(1).replace('"', "").strip()
                found = number if table in (path, home) else found
            elif table == home and re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", line):
                return number
        return found

    def table(self, body: Mapping[str, Any], path: str, kind: type) -> Any:
        """Return `body` as a `kind`: every field there, no other, each of its type and within its bounds."""
        if not isinstance(body, dict):
            raise self.wrong(path, "must be a table")
        hints = get_type_hints(kind)
        self.only(body, path, hints)
        values = {}
        for field in fields(kind):
            where = f"{path}.{field.name}"
            if field.name not in body:
                raise self.wrong(where, "is missing")
            values[field.name] = self.value(body[field.name], where, hints[field.name])
        return kind(**values)

    def only(self, body: Mapping[str, Any], path: str, known: Mapping[str, Any] | tuple[str, ...]) -> None:
        for key in body:
            if key not in known:
                where = f"{path}.{key}" if path else key
                raise self.wrong(where, f"is not known here; known are {', '.join(known)}")

    def value(self, value: Any, path: str, hint: Any) -> Any:
        if hint in (float, int):
            return self.number(value, path, hint)
        if hint is str:
            if not isinstance(value, str) or not value:
                raise self.wrong(path, "must be a text")
            return value
        entry = int if hint == tuple[int, ...] else str
        if not isinstance(value, list) or not all(type(v) is entry for v in value):
            raise self.wrong(path, f"must be a list of {'numbers' if entry is int else 'texts'}")
        return tuple(value)

    def number(self, value: Any, path: str, hint: type) -> float:
        name = path.rsplit(".", 1)[-1]
        if isinstance(value, bool) or not isinstance(value, int if hint is int else int | float):
            raise self.wrong(path, "must be a whole number" if hint is int else "must be a number")
        most = 1.0 if name in _SHARES else _WINDOW_MOST if name == "window_minutes" else 1e6
        if path.startswith(("weights.", "thresholds.")):
            most = 100.0
        if not 0 <= value <= most or (name in _POSITIVE and value == 0):
            least = "more than 0" if name in _POSITIVE else "0"
            raise self.wrong(path, f"must lie between {least} and {most:g}")
        return hint(value)

    def choices(self, body: Any, path: str, keys: tuple[str, ...] | None, values: tuple[str, ...]) -> dict[str, str]:
        """Return a table of texts, each one of `values`, under keys that are any, or one of `keys`."""
        if not isinstance(body, dict):
            raise self.wrong(path, "must be a table")
        for key, value in body.items():
            if keys is not None and key not in keys:
                raise self.wrong(f"{path}.{key}", f"is not known here; known are {', '.join(keys)}")
            if value not in values:
                raise self.wrong(f"{path}.{key}", f"must be one of {', '.join(values)}")
        return dict(body)

    def networks(self, body: Any) -> Networks:
        if not isinstance(body, dict):
            raise self.wrong("networks", "must be a table")
        self.only(body, "networks", KINDS)
        columns: dict[str, list[float]] = {field.name: [] for field in fields(Networks)}
        for kind in KINDS:
            if kind not in body:
                raise self.wrong(f"networks.{kind}", "is missing")
            self.only(body[kind], f"networks.{kind}", tuple(columns))
            for name, column in columns.items():
                if name not in body[kind]:
                    raise self.wrong(f"networks.{kind}.{name}", "is missing")
                column.append(self.number(body[kind][name], f"networks.{kind}.{name}", float))
        return Networks(**{name: np.array(column) for name, column in columns.items()})

    def blocked(self, block: Block) -> tuple[tuple[int, int, int, int], ...]:
        found = []
        for cidr in block.addresses:
            try:
                network = ip_network(cidr)
            except ValueError as error:
                raise self.wrong("block.addresses", f"holds {cidr!r}, which is not a CIDR ({error})") from error
            mapped = int(IPv6Address("::ffff:0:0")) if network.version == 4 else 0
            first, last = int(network[0]) + mapped, int(network[-1]) + mapped
            found.append((first >> 64, first & (2**64 - 1), last >> 64, last & (2**64 - 1)))
        for letters in block.countries:
            if not country_code(letters):
                raise self.wrong("block.countries", f"holds {letters!r}, which is not a two-letter country code")
        return tuple(found)


def parse(text: str, name: str = "policy") -> Policy:
    """Return the policy that a TOML text states; raise PolicyError naming `name`, line, key and what is wrong."""
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{name}: is not TOML: {error}") from error
    read = _Reader(text, name)
    top = ("name", "mode", *_TABLES, "resources", "actions", "networks")
    read.only(body, "", top)
    for key in top:
        if key not in body:
            raise read.wrong(key, "is missing")
    title = read.value(body["name"], "name", str)
    if body["mode"] not in ("enforce", "observe"):
        raise read.wrong("mode", "must be one of enforce, observe")
    tables = {key: read.table(body[key], key, kind) for key, kind in _TABLES.items()}
    if not tables["thresholds"].medium <= tables["thresholds"].high:
        raise read.wrong("thresholds.medium", "must not be above thresholds.high")
    if tables["fallback"].decision not in ("allow", "step_up"):
        raise read.wrong("fallback.decision", "must be allow or step_up")
    return Policy(
        name=title,
        mode=body["mode"],
        version=hashlib.sha256(text.encode()).hexdigest()[:12],
        resources=read.choices(body["resources"], "resources", None, SENSITIVITIES),
        actions=read.choices(body["actions"], "actions", ACTIONS, SENSITIVITIES),
        networks=read.networks(body["networks"]),
        blocked=read.blocked(tables["block"]),
        **tables,
    )
