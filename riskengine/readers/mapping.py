"""A mapping: which records of a log are logins and where their fields stand. Data, read from TOML, checked here."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from riskengine.errors import Fault, InvalidInput
from riskengine.event import ACTIONS, MFA_RESULTS, OUTCOMES, SENSITIVITIES, STEP_UP_RESULTS
from riskengine.readers.condition import Condition, Term
from riskengine.readers.path import Path, as_text, parse_path

EVENT_FIELDS = (
    "user_id", "login", "ip", "event_id", "occurred_at", "outcome", "action", "user_agent", "device_id", "session_id",
    "groups", "resource", "sensitivity", "mfa.result", "mfa.amr", "mfa.at",
)  # fmt: skip
FACTOR_FIELDS = ("result", "amr", "at")
TIMES = frozenset(("occurred_at", "mfa.at", "at"))
LISTS = frozenset(("groups", "mfa.amr", "amr"))
_NEEDED = ("user_id", "ip", "occurred_at")
# What the values of a field may be; elsewhere any text.
_CHOICES = {
    "outcome": OUTCOMES,
    "action": ACTIONS,
    "sensitivity": SENSITIVITIES,
    "mfa.result": MFA_RESULTS,
    "result": STEP_UP_RESULTS,
}
SECTIONS = ("detect", "log", "login", "event", "second_factor")
LOG_KEYS = ("records", "unwrap", "each", "dotted", "text", "pattern", "pairs", "once", "zone")
_FACTOR_KEYS = ("when", "link", *FACTOR_FIELDS)
FIELD_KEYS = ("from", "value", "when", "unless", "values", "otherwise", "pattern", "ignore", "fold", "format")
TEXTS = ("cef",)


@dataclass(frozen=True, slots=True)
class Value:
    """One way to a field's value: the first of `paths` that leads to one that is not ignored, then made what it means.

    `values` gives what a text of the log stands for and `otherwise` what all others do; "" stands for no value, and a
    text with no entry is a fault. `pattern` takes a part out of a text: its first group; a text that does not match is
    no value.
    """

    paths: tuple[Path, ...] = ()
    constant: str | None = None
    when: tuple[Condition, ...] = ()
    unless: tuple[Condition, ...] = ()
    values: Mapping[str, str] | None = None
    otherwise: str | None = None
    pattern: re.Pattern[str] | None = None
    ignore: frozenset[str] = frozenset()
    fold: bool = False
    formats: tuple[str, ...] = ()


Fields = Mapping[str, tuple[Value, ...]]


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """Records that say how a second factor ended, and the paths whose value they share with their login."""

    when: tuple[Condition, ...]
    link: tuple[Path, ...]
    fields: Fields


@dataclass(frozen=True, slots=True)
class LogMapping:
    """A log's mapping. `name` begins the ids made for events without one.

    `zone` is that of local times where it is not the reader's to say. `records` are lists in an envelope, `unwrap` an
    object (or its JSON) around each record, `each` a list within a record of several events. `once`: of records that
    share these values only the first counts.
    """

    name: str
    detect: tuple[Condition, ...] = ()
    records: tuple[tuple[str, ...], ...] = ()
    unwrap: tuple[Path, ...] = ()
    each: Path | None = None
    text: str | None = None
    pattern: re.Pattern[str] | None = None
    pairs: str | None = None
    once: tuple[Path, ...] = ()
    zone: ZoneInfo | None = None
    login: tuple[Condition, ...] = ()
    event: Fields = field(default_factory=dict)
    context: Fields = field(default_factory=dict)
    second_factor: SecondFactor | None = None


def parse_mapping(text: str, name: str, file: str = "") -> LogMapping:
    """Return the mapping that a TOML text states; `file` is how messages call it.

    Raise InvalidInput naming each thing that is wrong by its place in the file, as `my.toml: event.ip.from`.
    """
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput([Fault(file or name, f"is not TOML: {error}")]) from error
    except RecursionError as error:
        raise InvalidInput([Fault(file or name, "is nested too deeply")]) from error
    reader = _Reader(file or name, bool(_table(body.get("log")).get("dotted", False)))
    mapping = reader.mapping(body, name)
    if reader.faults:
        raise InvalidInput(reader.faults)
    return mapping


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


class _Reader:
    """Turns tables into parts of a mapping and collects what is wrong."""

    def __init__(self, file: str, dotted: bool) -> None:
        self.faults: list[Fault] = []
        self._file, self._dotted = file, dotted

    def mapping(self, body: dict[str, Any], name: str) -> LogMapping:
        self._known(body, SECTIONS, "")
        log = self._section(body, "log", LOG_KEYS)
        event = self._section(body, "event", (*EVENT_FIELDS, "mfa", "context"))
        if isinstance(event.get("mfa"), dict):
            event |= {f"mfa.{key}": value for key, value in event.pop("mfa").items()}
            self._known(event, (*EVENT_FIELDS, "context"), "event")
        context = self._section(event, "context", None)
        event.pop("context", None)
        for needed in _NEEDED:
            if needed not in event:
                self._wrong(f"event.{needed}", "is missing")
        return LogMapping(
            name,
            detect=self.conditions(body.get("detect", []), "detect"),
            records=tuple(tuple(path.split(".")) for path in self._texts(log.get("records", []), "log.records")),
            unwrap=self.paths(log.get("unwrap", []), "log.unwrap"),
            each=next(iter(self.paths(log.get("each", []), "log.each")), None),
            text=self._one_of(log.get("text"), TEXTS, "log.text"),
            pattern=self._pattern(log.get("pattern"), "log.pattern"),
            pairs=self._text(log.get("pairs"), "log.pairs"),
            once=self.paths(log.get("once", []), "log.once"),
            zone=self._zone(log.get("zone")),
            login=self.conditions(body.get("login", []), "login"),
            event=self.fields(event, "event"),
            context=self.fields(context, "event.context"),
            second_factor=self._second_factor(body),
        )

    def _second_factor(self, body: dict[str, Any]) -> SecondFactor | None:
        if "second_factor" not in body:
            return None
        table = self._section(body, "second_factor", _FACTOR_KEYS)
        for needed in ("when", "link", "result"):
            if needed not in table:
                self._wrong(f"second_factor.{needed}", "is missing")
        return SecondFactor(
            self.conditions(table.pop("when", []), "second_factor.when"),
            self.paths(table.pop("link", []), "second_factor.link"),
            self.fields({name: value for name, value in table.items() if name in FACTOR_FIELDS}, "second_factor"),
        )

    def fields(self, table: dict[str, Any], where: str) -> Fields:
        return {name: self._values(name, value, f"{where}.{name}") for name, value in table.items()}

    def _values(self, name: str, value: Any, where: str) -> tuple[Value, ...]:
        several = value if isinstance(value, list) else [value]
        if not several:
            self._wrong(where, "has nothing in it")
        return tuple(self._value(name, one, where) for one in several)

    def _value(self, name: str, given: Any, where: str) -> Value:
        """Return one way to a value: a path, or a table of what is to be done with it."""
        if isinstance(given, str):
            return Value(self.paths(given, where))
        if not isinstance(given, dict):
            self._wrong(where, "must be a path, a table, or a list of these")
            return Value()
        self._known(given, FIELD_KEYS, where)
        if ("from" in given) == ("value" in given):
            self._wrong(where, "must have either `from` or `value`")
        values = given.get("values")
        if values is not None and not isinstance(values, dict):
            self._wrong(f"{where}.values", "must be a table")
            values = {}
        found = Value(
            self.paths(given.get("from", []), f"{where}.from"),
            self._text(given.get("value"), f"{where}.value"),
            self.conditions(given.get("when", []), f"{where}.when"),
            self.conditions(given.get("unless", []), f"{where}.unless"),
            None if values is None else {key: str(self._text(v, f"{where}.values.{key}")) for key, v in values.items()},
            self._text(given.get("otherwise"), f"{where}.otherwise"),
            self._pattern(given.get("pattern"), f"{where}.pattern"),
            frozenset(self._texts(given.get("ignore", []), f"{where}.ignore")),
            self._flag(given.get("fold", False), f"{where}.fold"),
            self._texts(given.get("format", []), f"{where}.format"),
        )
        self._check_choices(name, found, where)
        return found

    def _check_choices(self, name: str, value: Value, where: str) -> None:
        choices = _CHOICES.get(name)
        if choices is None:
            return
        stated = [value.constant, value.otherwise, *(value.values or {}).values()]
        if any(one not in choices for one in stated if one):
            self._wrong(where, f"must give one of {', '.join(choices)}")

    def conditions(self, given: Any, where: str) -> tuple[Condition, ...]:
        """Return conditions of which one must hold: a table, or a list of tables."""
        several = given if isinstance(given, list) else [given]
        if not all(isinstance(one, dict) for one in several):
            self._wrong(where, "must be a table of paths and what must stand there")
            return ()
        return tuple(tuple(self._term(path, wanted, where) for path, wanted in one.items()) for one in several)

    def _term(self, path: str, wanted: Any, where: str) -> Term:
        [*paths] = self.paths(path, where)
        steps = paths[0] if paths else Path(())
        if isinstance(wanted, bool):
            return Term(steps, present=wanted)
        several = wanted if isinstance(wanted, list) else [wanted]
        texts = [text for one in several if (text := as_text(one)) is not None]
        if len(texts) != len(several) or not texts:
            self._wrong(f"{where}.{path}", "must be texts, or true or false for whether there is something")
        globs = tuple(text for text in texts if "*" in text or "?" in text)
        return Term(steps, frozenset(texts).difference(globs), globs)

    def paths(self, given: Any, where: str) -> tuple[Path, ...]:
        found = []
        for text in self._texts(given, where):
            try:
                found.append(parse_path(text, self._dotted))
            except InvalidInput as error:
                self._wrong(where, error.faults[0].detail)
        return tuple(found)

    def _pattern(self, given: Any, where: str) -> re.Pattern[str] | None:
        text = self._text(given, where)
        if text is None:
            return None
        try:
            pattern = re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            self._wrong(where, f"is no regular expression: {error}")
            return None
        if not pattern.groups:
            self._wrong(where, "has no group: what is to be taken stands in ( )")
        return pattern

    def _zone(self, given: Any) -> ZoneInfo | None:
        name = self._text(given, "log.zone")
        try:
            return None if name is None else ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            self._wrong("log.zone", "must be the name of an IANA time zone, as Europe/Lisbon")
            return None

    def _section(self, body: dict[str, Any], name: str, known: Sequence[str] | None) -> dict[str, Any]:
        section = body.get(name, {})
        if not isinstance(section, dict):
            self._wrong(name, "must be a table")
            return {}
        if known is not None:
            self._known(section, known, name)
        return dict(section)

    def _known(self, table: dict[str, Any], known: Sequence[str], where: str) -> None:
        for key in table:
            if key not in known and key != "":
                self._wrong(f"{where}.{key}".lstrip("."), f"is not known here; known are {', '.join(known)}")

    def _typed(self, given: Any, kind: type, what: str, where: str) -> Any:
        if given is not None and not isinstance(given, kind):
            self._wrong(where, f"must be {what}")
            return None
        return given

    def _text(self, given: Any, where: str) -> str | None:
        text: str | None = self._typed(given, str, "a text", where)
        return text

    def _flag(self, given: Any, where: str) -> bool:
        return bool(self._typed(given, bool, "true or false", where))

    def _one_of(self, given: Any, choices: Sequence[str], where: str) -> str | None:
        if given is not None and given not in choices:
            self._wrong(where, f"must be one of {', '.join(choices)}")
            return None
        return self._text(given, where)

    def _texts(self, given: Any, where: str) -> tuple[str, ...]:
        several = given if isinstance(given, list) else [given]
        if not all(isinstance(one, str) for one in several):
            self._wrong(where, "must be a text or a list of texts")
            return ()
        return tuple(several)

    def _wrong(self, where: str, detail: str) -> None:
        self.faults.append(Fault(f"{self._file}: {where}", detail))
