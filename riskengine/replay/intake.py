"""Items as they are read, made rows of numbers and the few texts that no two of them share."""

from collections.abc import Mapping
from math import nan

import numpy as np

from riskengine.engine.arrival import canonical
from riskengine.engine.rows import HOUR_MS, claimed_kind, claimed_position, sorted_groups, zone_offset
from riskengine.event import (
    ACTIONS,
    MFA_RESULTS,
    NETWORK_TYPES,
    OUTCOMES,
    REPORT_RESULTS,
    SENSITIVITIES,
    Event,
    Report,
)
from riskengine.readers.lines import Block, Raw
from riskengine.replay.plain import PlainLines
from riskengine.replay.register import Register
from riskengine.replay.told import (
    CLAIMS,
    COMMON,
    NO_DEVICE,
    NO_SOFTWARE,
    NOBODY,
    REPORT,
    Chunk,
    digests,
    silent,
)

_OUTCOME = {name: code for code, name in enumerate(OUTCOMES)}
_MFA = {None: 0} | {name: 1 + code for code, name in enumerate(MFA_RESULTS)}
_ACTION = {name: code for code, name in enumerate(ACTIONS)}
_SENSITIVITY = {None: -1} | {name: code for code, name in enumerate(SENSITIVITIES)}
_SINGLE = tuple(name for name in COMMON if name != "body")
_MORE = 5  # digests of an event that its row does not tell
_BEHIND = np.iinfo(np.int64).max


class Intake:
    """Takes in the items of a log one after another, and gives them back in chunks.

    Whatever is taken in twice, however it was spelled, gets equal digests of its id and body.
    """

    def __init__(self, register: Register) -> None:
        self.register, self.number = register, 0
        self._plain = PlainLines(register)
        self._begin()

    def __len__(self) -> int:
        return self._count

    def block(self, block: Block, source: int) -> list[Raw]:
        """Take in what lines of riskengine's own NDJSON are plain and right; return the others.

        Those are to be taken in before the next chunk is made: each belongs where it stood.
        """
        self._settle()
        taken = self._plain.take(block, source)
        self._settled.append(Chunk(taken.rows, taken.ids))
        self._count += len(taken.ids)
        return taken.left

    def event(self, event: Event, source: int, at: int) -> None:
        """Take in an event, which has an id and a time."""
        register, user_id, mfa = self.register, event.user_id, event.mfa
        assert event.occurred_at is not None
        assert event.event_id is not None
        user = NOBODY if user_id is None else register.user(user_id)
        agent, agent_digest = NO_SOFTWARE if event.user_agent is None else register.agent(event.user_agent)
        device, device_digest = NO_DEVICE if event.device_id is None else register.device(event.device_id)
        login = register.login(event.login) if user == NOBODY and event.login is not None else NOBODY
        common = {
            "time": event.occurred_at,
            "event": hash(event.event_id),
            "user": user,
            "login": login,
            "address": register.address(event.ip),
            "agent": agent,
            "device": device,
            "outcome": _OUTCOME[event.outcome],
            "mfa": 0 if mfa is None else _MFA[mfa.result],
            "action": _ACTION[event.action],
            "sensitivity": _SENSITIVITY[event.sensitivity],
            "resource": -1 if event.resource is None else register.resource(event.resource),
            "source": source,
            "line": at,
        }
        more = (
            *(agent_digest, device_digest),
            *(0 if text is None else hash(text) for text in (event.session_id, event.login)),
            hash(canonical(event)) if _claims(event) else 0,
        )
        if _claims(event):
            self._claims.append((len(self._ids), self._claimed(event)))
        self._take(event.event_id, common, more)

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
        self._reports.append((len(self._ids), REPORT_RESULTS.index(report.result)))
        self._take("", common, (0,) * _MORE)

    def chunk(self) -> Chunk:
        """Return what was taken in since the last chunk, and have its addresses surveyed."""
        self._settle()
        self.register.survey()
        rows = np.concatenate([silent(0), *(one.rows for one in self._settled)])
        rows["number"] = np.arange(self.number, self.number + len(rows))
        ids = [event_id for one in self._settled for event_id in one.ids]
        self.number += len(rows)
        self._begin()
        return Chunk(rows, ids)

    def _begin(self) -> None:
        self._settled: list[Chunk] = []
        self._count = 0
        self._single()

    def _single(self) -> None:
        """Begin to collect what comes one by one."""
        self._rows: list[tuple[int, ...]] = []
        self._more: list[tuple[int, ...]] = []
        self._ids: list[str] = []
        self._claims: list[tuple[int, tuple[float, ...]]] = []
        self._reports: list[tuple[int, int]] = []

    def _take(self, event_id: str, common: Mapping[str, int], more: tuple[int, ...]) -> None:
        """Keep an item; `more` are digests of what the event holds beyond its row, 0 for nothing."""
        self._rows.append(tuple(common[name] for name in _SINGLE))
        self._more.append(more)
        self._ids.append(event_id)
        self._count += 1

    def _settle(self) -> None:
        """Put what came one by one since the last block where it belongs: between that block's lines, or behind it."""
        if not self._ids:
            return
        found = Chunk(self._singles(), self._ids)
        if self._settled:  # which ends with a block
            before = self._settled.pop()
            rows, ids = np.concatenate([before.rows, found.rows]), [*before.ids, *found.ids]
            same = rows["source"] == before.rows["source"][0] if len(before.rows) else np.zeros(len(rows), bool)
            order = np.argsort(np.where(same, rows["line"], _BEHIND), kind="stable")
            found = Chunk(rows[order], [ids[at] for at in order.tolist()])
        self._settled.append(found)
        self._single()

    def _singles(self) -> np.ndarray:
        """Return what came one by one as rows."""
        rows = silent(len(self._rows))
        told = np.array(self._rows, np.int64)
        for at, name in enumerate(_SINGLE):
            rows[name] = told[:, at]
        rows["mfa_at"] = rows["time"]
        rows["body"] = digests(rows, list(np.ascontiguousarray(np.array(self._more, np.int64).T)))
        for at, claims in self._claims:
            rows[list(CLAIMS)][at] = claims
        for at, result in self._reports:
            rows["role"][at], rows["result"][at] = REPORT, result
        return rows

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
