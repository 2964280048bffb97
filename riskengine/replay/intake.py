"""Items as they are read, made rows of numbers and the few texts that no two of them share."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from math import nan
from typing import Any

import msgspec
import numpy as np

from riskengine.check import Wrong, parse_time
from riskengine.engine.arrival import canonical
from riskengine.engine.rows import HOUR_MS, claimed_kind, claimed_position, sorted_groups, zone_offset
from riskengine.event import (
    ACTIONS,
    EVENT_FIELDS,
    MFA_RESULTS,
    NETWORK_TYPES,
    OUTCOMES,
    REPORT_RESULTS,
    SENSITIVITIES,
    Event,
    Report,
)
from riskengine.replay.register import Register
from riskengine.replay.told import CLAIMS, COMMON, NOBODY, REPORT, Chunk, silent

_OUTCOME = {name: code for code, name in enumerate(OUTCOMES)}
_MFA = {None: 0} | {name: 1 + code for code, name in enumerate(MFA_RESULTS)}
_ACTION = {name: code for code, name in enumerate(ACTIONS)}
_SENSITIVITY = {None: -1} | {name: code for code, name in enumerate(SENSITIVITIES)}
# What a plain line may hold: nothing but texts.
_PLAIN = frozenset(
    (
        *("type", "user_id", "login", "ip", "event_id", "occurred_at", "outcome", "mfa", "action", "user_agent"),
        *("device_id", "session_id", "resource", "sensitivity"),
    )
)
_NO_SOFTWARE, _NO_DEVICE = (-1, 0), (0, 0)
_MINUTE = 16  # of a time as 2026-03-04T09:15:27Z, what its minute takes
_MOST_TIMES = _SPELLINGS = 1 << 17
_decode = msgspec.json.Decoder(dict[str, str]).decode


class Intake:
    """Takes in the items of a log one after another, and gives them back in chunks.

    Whatever is taken in twice, however it was spelled, gets equal digests of its id and body.
    """

    def __init__(self, register: Register) -> None:
        self.register, self.number = register, 0
        # Software and devices have more spellings than are worth remembering all.
        self._agent = lru_cache(_SPELLINGS)(lambda text: register.agent(EVENT_FIELDS["user_agent"](text)))
        self._device = lru_cache(_SPELLINGS)(lambda text: register.device(EVENT_FIELDS["device_id"](text)))
        self._minutes: dict[str, int] = {}
        self._seconds: dict[str, int] = {}
        self._begin()

    def __len__(self) -> int:
        return len(self._ids)

    def plain(self, line: bytes, source: int, at: int) -> bool:
        """Take in a line of riskengine's own NDJSON that holds an event in nothing but texts; return whether it did.

        It vouches for what it takes, by the checks of `event`; whatever is out of the ordinary is for the reader, which
        says what is wrong.
        """
        try:
            found = _decode(line)
            if line.count(b'"') != 4 * len(found) or b"\\" in line or not found.keys() <= _PLAIN:
                return False  # a key that stands twice, an escape, a field that is not known
            get, register = found.get, self.register
            time, event_id = self._time(found["occurred_at"]), EVENT_FIELDS["event_id"](found["event_id"])
            user, address = register.users.get(found["user_id"]), register.addresses.get(found["ip"])
            agent, device, session = get("user_agent"), get("device_id"), get("session_id")
            resource, login = get("resource"), get("login")
            row = (
                time,
                hash(event_id),
                self._spelled(register.users, register.user, "user_id", found) if user is None else user,
                self._spelled(register.addresses, register.address, "ip", found) if address is None else address,
                _NO_SOFTWARE if agent is None else self._agent(agent),
                _NO_DEVICE if device is None else self._device(device),
                _OUTCOME[get("outcome", "success")],
                _MFA[get("mfa")],
                _ACTION[get("action", "login")],
                _SENSITIVITY[get("sensitivity")],
                -1 if resource is None else self._resource(EVENT_FIELDS["resource"](resource)),
                None if session is None else EVENT_FIELDS["session_id"](session),
                None if login is None else EVENT_FIELDS["login"](login),
            )
            if get("type", "event") != "event":
                return False
        except (msgspec.MsgspecError, KeyError, Wrong):
            return False
        self._take(row, event_id, source, at, NOBODY, 0)
        return True

    def event(self, event: Event, source: int, at: int) -> None:
        """Take in an event, which has an id and a time."""
        register, user_id, mfa = self.register, event.user_id, event.mfa
        assert event.occurred_at is not None
        assert event.event_id is not None
        user = NOBODY if user_id is None else register.user(user_id)
        row = (
            event.occurred_at,
            hash(event.event_id),
            user,
            register.address(event.ip),
            _NO_SOFTWARE if event.user_agent is None else register.agent(event.user_agent),
            _NO_DEVICE if event.device_id is None else register.device(event.device_id),
            _OUTCOME[event.outcome],
            0 if mfa is None else _MFA[mfa.result],
            _ACTION[event.action],
            _SENSITIVITY[event.sensitivity],
            -1 if event.resource is None else self._resource(event.resource),
            event.session_id,
            event.login,
        )
        login = register.login(event.login) if user == NOBODY and event.login is not None else NOBODY
        self._take(row, event.event_id, source, at, login, hash(canonical(event)) if _claims(event) else 0)
        if _claims(event):
            self._claims.append((len(self._ids) - 1, self._claimed(event)))

    def report(self, report: Report, source: int, at: int) -> None:
        """Take in a report, which has a time."""
        assert report.at is not None
        common = dict.fromkeys(COMMON, 0) | {
            "time": report.at,
            "event": hash(report.event_id),
            "user": NOBODY,
            "source": source,
            "line": at,
        }
        self._rows.append(tuple(common.values()))
        self._reports.append((len(self._ids), REPORT_RESULTS.index(report.result)))
        self._ids.append("")

    def chunk(self) -> Chunk:
        """Return what was taken in since the last chunk, every address in it located."""
        self.register.locate()
        count = len(self._rows)
        rows = silent(count)
        told = np.array(self._rows, np.int64).reshape(count, len(COMMON))
        for at, name in enumerate(COMMON):
            rows[name] = told[:, at]
        rows["number"] = np.arange(self.number, self.number + count)
        rows["mfa_at"] = rows["time"]
        for at, claims in self._claims:
            rows[list(CLAIMS)][at] = claims
        for at, result in self._reports:
            rows["role"][at], rows["result"][at] = REPORT, result
        chunk = Chunk(rows, self._ids)
        self.number += count
        self._begin()
        return chunk

    def _begin(self) -> None:
        self._rows: list[tuple[int, ...]] = []
        self._ids: list[str] = []
        self._claims: list[tuple[int, tuple[float, ...]]] = []
        self._reports: list[tuple[int, int]] = []

    def _take(self, row: tuple[Any, ...], event_id: str, source: int, at: int, login: int, rest: int) -> None:
        """Keep a row; `rest` is a digest of what the event holds beyond it, 0 for nothing."""
        time, event, user, address, agent, device, outcome, mfa, action, sensitivity, resource, _, _ = row
        self._rows.append(
            (
                time,
                event,
                hash((row, rest)),
                user,
                login,
                address,
                agent[0],
                device[0],
                outcome,
                mfa,
                action,
                sensitivity,
                resource,
                source,
                at,
            )
        )
        self._ids.append(event_id)

    def _spelled(
        self, known: dict[str, int], number: Callable[[str], int], field: str, found: Mapping[str, str]
    ) -> int:
        """Return the number of what a field says in a spelling that is new; `Wrong` where it may not."""
        text = found[field]
        known[text] = of = number(EVENT_FIELDS[field](text))
        return of

    def _resource(self, name: str) -> int:
        resources = self.register.names.resources
        return resources.setdefault(name, len(resources))

    def _time(self, text: str) -> int:
        """Return a time in ms since 1970, of minutes and seconds that were met before; `Wrong` for what is no time."""
        try:
            return self._minutes[text[:_MINUTE]] + self._seconds[text[_MINUTE:]]
        except KeyError:
            return self._new_time(text)

    def _new_time(self, text: str) -> int:
        """Return a time in ms, and remember its minute and its seconds, in UTC, where each is one by itself."""
        time: int = parse_time(text)
        if text.endswith("Z") and text[11:13] < "24":
            within = time % 60_000
            for kept, part, value in (
                (self._minutes, text[:_MINUTE], time - within),
                (self._seconds, text[_MINUTE:], within),
            ):
                if len(kept) >= _MOST_TIMES:
                    kept.clear()
                kept[part] = value
        return time

    def _claimed(self, event: Event) -> tuple[float, ...]:
        """Return what an event claims beyond the ordinary, in the order of CLAIMS."""
        assert event.occurred_at is not None
        names, claim, rtt, mfa = self.register.names, event.network, event.rtt, event.mfa
        groups = -1 if not event.groups else names.groups.setdefault(sorted_groups(event), len(names.groups))
        return (
            event.occurred_at if mfa is None or mfa.at is None else mfa.at,
            groups,
            claimed_kind(claim),
            -1 if claim is None or claim.type is None else NETWORK_TYPES.index(claim.type),
            nan if event.timezone is None else zone_offset(event.timezone, event.occurred_at // HOUR_MS),
            *claimed_position(event.position),
            nan if rtt is None else rtt.ms,
            -1 if rtt is None else names.edges.setdefault(rtt.edge, len(names.edges)),
        )


def _claims(event: Event) -> bool:
    """Return whether an event holds anything that a plain line cannot."""
    mfa = event.mfa
    more = event.groups or event.network or event.position or event.timezone or event.rtt or event.context
    return bool(more) or (mfa is not None and (bool(mfa.amr) or mfa.at is not None))
