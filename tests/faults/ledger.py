"""What must be true of a store whatever happened to the process that wrote it."""

from collections import Counter
from typing import Any

import sqlalchemy as sa

from riskengine.counters.minutes import MINUTE_MS
from riskengine.engine.arrival import canonical
from riskengine.engine.saved import items_of, opened, raw_of
from riskengine.engine.tokens import Tokeniser
from riskengine.event import parse_event
from riskengine.history.learn import fold
from riskengine.history.record import pack
from riskengine.seal import Seal
from riskengine.store.contract import EventRow
from riskengine.store.sql import SqlStore
from riskengine.store.tables import COUNTERS, EVENT_IDS, HISTORIES
from tests.faults.client import Kept
from tests.faults.server import Server


def audit(server: Server, kept: Kept, url: str | None = None) -> dict[str, dict[str, Any]]:
    """Assert that every answer lies in the store as it was given, and that the store is whole; return what lies there.

    The return is answer by event id, of events that the callers sent.
    """
    store, seal = SqlStore(url or server.database_url), server.seal()
    try:
        rows = list(store.events())
        _whole(store, rows)
        _counted(store, rows, seal)
        _histories(store, rows, seal)
        answers = _answers(rows, seal)
    finally:
        store.close()
    missing = kept.decided.keys() - answers.keys()
    assert not missing, f"{len(missing)} answered events are not stored, such as {min(missing)}"
    for event_id, answer in kept.decided.items():
        assert answers[event_id] == _unchallenged(answer), f"{event_id} was stored otherwise than answered"
    unknown = answers.keys() - kept.sent.keys()
    assert not unknown, f"nobody sent {unknown}"
    return answers


def _unchallenged(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer as it is stored: the challenge of a step-up is signed anew for each who is answered."""
    step_up = answer["step_up"]
    return answer if step_up is None else {**answer, "step_up": {k: v for k, v in step_up.items() if k != "challenge"}}


def _answers(rows: list[EventRow], seal: Seal) -> dict[str, dict[str, Any]]:
    """Return each event's stored answer by its id; none is there twice."""
    found = {}
    for row in rows:
        answer = opened(row, seal)["answer"]
        assert answer["event_id"] not in found, f"{answer['event_id']} is stored twice"
        assert answer["decision"] == row.decision
        assert answer["source"] == row.source
        found[answer["event_id"]] = answer
    return found


def _rows(store: SqlStore, wanted: sa.Select[Any]) -> list[Any]:
    with store._reading() as connection:
        return list(connection.execute(wanted))


def _whole(store: SqlStore, rows: list[EventRow]) -> None:
    """Each event has its id, each id its event."""
    ids = {key: (event, fingerprint) for key, event, fingerprint in _rows(store, sa.select(EVENT_IDS))}
    assert ids == {row.event_key: (row.id, row.fingerprint) for row in rows}


def _counted(store: SqlStore, rows: list[EventRow], seal: Seal) -> None:
    """The counters hold what the events amount to, added up here in another way than the engine's."""
    tokeniser = Tokeniser(seal)
    attempts: Counter[tuple[str, int, int]] = Counter()
    failures: Counter[tuple[str, int, int]] = Counter()
    for row in rows:
        event = parse_event(raw_of(row, seal))
        tokens = tokeniser.tokens(row.realm, event, canonical(event))
        failed = row.outcome == "failure"
        for kind, key in (
            ("address", tokens.address_key64),
            ("prefix", tokens.prefix_key64),
            ("user", tokens.user_key64),
        ):
            if key and (failed or kind != "user"):
                at = (kind, key, row.occurred_at // MINUTE_MS)
                attempts[at] += 1
                failures[at] += failed
    stored: Counter[tuple[str, int, int]] = Counter()
    stored_failures: Counter[tuple[str, int, int]] = Counter()
    for key, kind, minute, _, tried, failed in _rows(store, sa.select(COUNTERS)):
        stored[kind, key, minute] += tried
        stored_failures[kind, key, minute] += failed
    assert stored == attempts
    assert stored_failures == failures


def _histories(store: SqlStore, rows: list[EventRow], seal: Seal) -> None:
    """Each user's history is what a refold of the events and reports makes of them."""
    kept = {row.user_ref: row for row in _rows(store, sa.select(HISTORIES))}
    assert kept.keys() == {row.user_ref for row in rows if row.user_ref is not None}
    with store.transaction() as tx:
        for user, row in kept.items():
            events, reports = tx.items_of(user)
            sequence = sorted([event.user_seq for event in events] + [report.user_seq for report in reports])
            assert sequence == list(range(1, len(sequence) + 1)), "a place in a sequence is missing or taken twice"
            assert row.seq == len(sequence)
            [again] = pack(fold(items_of(events, reports, seal)))
            assert again == seal.open(row.record, row.realm, "history", user)
