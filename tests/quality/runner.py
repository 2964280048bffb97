"""A population's whole log through the core in one call: what replay would decide, in seconds rather than a minute.

What does not depend on the policy (the log, its places, its tokens) is made once a seed and kept.
"""

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from riskengine.assess import Assessments, assess
from riskengine.batch import Batch, Names, Role
from riskengine.counters.minutes import Span
from riskengine.engine.admit import Entry, entry
from riskengine.engine.arrival import Arrival, canonical
from riskengine.engine.attempts import count_attempts
from riskengine.engine.rows import event_rows
from riskengine.engine.sharing import count_days, shown
from riskengine.engine.tokens import Tokeniser
from riskengine.event import REPORT_RESULTS
from riskengine.history.record import blank
from riskengine.locate.locator import Locator
from riskengine.policy.policy import Policy
from riskengine.replay.lines import REALM, REPLAY_KEYS
from riskengine.seal import Seal
from riskengine.store.contract import Counted
from tests.quality.parameters import Parameters
from tests.quality.population import Log, generate


@dataclass(frozen=True)
class Prepared:
    """A log as the core takes it. `batch` holds events and reports in order of time, what others did not yet counted;
    row `at[i]` of it is event i of the log; row i of `events` is that event alone."""

    log: Log
    entries: list[Entry]
    events: Batch
    batch: Batch
    at: np.ndarray
    names: Names
    users: int
    widening: np.ndarray


@dataclass(frozen=True)
class Run:
    """What a policy made of a log; row `prepared.at[i]` of the columns of `found` is event i."""

    prepared: Prepared
    policy: Policy
    found: Assessments


def prepare(parameters: Parameters) -> Prepared:
    """Return a population's log, ready to be assessed."""
    log = generate(parameters)
    with tempfile.TemporaryDirectory() as folder:
        files = log.write_world(Path(folder))
        locator = Locator.open(None, files.city, files.asn, files.anonymous)
        places = locator.locate([event.ip for event in log.events])
        source = locator.source()
    tokeniser, names = Tokeniser(Seal(REPLAY_KEYS)), Names()
    entries = []
    for number, event in enumerate(log.events):
        assert event.occurred_at is not None
        arrival = Arrival(REALM, event, event.occurred_at, reports=True, text=canonical(event))
        entries.append(entry(number, arrival, tokeniser))
    refs = {one.tokens.user_ref: 0 for one in entries if one.tokens.user_ref is not None}
    number_of = {ref: number for number, ref in enumerate(refs)}
    users = [-1 if one.tokens.user_ref is None else number_of[one.tokens.user_ref] for one in entries]
    rows = event_rows(entries, users, range(1, len(entries) + 1), places.columns, names, places.labels)
    batch, at = _with_reports(log, rows)
    return Prepared(log, entries, rows, batch, at, names, len(refs), source.factors(batch["event_time"]))


def _with_reports(log: Log, rows: Batch) -> tuple[Batch, np.ndarray]:
    """Return events and reports in order of time, and where each event is among them."""
    number = {event.event_id: at for at, event in enumerate(log.events)}
    of_event = np.array([number[report.event_id] for report in log.reports], np.int64)
    reports = rows[of_event].copy()
    reports["role"] = Role.REPORT
    reports["result"] = [REPORT_RESULTS.index(report.result) for report in log.reports]
    reports["time"] = [report.at for report in log.reports]
    whole = np.concatenate([rows, reports])
    order = np.lexsort((whole["role"], whole["time"]))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    whole["source"][len(rows) :] = place[of_event]
    return whole[order], place[: len(rows)]


def run(prepared: Prepared, policy: Policy) -> Run:
    """Return what a policy makes of a log."""
    counted = prepared.events.copy()
    tokens, limits = [one.tokens for one in prepared.entries], policy.attempts
    count_attempts(counted, tokens, Counted((), ()), Span(limits.window_minutes, limits.failures_per_user))
    count_days(counted, shown(counted, prepared.entries, Seal(REPLAY_KEYS)), np.zeros((0, 5), np.int64), policy.sharing)
    batch = prepared.batch.copy()
    batch[prepared.at] = counted
    reports = np.flatnonzero(batch["role"] == Role.REPORT)
    for name in counted.dtype.names or ():
        if name not in ("role", "result", "time", "source"):
            batch[name][reports] = batch[name][batch["source"][reports]]
    return Run(prepared, policy, assess(batch, prepared.names, blank(prepared.users), policy, prepared.widening))


@lru_cache(4)
def prepared(parameters: Parameters) -> Prepared:
    """Return `prepare(parameters)`, kept for the next policy."""
    return prepare(parameters)
