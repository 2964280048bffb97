"""Assessed events as lines of NDJSON: each the full answer, with `log` and `line` where the event stood."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from riskengine.assess import Assessments
from riskengine.engine.answer import Scene, Told, answer, journey_rows, judged
from riskengine.event import ACTIONS, NETWORK_TYPES
from riskengine.locate.source import DataSource
from riskengine.policy.policy import Policy
from riskengine.replay.columns import address_of
from riskengine.replay.register import Tables
from riskengine.replay.told import NOBODY

_SPELLED = 1 << 16
AT_ONCE = 2_048  # events whose numbers are taken out of their columns together
_SHARED = ("location", "network", "signals", "data")  # what of an answer others have in common with it
_encode = msgspec.json.Encoder().encode


class Spelled(dict[int, tuple[Any, msgspec.Raw]]):
    """Parts of answers in JSON, each encoded once: found by identity, since who shares them may not change them."""

    def of(self, part: Any) -> msgspec.Raw:
        """Return a part in JSON."""
        found = self.get(id(part))
        if found is None:
            if len(self) >= _SPELLED:
                self.clear()
            self[id(part)] = found = part, msgspec.Raw(_encode(part))  # a part that is kept leaves its id to no other
        return found[1]


@dataclass(frozen=True, slots=True)
class Setting:
    """What all answers of a replay share. `logs` are the names of the logs."""

    tables: Tables
    policy: Policy
    source: DataSource
    logs: Sequence[str]
    spelled: Spelled = field(default_factory=Spelled)


def lines(result: Assessments, told: np.ndarray, ids: Sequence[str], setting: Setting) -> Iterator[bytes]:
    """Yield the line of each event of an assessment without reports, `told` as TOLD rows."""
    for begun in range(0, len(told), AT_ONCE):
        some = slice(begun, begun + AT_ONCE)
        yield from _lines(result, range(len(told))[some], told[some], ids[some], setting)


def _lines(result: Assessments, rows: range, told: np.ndarray, ids: Sequence[str], setting: Setting) -> Iterator[bytes]:
    tables = setting.tables
    places = {row: tables.labels[tables.label[address_of(row)]].place() for row in journey_rows(result, rows)}
    scene = Scene(setting.policy, setting.source, places)
    labels = [tables.labels[at] for at in tables.label[told["address"]].tolist()]
    stood = zip(told["source"].tolist(), told["line"].tolist(), strict=True)
    found = zip(_told(told, ids, tables), labels, judged(result, rows), stood, strict=True)
    spelled = setting.spelled.of
    for event, label, row, (log, line) in found:
        reply = answer(event, label, row, scene)
        for part in _SHARED:
            reply[part] = spelled(reply[part])
        if journey := reply["travel"]:
            journey["from"], journey["to"] = spelled(journey["from"]), spelled(journey["to"])
        reply["log"], reply["line"] = setting.logs[log], line
        yield _encode(reply) + b"\n"


def _told(told: np.ndarray, ids: Sequence[str], tables: Tables) -> Iterator[Told]:
    """Yield what answers take from their events."""
    times = np.datetime_as_string(told["time"].astype("M8[ms]"), timezone="UTC").tolist()
    columns = ("user", "action", "resource", "device", "agent", "claimed_type", "rtt", "edge")
    numbers = zip(times, *(told[name].tolist() for name in columns), strict=True)
    for event_id, (time, user, action, resource, device, agent, claimed, rtt, edge) in zip(ids, numbers, strict=True):
        yield Told(
            event_id,
            time,
            None if user == NOBODY else tables.user_refs[user],
            ACTIONS[action],
            None if resource < 0 else tables.resources[resource],
            device > 0,
            None if agent == NOBODY else tables.agents[agent],
            None if claimed < 0 else NETWORK_TYPES[claimed],
            rtt if rtt == rtt else None,
            None if edge < 0 else tables.edges[edge],
            (),
        )
