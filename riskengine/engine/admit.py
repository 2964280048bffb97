"""What of a batch may enter: each event id once, each report only where it belongs, one run of items at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from riskengine.engine.arrival import Arrival, Journaled, Remedy
from riskengine.engine.tokens import Tokeniser, Tokens
from riskengine.errors import Conflict, NotFound
from riskengine.event import REFOLDING, STEP_UP_RESULTS, VERDICTS, WITHDRAWN, Event, Report
from riskengine.history.learn import PASS_MS, SLACK_MS
from riskengine.store.contract import EventRow, ReportRow, Transaction

NO_ACCOUNT = "the event belongs to no account"


@dataclass(frozen=True, slots=True)
class Entry:
    """An event on its way in: where it stands in the batch, its tokens, and its answer where it has one already."""

    index: int
    arrival: Arrival
    event: Event
    tokens: Tokens
    journaled: Journaled | None


def entry(index: int, arrival: Arrival, tokeniser: Tokeniser) -> Entry:
    """Return an event arrival with its tokens."""
    body = arrival.body
    journaled = body if isinstance(body, Journaled) else None
    event = journaled.event if journaled else body
    assert isinstance(event, Event)
    return Entry(index, arrival, event, tokeniser.tokens(arrival.realm, event, arrival.text), journaled)


def segments(arrivals: Sequence[Arrival]) -> Iterator[list[int]]:
    """Yield runs of indexes that may share a transaction.

    A confirmed compromise, a withdrawal and a remedy stand alone, since they speak of a whole history; a second report
    on one event begins a new run, since what it may say depends on the first.
    """
    run: list[int] = []
    reported: set[tuple[str, str]] = set()
    name: tuple[str, str] | None
    for index, arrival in enumerate(arrivals):
        body = arrival.body
        if isinstance(body, Report):
            name = (arrival.realm, body.event_id)
            alone, apart = body.result in REFOLDING, name in reported
        else:
            name, alone, apart = None, isinstance(body, Remedy), False
        if run and (alone or apart):
            yield run
            run, reported = [], set()
        if alone:
            yield [index]
            continue
        if name is not None:
            reported.add(name)
        run.append(index)
    if run:
        yield run


def standing(reports: Sequence[ReportRow]) -> list[ReportRow]:
    """Return which reports on one event still count, in their order: those but verdicts that were withdrawn."""
    found: list[ReportRow] = []
    for row in reports:
        if row.result != WITHDRAWN:
            found.append(row)
        elif (last := last_verdict(found)) is not None:
            found.remove(last)
    return found


def last_verdict(reports: Sequence[ReportRow]) -> ReportRow | None:
    """Return the last verdict among reports, None without one."""
    return next((row for row in reversed(reports) if row.result in VERDICTS), None)


def check_report(
    report: Report, event: EventRow | None, reports: Sequence[ReportRow], bulk: str | None = None
) -> bool:
    """Return whether a report is new; False for a repeat. NotFound or Conflict where it does not belong.

    `reports` are all on the event so far. A verdict is withdrawn only while it is the last that stands, and was given
    by that very `bulk`.
    """
    if event is None:
        raise NotFound("there is no such event")
    if event.user_ref is None:
        raise Conflict(NO_ACCOUNT)
    earlier = standing(reports)
    if report.result == WITHDRAWN:
        last = last_verdict(earlier)
        if last is None or last.bulk != bulk:
            raise Conflict("the verdict does not stand any more, or another one came after it")
        return True
    if any(row.result == report.result for row in earlier):
        return False
    if report.challenge is not None and any(row.result in STEP_UP_RESULTS for row in earlier):
        raise Conflict("the challenge was used before: a new login gets a new one")
    if event.state == "confirmed_compromised":
        raise Conflict("the event was confirmed compromised, which stands")
    if report.result not in STEP_UP_RESULTS:
        return True
    assert report.at is not None
    refusal = unanswerable(report.result, event.decision, report.at - event.occurred_at)
    if refusal is not None:
        raise Conflict(refusal)
    if any(row.result == "step_up_passed" for row in earlier):
        raise Conflict("the step-up was reported passed before")
    return True


def unanswerable(result: str, decision: str, took: int) -> str | None:
    """Return why a step-up cannot have ended so, `took` ms after an event that got this decision; None if it can."""
    if result not in STEP_UP_RESULTS:
        return None
    if decision != "step_up":
        return f"no step-up was asked for: the decision was {decision}"
    if result == "step_up_passed" and took > PASS_MS:
        return "the pass comes more than 30 minutes after the event"
    if took < -SLACK_MS:
        return "the report is dated before the event"
    return None


def claim(
    entries: Sequence[Entry], ids: Mapping[int, int], tx: Transaction
) -> tuple[list[Entry], dict[int, EventRow | None], list[tuple[Entry, Entry]]]:
    """Claim the ids of these events. Return the new ones; by index what is stored of those that are not (None when it
    is gone); and pairs of (repeat, first) for ids that stand twice in the batch itself."""
    first: dict[bytes, Entry] = {}
    twins = []
    for one in entries:
        earlier = first.setdefault(one.tokens.event_key, one)
        if earlier is not one:
            twins.append((one, earlier))
    claims = [(key, ids[one.index], one.tokens.fingerprint) for key, one in first.items()]
    taken = tx.claim_ids(claims)
    rows = tx.events_by_id(set(taken.values())) if taken else {}
    stored = {first[key].index: rows.get(row) for key, row in taken.items()}
    fresh = [one for one in first.values() if one.index not in stored]
    return fresh, stored, twins
