"""Assessed events as lines of NDJSON: each the full answer, with `log` and `line` where the event stood."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from riskengine.assess import Assessments
from riskengine.engine.answer import Judged, Scene, Told, answer, journey_rows, judged, reasons
from riskengine.event import ACTIONS, NETWORK_TYPES
from riskengine.locate.locator import Label
from riskengine.locate.source import DataSource
from riskengine.policy.policy import Policy
from riskengine.replay.columns import address_of
from riskengine.replay.frames import Frames
from riskengine.replay.loom import Lines
from riskengine.replay.register import Tables
from riskengine.replay.told import NOBODY


@dataclass(frozen=True)
class Setting:
    """What all answers of a replay share. `logs` are the names of the logs."""

    tables: Tables
    policy: Policy
    source: DataSource
    logs: Sequence[str]

    @cached_property
    def frames(self) -> Frames:
        """What makes its lines."""
        return Frames(self.tables, self.logs)


def lines(result: Assessments, told: np.ndarray, ids: Sequence[str], setting: Setting) -> Lines:
    """Return the line of each event of an assessment without reports, `told` as TOLD rows."""
    return setting.frames.lines(result, told, ids, _Answers(result, told, ids, setting))


@dataclass(frozen=True, slots=True)
class _Answers:
    """The answers to the events of an assessment, by their rows."""

    result: Assessments
    told: np.ndarray
    ids: Sequence[str]
    setting: Setting

    def whole(self, rows: np.ndarray) -> Iterator[dict[str, Any]]:
        """Yield answers with `log` and `line`."""
        tables, setting, told = self.setting.tables, self.setting, self.told[rows]
        far = journey_rows(self.result, rows.tolist())
        places = {row: tables.labels[tables.label[address_of(row)]].place() for row in far}
        scene = Scene(setting.policy, setting.source, places)
        stood = zip(told["source"].tolist(), told["line"].tolist(), strict=True)
        for (event, label, row), (log, line) in zip(self._judged(rows), stood, strict=True):
            yield answer(event, label, row, scene) | {"log": setting.logs[log], "line": line}

    def reasons(self, rows: np.ndarray) -> Iterator[list[dict[str, Any]]]:
        """Yield the reasons for answers that no impossible journey is told by."""
        for event, label, row in self._judged(rows):
            yield reasons(event, label, row, None, self.setting.policy)

    def _judged(self, rows: np.ndarray) -> Iterable[tuple[Told, Label, Judged]]:
        tables, told = self.setting.tables, self.told[rows]
        labels = [tables.labels[at] for at in tables.label[told["address"]].tolist()]
        events = _told(told, [self.ids[at] for at in rows.tolist()], tables)
        return zip(events, labels, judged(self.result, rows.tolist()), strict=True)


def _told(told: np.ndarray, ids: Sequence[str], tables: Tables) -> Iterator[Told]:
    """Yield what answers take from their events."""
    times = np.datetime_as_string(told["time"].astype("M8[ms]"), timezone="UTC").tolist()
    columns = ("user", "action", "resource", "device", "agent", "claimed_type", "rtt", "edge")
    numbers = zip(times, *(told[name].tolist() for name in columns), strict=True)
    for event_id, (time, user, action, resource, device, agent, claimed, rtt, edge) in zip(ids, numbers, strict=True):
        yield Told(
            event_id,
            time,
            None if user == NOBODY else tables.user_refs[user].decode(),
            ACTIONS[action],
            None if resource < 0 else tables.resources[resource],
            device > 0,
            None if agent == NOBODY else tables.agents[agent],
            None if claimed < 0 else NETWORK_TYPES[claimed],
            rtt if rtt == rtt else None,
            None if edge < 0 else tables.edges[edge],
            (),
        )
