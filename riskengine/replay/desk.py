"""Where users are decided: the histories of some of them, and their items batch by batch."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from riskengine.assess import Assessments, assess
from riskengine.batch import Batch, Names
from riskengine.decision import DECISIONS, rule_reasons
from riskengine.engine.admit import unanswerable
from riskengine.engine.rows import report_row
from riskengine.event import REPORT_RESULTS, STEP_UP_RESULTS
from riskengine.history.learn import fold
from riskengine.history.record import blank
from riskengine.policy.policy import SIGNALS
from riskengine.replay.answers import Setting, lines
from riskengine.replay.loom import Lines, chained
from riskengine.replay.told import EVENT, REPORT

_COMPROMISED, _PASSED = REPORT_RESULTS.index("confirmed_compromised"), REPORT_RESULTS.index("step_up_passed")


class Parcel(NamedTuple):
    """Items of some users in order: as they were told, the ids of the events, and ITEM rows of the events (any row for
    a report). `awaited` says which events reports speak of."""

    told: np.ndarray
    ids: list[str]
    rows: Batch
    awaited: np.ndarray


@dataclass(slots=True)
class Tally:
    """What was decided, and why; and how many reports counted, or did not."""

    decisions: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    reports: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Kept:
    """An event that a report may still speak of: its item as decided, and the results reported so far."""

    row: np.ndarray
    results: list[int] = field(default_factory=list)


class Desk:
    """Decides the items of its users, in their order, and learns from them.

    Of `users` in all it has those whose number is `own` modulo `desks`.
    """

    def __init__(self, setting: Setting, users: int, suspects: frozenset[int], own: int = 0, desks: int = 1) -> None:
        self._setting, self._desks = setting, desks
        self._records = blank(len(range(own, users, desks)))
        self._kept: dict[int, _Kept] = {}  # by the digest of the id
        self._items: dict[int, list[np.ndarray]] = {user // desks: [] for user in suspects if user % desks == own}
        self.tally = Tally()

    def decide(self, parcel: Parcel) -> Lines:
        """Return the line of each event, in order."""
        found: list[Lines] = []
        parcel.rows["user"] = np.where(parcel.rows["user"] < 0, -1, parcel.rows["user"] // self._desks)
        for some in _runs(parcel.told):
            part = Parcel(parcel.told[some], parcel.ids[some], parcel.rows[some], parcel.awaited[some])
            if len(part.told) == 1 and part.told["role"][0] == REPORT and part.told["result"][0] == _COMPROMISED:
                self._refold(part.told[0])
            else:
                found.append(self._run(part))
        return chained(found)

    def _run(self, parcel: Parcel) -> Lines:
        """Decide a run in which no event is reported on twice."""
        told, reports = parcel.told, parcel.told["role"] == REPORT
        batch, taken = self._with_reports(parcel) if reports.any() else (parcel.rows, np.arange(len(told)))
        batch, names = _named(batch, self._setting)
        widening = self._setting.source.factors(batch["event_time"])
        result = assess(batch, names, self._records, self._setting.policy, widening)
        events = np.flatnonzero(~reports[taken])
        self._keep(result, parcel, taken)
        if len(events) < len(taken):
            self._settle(result, told[taken])
        decided = result if len(events) == len(result.items) else result.only(events)
        self._count(decided)
        at = np.flatnonzero(~reports)
        return lines(decided, told[at], [parcel.ids[one] for one in at.tolist()], self._setting)

    def _with_reports(self, parcel: Parcel) -> tuple[Batch, np.ndarray]:
        """Return a batch with the reports that may count, and which items of the parcel its rows are."""
        told, rows = parcel.told, parcel.rows
        within: dict[int, int] = {}
        taken: list[int] = []
        batch: list[np.ndarray] = []
        for at, (role, digest) in enumerate(zip(told["role"].tolist(), told["event"].tolist(), strict=True)):
            row = rows[at : at + 1]
            if role == EVENT:
                if parcel.awaited[at]:
                    within[digest] = len(batch)
            elif digest in within:
                source = within[digest]
                row = report_row(batch[source], REPORT_RESULTS[told["result"][at]], told["time"][at])
                row["source"] = source
            elif self._admits(kept := self._kept[digest], told[at]):
                row = report_row(kept.row, REPORT_RESULTS[told["result"][at]], told["time"][at])
            else:
                continue
            batch.append(row)
            taken.append(at)
        return np.concatenate(batch) if batch else rows[:0], np.array(taken, np.int64)

    def _admits(self, kept: _Kept, told: np.void) -> bool:
        """Return whether a report on an event decided before is new and belongs there; count it where it does not.

        The rules are those of `engine.admit.check_report`.
        """
        result = int(told["result"])
        if result in kept.results:
            self.tally.reports += 1
            return False
        took = int(told["time"] - kept.row["event_time"][0])
        refused = _COMPROMISED in kept.results
        if REPORT_RESULTS[result] in STEP_UP_RESULTS:
            refused |= _PASSED in kept.results
            refused |= unanswerable(REPORT_RESULTS[result], DECISIONS[kept.row["decision"][0]], took) is not None
        self.tally.refused += refused
        return not refused

    def _keep(self, result: Assessments, parcel: Parcel, taken: np.ndarray) -> None:
        """Keep the decided events that reports will speak of."""
        awaited = np.flatnonzero(parcel.awaited[taken] & (parcel.told["role"][taken] == EVENT))
        digests = parcel.told["event"][taken[awaited]].tolist()
        for at, digest in zip(awaited.tolist(), digests, strict=True):
            self._kept[digest] = _Kept(_by_itself(result.items[at : at + 1]))
        if self._items:
            for at in np.flatnonzero(result.verdicts["seq"] > 0).tolist():
                items = self._items.get(int(result.items["user"][at]))
                if items is not None:
                    items.append(_by_itself(result.items[at : at + 1]))

    def _settle(self, result: Assessments, told: np.ndarray) -> None:
        """Count the reports of a run, and remember those that counted."""
        for at in np.flatnonzero(told["role"] == REPORT).tolist():
            item, of, code = result.items[at], int(told["event"][at]), int(told["result"][at])
            took = int(item["time"] - item["event_time"])
            if unanswerable(REPORT_RESULTS[code], DECISIONS[item["decision"]], took) is not None:
                self.tally.refused += 1
                continue
            self.tally.reports += 1
            self._kept[of].results.append(code)

    def _refold(self, told: np.void) -> None:
        """Take in a confirmed compromise: the user's history is folded again without the event."""
        kept, at = self._kept[int(told["event"])], int(told["user"]) // self._desks
        if not self._admits(kept, told):
            return
        row = report_row(kept.row, REPORT_RESULTS[_COMPROMISED], int(told["time"]))
        self._items[at].append(row)
        seq = self._records["seq"][at]
        self._records[at] = fold(np.concatenate(self._items[at]))[0]
        self._records["seq"][at] = seq + 1
        kept.results.append(_COMPROMISED)
        self.tally.reports += 1

    def _count(self, result: Assessments) -> None:
        verdicts, tally = result.verdicts, self.tally
        for code, count in enumerate(np.bincount(result.items["decision"], minlength=len(DECISIONS)).tolist()):
            tally.decisions[DECISIONS[code]] += count
        for name, count in zip(SIGNALS, (result.found.points > 0).sum(axis=0).tolist(), strict=True):
            tally.reasons[name] += count
        for row in verdicts[verdicts["rules"] > 0]:
            tally.reasons.update(reason["code"] for reason in rule_reasons(row, self._setting.policy))


def _runs(told: np.ndarray) -> Iterator[slice]:
    """Yield runs of items that may be decided together; see `engine.admit.segments`."""
    begun = 0
    reported: set[int] = set()
    for at in np.flatnonzero(told["role"] == REPORT).tolist():
        digest, alone = int(told["event"][at]), told["result"][at] == _COMPROMISED
        if alone or digest in reported:
            if begun < at:
                yield slice(begun, at)
            begun, reported = at, set()
        if alone:
            yield slice(at, at + 1)
            begun = at + 1
            continue
        reported.add(digest)
    if begun < len(told):
        yield slice(begun, len(told))


def _named(batch: Batch, setting: Setting) -> tuple[Batch, Names]:
    """Return a batch that points to names of its own: those of the whole log may be many."""
    names, tables = Names(), setting.tables
    for field_, of, every in (
        ("resource", names.resources, tables.resources),
        ("groups", names.groups, tables.groups),
        ("edge", names.edges, tables.edges),
    ):
        if (batch[field_] < 0).all():
            continue
        used, at = np.unique(batch[field_], return_inverse=True)
        known = used >= 0
        of.update({every[one]: number for number, one in enumerate(used[known].tolist())})
        batch[field_] = at - (len(used) - known.sum())
    return batch, names


def _by_itself(item: np.ndarray) -> np.ndarray:
    """Return an item (an array of one) that points to nothing in its batch."""
    kept = item.copy()
    for name in ("source", "resource", "groups", "edge"):
        kept[name] = -1
    return kept
