"""A log of which nothing is saved, decided in columns: read, ordered, counted over all users, then user by user.

What is decided, and why, is what the engine over an empty store would answer to the same items one by one: the same
functions decide, on larger batches, and nothing is sealed or stored. The log is read to its end first, since its order
and whether it holds reports must be known before anything is decided. Then what users see of each other is counted in
one pass, and each user's items are decided at the desk that has their history.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import msgspec
import numpy as np

from riskengine.batch import Batch
from riskengine.engine.segment import OTHER_BODY
from riskengine.policy.policy import Policy
from riskengine.readers.log import Rejected
from riskengine.replay.answers import Setting
from riskengine.replay.columns import event_items, keys_of
from riskengine.replay.crew import Alone, Crew
from riskengine.replay.crowd import Crowd
from riskengine.replay.desk import Desk, Parcel
from riskengine.replay.heap import give_back
from riskengine.replay.lines import REALM, REPLAY_KEYS, Summary
from riskengine.replay.loom import Lines, joined
from riskengine.replay.register import Tables
from riskengine.replay.told import NOBODY, REPORT, Chunk
from riskengine.replay.transcript import Progress, Reject, Transcript
from riskengine.seal import Seal

NO_EVENT = "there is no such event"
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Decided(NamedTuple):
    """Lines of NDJSON, and as how manieth item of the log each one's event was read."""

    numbers: np.ndarray
    lines: Lines

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield what the lines say."""
        return map(_decode, self.lines.split())


class _Part(NamedTuple):
    """What of a chunk takes part, and what `place` among all lines of the chunk each item of a desk's parcel has."""

    parcels: list[Parcel]
    places: list[np.ndarray]
    numbers: np.ndarray
    items: int


class Replay:
    """One policy over a transcript. `reject` gets what is not decided, `summary` counts everything."""

    def __init__(self, transcript: Transcript, policy: Policy, summary: Summary, reject: Reject) -> None:
        self._transcript, self._policy, self._summary, self._reject = transcript, policy, summary, reject
        # Events by the digest of their id: users of those that reports speak of, bodies of those whose id is repeated.
        self._awaited: dict[int, int] = {}
        self._bodies: dict[int, int] = {}

    def decide(self, jobs: int, progress: Progress) -> Iterator[Decided]:
        """Yield the answers, chunk by chunk, by so many desks; the last thing is the summary."""
        transcript, ordered, tables = self._transcript, self._transcript.ordered, self._transcript.tables
        setting = Setting(tables, self._policy, transcript.source, transcript.logs)
        crowd = Crowd(self._policy, Seal(REPLAY_KEYS).key64(REALM, "days", ""))

        def desk(own: int) -> Desk:
            return Desk(setting, len(tables.user_refs), ordered.suspects, own, jobs)

        parts = (
            self._part(chunk, since, crowd, tables, jobs)
            for chunk, since in zip(transcript.chunks, ordered.since, strict=True)
        )
        with closing(Alone(desk(0)) if jobs == 1 else Crew(desk, jobs)) as desks:
            sent: _Part | None = None
            for turn, part in enumerate(parts, 1):  # while this one is made ready, the one before is decided
                done = None if sent is None else (sent, desks.receive())
                desks.send(part.parcels)
                sent = part
                if done is not None:
                    yield self._joined(*done, progress)
                give_back(turn)
            if sent is not None:
                yield self._joined(sent, desks.receive(), progress)
            for tally in desks.end():
                self._summary.decisions += tally.decisions
                self._summary.reasons += tally.reasons
                self._summary.reports += tally.reports
                self._summary.refused_reports += tally.refused

    def _joined(self, part: _Part, lines: list[Lines], progress: Progress) -> Decided:
        """Return the lines of all desks in the order of their items."""
        self._summary.events += len(part.numbers)
        progress(part.items)
        return Decided(part.numbers, lines[0] if len(lines) == 1 else joined(lines, part.places))

    def _part(self, chunk: Chunk, since: int, crowd: Crowd, tables: Tables, jobs: int) -> _Part:
        """Return what is sent to the desks of a chunk."""
        items = len(chunk.rows)
        told, ids, awaited = self._admitted(chunk)
        is_event = told["role"] != REPORT
        events = told[is_event]
        rows = event_items(events, tables, self._summary.reporting)
        if len(events):
            crowd.fill(rows, keys_of(events, tables), since)
        if len(events) < len(told):
            rows = _spread(rows, is_event)
        to = np.where(told["user"] == NOBODY, told["address"], told["user"]) % jobs
        place = np.cumsum(is_event) - 1
        parcels, places = [], []
        for desk in range(jobs):
            own = np.flatnonzero(to == desk)
            parcels.append(Parcel(told[own], [ids[at] for at in own.tolist()], rows[own], awaited[own]))
            places.append(place[own[is_event[own]]])
        return _Part(parcels, places, events["number"], items)

    def _admitted(self, chunk: Chunk) -> tuple[np.ndarray, list[str], np.ndarray]:
        """Return what of a chunk takes part, and which events reports speak of; the rest is counted, or rejected."""
        told, ordered = chunk.rows, self._transcript.ordered
        is_report = told["role"] == REPORT
        awaited = np.isin(told["event"], ordered.reported) & ~is_report
        doubtful = np.isin(told["event"], ordered.repeated) & ~is_report
        keep = np.ones(len(told), bool)
        for at in np.flatnonzero(awaited | doubtful | is_report).tolist():
            if is_report[at]:
                keep[at] = self._belongs(told[at : at + 1])
            elif doubtful[at] and not self._is_first(told[at]):
                keep[at] = False
            elif awaited[at]:
                self._awaited[int(told["event"][at])] = int(told["user"][at])
        if keep.all():
            return told, chunk.ids, awaited
        return told[keep], [chunk.ids[at] for at in np.flatnonzero(keep).tolist()], awaited[keep]

    def _belongs(self, report: np.ndarray) -> bool:
        """Return whether a report (a row) speaks of an event that was there before, and fill in its user."""
        user = self._awaited.get(int(report["event"][0]))
        if user is None:
            self._refuse(report[0], NO_EVENT)
            return False
        if user == NOBODY:
            self._summary.refused_reports += 1
            return False
        report["user"] = user
        return True

    def _is_first(self, told: np.void) -> bool:
        """Return whether an event is the first of its id."""
        event, body = int(told["event"]), int(told["body"])
        if event not in self._bodies:
            self._bodies[event] = body
            return True
        if self._bodies[event] == body:
            self._summary.duplicates += 1
        else:
            self._refuse(told, OTHER_BODY)
        return False

    def _refuse(self, told: np.void, reason: str) -> None:
        self._summary.rejected += 1
        self._reject(Rejected(self._transcript.logs[told["source"]], int(told["line"]), reason, ""))


def _spread(rows: Batch, at: np.ndarray) -> Batch:
    """Return rows with others between them, as `at` says where they belong."""
    found = np.repeat(rows[:1] if len(rows) else np.zeros(1, rows.dtype), len(at))
    found[at] = rows
    return found
