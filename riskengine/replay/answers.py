"""Assessed events as lines of NDJSON: each the full answer, with `log` and `line` where the event stood."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from riskengine.assess import Assessments
from riskengine.engine.answer import Scene, Told, answer, journey_rows, judged
from riskengine.event import ACTIONS, NETWORK_TYPES
from riskengine.locate.source import DataSource
from riskengine.policy.policy import Policy
from riskengine.replay.columns import address_of
from riskengine.replay.frames import Frames, plain
from riskengine.replay.register import Tables
from riskengine.replay.told import NOBODY

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Setting:
    """What all answers of a replay share. `logs` are the names of the logs."""

    tables: Tables
    policy: Policy
    source: DataSource
    logs: Sequence[str]
    frames: Frames


def setting_of(tables: Tables, policy: Policy, source: DataSource, logs: Sequence[str]) -> Setting:
    """Return the setting of a replay; `logs` are the names of the logs."""
    return Setting(tables, policy, source, logs, Frames(tables, logs))


def lines(result: Assessments, told: np.ndarray, ids: Sequence[str], setting: Setting) -> list[bytes]:
    """Return the line of each event of an assessment without reports, `told` as TOLD rows."""
    found = np.empty(len(told), object)
    quiet = plain(result)
    rows = np.flatnonzero(quiet)
    if len(rows):
        some = result.only(rows)
        found[rows] = setting.frames.lines(
            some,
            told[rows],
            [ids[at] for at in rows.tolist()],
            lambda at: next(_answers(some, [at], told[rows[at : at + 1]], [ids[rows[at]]], setting)),
        )
    rows = np.flatnonzero(~quiet)
    answers = _answers(result, rows.tolist(), told[rows], [ids[at] for at in rows.tolist()], setting)
    found[rows] = [_encode(answer) + b"\n" for answer in answers]
    told_lines: list[bytes] = found.tolist()
    return told_lines


def _answers(
    result: Assessments, rows: Sequence[int], told: np.ndarray, ids: Sequence[str], setting: Setting
) -> Iterator[dict[str, Any]]:
    """Yield the answers to some events of an assessment, `told` and `ids` theirs alone, with `log` and `line`."""
    tables = setting.tables
    places = {row: tables.labels[tables.label[address_of(row)]].place() for row in journey_rows(result, rows)}
    scene = Scene(setting.policy, setting.source, places)
    labels = [tables.labels[at] for at in tables.label[told["address"]].tolist()]
    stood = zip(told["source"].tolist(), told["line"].tolist(), strict=True)
    found = zip(_told(told, ids, tables), labels, judged(result, rows), stood, strict=True)
    for event, label, row, (log, line) in found:
        yield answer(event, label, row, scene) | {"log": setting.logs[log], "line": line}


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
