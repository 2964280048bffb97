"""Records to items, by a mapping: the interpreter of what a mapping says."""

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Any

from riskengine.check import format_time
from riskengine.errors import Fault, InvalidInput
from riskengine.event import Event, Report, parse_event, parse_report
from riskengine.readers.condition import any_holds
from riskengine.readers.factor import Factors
from riskengine.readers.identity import Identity
from riskengine.readers.log import Found, Skip
from riskengine.readers.mapping import LISTS, TIMES, Fields, LogMapping, Value
from riskengine.readers.moment import moment
from riskengine.readers.path import Path, as_text
from riskengine.readers.record import Record, Records

# As long as POST /score takes them; what is longer is cut, so that nobody hides a login behind a long name.
_LONGEST = {"user_agent": 2048, "amr": 32, "groups": 128}
_LONGEST_TEXT = 256
_MOST_ENTRIES = 16
_EVENT_ID = re.compile(r"[A-Za-z0-9._:~-]{1,128}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PORT = re.compile(r"(?:\[([^\]]+)\]|(\d{1,3}(?:\.\d{1,3}){3}))(?::\d{1,5})?")
# Records remembered to tell those that repeat them.
_REMEMBERED = 65_536


class Mapped:
    """Parser of one log by a mapping; `zone` is that of its local times, `records` takes its lines apart."""

    def __init__(self, mapping: LogMapping, records: Callable[[bytes], Records], zone: tzinfo) -> None:
        self._mapping, self._records, self._zone = mapping, records, mapping.zone or zone
        self._identity = Identity(mapping.name)
        self._factors = Factors()
        self._seen: dict[str, None] = {}

    def parse(self, line: bytes, ended: bool) -> Sequence[Found] | Skip:
        """Return what the records of a line give: a login, a report, why there is none, or what is wrong."""
        try:
            records = self._records(line)
        except InvalidInput as error:
            if ended:
                raise
            raise InvalidInput(
                [Fault("", f"may be cut off: the log ends within it ({error.faults[0].detail})")]
            ) from error
        if isinstance(records, Skip):
            return records
        found: list[Found] = []
        for record in records:
            for position, part in enumerate(self._parts(record)):
                found += self._items(part, position, line)
        return found

    def _parts(self, record: Record) -> Sequence[Record]:
        """Return a record once for each of the events in it: with the event in place of their list."""
        each = self._mapping.each
        if each is None or not isinstance(entries := each.of(record), list):
            return (record,)
        name = str(each.steps[-1])
        return [record | {name: entry} for entry in entries] if len(each.steps) == 1 else (record,)

    def _items(self, record: Record, position: int, line: bytes) -> Sequence[Found]:
        mapping = self._mapping
        try:
            if mapping.second_factor and any_holds(mapping.second_factor.when, record):
                return self._factor(record)
            if mapping.login and not any_holds(mapping.login, record):
                return (Skip.NOT_A_LOGIN,)
            event = self._event(record, position, line)
        except InvalidInput as error:
            return (error,)
        if isinstance(event, Skip):
            return (event,)
        if self._repeats(record):
            return (Skip.REPEATED,)
        return self._factors.login(event, self._link(record))

    def _event(self, record: Record, position: int, line: bytes) -> Event | Skip:
        body, faults = self._body(self._mapping.event, record)
        if "ip" not in body and not any(fault.pointer == "/ip" for fault in faults):
            return Skip.NO_ADDRESS
        mfa = {name: body.pop(f"mfa.{name}") for name in ("result", "amr", "at") if f"mfa.{name}" in body}
        if "result" in mfa:
            body["mfa"] = mfa
        context, _ = self._body(self._mapping.context, record)
        if context:
            body["context"] = context
        body.setdefault("user_id", None)
        body["event_id"] = self._id(body.get("event_id"), position, line)
        if faults:
            raise InvalidInput(faults)
        if "occurred_at" not in body:
            raise InvalidInput([Fault("/occurred_at", "is missing")])
        return parse_event(body)

    def _factor(self, record: Record) -> Sequence[Found]:
        """Return the report that a second factor's record makes, or that it waits for its login."""
        assert self._mapping.second_factor is not None
        fields = {"at": self._mapping.event["occurred_at"]} | dict(self._mapping.second_factor.fields)
        body, faults = self._body(fields, record)
        if faults:
            raise InvalidInput(faults)
        if "result" not in body or "at" not in body:
            return (Skip.NOT_A_LOGIN,)
        report: Report = parse_report(body | {"event_id": "unknown"})
        return self._factors.factor(report, self._link(record)) or (Skip.SECOND_FACTOR,)

    def _body(self, fields: Fields, record: Record) -> tuple[dict[str, Any], list[Fault]]:
        """Return the fields that have a value, and what is wrong with those that should have."""
        body: dict[str, Any] = {}
        faults: list[Fault] = []
        for name, ways in fields.items():
            try:
                value = next((one for way in ways if (one := self._value(name, way, record)) is not None), None)
            except InvalidInput as error:
                faults.append(Fault(f"/{name.replace('.', '/')}", error.faults[0].detail))
            else:
                if value is not None:
                    body[name] = value
        return body, faults

    def _value(self, name: str, way: Value, record: Record) -> Any:
        """Return a field's value as POST /score takes it, None if this way leads to none."""
        if way.when and not any_holds(way.when, record):
            return None
        if way.unless and any_holds(way.unless, record):
            return None
        if way.constant is not None:
            return [way.constant] if name in LISTS else way.constant
        for path in way.paths:
            value = path.of(record)
            if name in LISTS and isinstance(value, list):
                return _list(name, value)
            if isinstance(value, list):
                value = next(iter(value), None)
            text = self._means(way, as_text(value))
            if text is not None:
                return self._finished(name, way, text)
        return None

    def _means(self, way: Value, text: str | None) -> str | None:
        """Return what a text of the log stands for, None for nothing."""
        if text is not None and way.pattern is not None:
            found = way.pattern.search(text)
            text = found[1] if found else None
        if text is None or text in way.ignore:
            return None
        if way.values is not None:
            if text not in way.values and way.otherwise is None:
                raise InvalidInput([Fault("", "is none of the values that the mapping knows")])
            text = way.values.get(text, way.otherwise)
        return text or None

    def _finished(self, name: str, way: Value, text: str) -> Any:
        if name in TIMES:
            return format_time(moment(text, self._zone, way.formats))
        if name == "ip":
            return bare_address(text)
        if name == "event_id":
            return text
        text = clean(text.casefold() if way.fold else text, _LONGEST.get(name, _LONGEST_TEXT))
        return [text] if name in LISTS else text or None

    def _id(self, given: str | None, position: int, line: bytes) -> str:
        """Return a record's own id where it may be one, else one made of it; further events of it get a number more."""
        if given is None:
            return self._identity.of(line)
        if position:
            given = f"{given}.{position + 1}"
        if _EVENT_ID.fullmatch(given):
            return given
        return f"{self._mapping.name}-{hashlib.sha256(given.encode(errors='replace')).hexdigest()[:32]}"

    def _repeats(self, record: Record) -> bool:
        """Return whether a record shares what `once` names with an earlier one, and remember it."""
        key = _shared(self._mapping.once, record)
        if not key:
            return False
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return False

    def _link(self, record: Record) -> str | None:
        factor = self._mapping.second_factor
        return None if factor is None else _shared(factor.link, record)


def _shared(paths: Sequence[Path], record: Record) -> str | None:
    """Return what stands at all of the paths as one text, None if something is missing."""
    texts = [as_text(path.of(record)) for path in paths]
    return "\0".join(text for text in texts if text) if texts and all(texts) else None


def _list(name: str, entries: list[Any]) -> list[str] | None:
    texts = (as_text(one) for one in entries[:_MOST_ENTRIES])
    return [
        found for text in texts if text and (found := clean(text, _LONGEST.get(name.rpartition(".")[2], 32)))
    ] or None


def clean(text: str, longest: int) -> str:
    """Return a text as a field takes it: without controls and halves of surrogate pairs, cut, without outer blanks."""
    return _CONTROL.sub(" ", text)[:longest].strip()


def bare_address(text: str) -> str:
    """Return an address without port, brackets and IPv6 zone.

    >>> [bare_address(text) for text in ("192.0.2.1:443", "[2001:db8::1]:443", "fe80::1%eth0", "2001:db8::1")]
    ['192.0.2.1', '2001:db8::1', 'fe80::1', '2001:db8::1']
    """
    found = _PORT.fullmatch(text)
    return (found[1] or found[2] if found else text).partition("%")[0]
