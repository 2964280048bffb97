"""What an item teaches: a deterministic fold over a user's items in arrival order, trust per attribute.

| the event ended | what it teaches |
|---|---|
| allowed | strengthens what was trusted; what was new becomes provisional |
| step-up, not yet reported | pending: nothing; 15 minutes later, by the user's next event, failed |
| step-up passed, confirmed safe, `mfa: passed` | trusted (on an anonymising network provisional at most) |
| step-up from a caller that never reports | provisional |
| denied, failed, step-up failed or abandoned | nothing familiar |
| confirmed compromised | at risk until remediated; the store folds the history again without the event |
| a verdict that was withdrawn | what it would have taught without; the store folds the history again |
"""

import numpy as np

from riskengine.batch import Batch, Decision, Role
from riskengine.compiled import Row, compiled, signed
from riskengine.event import ACTIONS, OUTCOMES, REPORT_RESULTS, VERDICTS, WITHDRAWN
from riskengine.history.habits import take
from riskengine.history.record import (
    AGED,
    ATTRIBUTES,
    COUNTRY,
    DEVICE,
    FIRST,
    FLAT,
    FOUNDING,
    HOPS,
    MASKED,
    NETWORK,
    PASSES,
    PENDING,
    PLACE,
    PREFIX,
    PROVISIONAL,
    TRUSTED,
    Records,
    Wait,
    blank,
    day_at,
)
from riskengine.history.seen import SEEN, anchored, look, same
from riskengine.history.stays import keep
from riskengine.history.trust import add, strengthen
from riskengine.network import ANONYMISING

WAIT_MS = 15 * 60_000  # a step-up nobody reported in this time, by the user's next event, was abandoned
PASS_MS = 30 * 60_000  # a pass that comes later than this does not belong to the event
SLACK_MS = 5 * 60_000  # two clocks of one organisation may differ by so much
_SUCCESS = OUTCOMES.index("success")
# Logins a person makes; a refreshed token or a reset password says nothing of how they usually come.
_TEACHING = np.array([name in ("login", "access") for name in ACTIONS])
_PASSED, _FAILED, _ABANDONED, _SAFE, _COMPROMISED, _REMEDIATED, _WITHDRAWN = (
    REPORT_RESULTS.index(name)
    for name in (
        *("step_up_passed", "step_up_failed", "step_up_abandoned"),
        *("confirmed_safe", "confirmed_compromised", "remediated", WITHDRAWN),
    )
)
_VERDICTS = tuple(REPORT_RESULTS.index(name) for name in VERDICTS)
_EVENT, _REPORT = int(Role.EVENT), int(Role.REPORT)
_ALLOW, _STEP_UP, _DENY = int(Decision.ALLOW), int(Decision.STEP_UP), int(Decision.DENY)
_IDLE, _WAITING, _GIVEN_UP = int(Wait.NONE), int(Wait.WAITING), int(Wait.FAILED)
_LEAST = np.iinfo(np.int64).min


def fold(items: Batch) -> Records:
    """Return the history (one record) that one user's items, in `user_seq` order and as decided, leave behind.

    Items whose event was confirmed compromised are passed over, but for the verdict itself, which counts as an item
    and puts the user at risk. A verdict that was withdrawn is passed over itself.
    """
    void = withdrawn(items)
    compromised = (items["role"] == Role.REPORT) & (items["result"] == _COMPROMISED) & ~void
    excluded = np.isin(items["row"], items["row"][compromised]) & ~compromised | void
    records = blank(1)
    # A copy: for read-only rows, or some of every second one, numba would compile anew.
    _fold(items.copy(), excluded, records.view(FLAT), np.zeros(1, SEEN))
    return records


def withdrawn(items: Batch) -> np.ndarray:
    """Return which items are verdicts that were withdrawn: each withdrawal takes back the last one on its event that
    still stood."""
    void = np.zeros(len(items), bool)
    reports = np.flatnonzero(items["role"] == Role.REPORT)
    if not (items["result"][reports] == _WITHDRAWN).any():
        return void
    standing: dict[int, list[int]] = {}
    for at in reports.tolist():
        result, of = int(items["result"][at]), standing.setdefault(int(items["row"][at]), [])
        if result in _VERDICTS:
            of.append(at)
        elif result == _WITHDRAWN and of:
            void[of.pop()] = True
    return void


@compiled
def _fold(items: Batch, excluded: np.ndarray, records: Records, seen: np.ndarray) -> None:
    for at in range(len(items)):
        if excluded[at]:
            records[0].seq += 1
            continue
        settle(records[0], items[at])
        look(records[0], items[at], seen[0])
        learn(records[0], items[at], seen[0])


@compiled
def settle(record: Row, item: Row) -> None:
    """Give up on step-ups that were not passed in time by the user's next event."""
    if item.role != _EVENT:
        return
    given_up = 0
    for at in range(PENDING):
        waiting = record.pending[at]
        if waiting.state == _WAITING and item.time - waiting.time > WAIT_MS:
            waiting.state = _GIVEN_UP
            given_up += 1
    if given_up:
        _refused(record, given_up, day_at(item.time))


@compiled
def learn(record: Row, item: Row, seen: Row) -> None:
    """Take one decided item into its user's history; `seen` is what `look` finds of it there."""
    record.seq += 1
    reported = item.role == _REPORT and _take_report(record, item)
    proof = _proves(item, reported)
    taught = _taught_status(item, proof)
    if proof and not reported:
        _settle_all(record)
    _ask(record, item)
    if item.role == _EVENT and item.outcome == _SUCCESS and item.mfa == 2:
        _refused(record, 1, day_at(item.time))
    if taught > 0:
        if item.contradicted:
            _start_over(record)
        _show(record, item, seen, taught, proof)


@compiled
def _able(item: Row) -> bool:
    """Return whether an item is a login of a person that may teach by itself."""
    genuine = item.outcome == _SUCCESS and _TEACHING[item.action]
    return genuine and item.role == _EVENT and not item.fallback and item.decision != _DENY


@compiled
def _proves(item: Row, reported: bool) -> bool:
    """Return whether an item is proved genuine: by a report, or by a second factor that let the login in; one that is
    stale, or of a user at risk, did not."""
    genuine = item.outcome == _SUCCESS and _TEACHING[item.action]
    return (_able(item) and item.mfa == 1 and item.decision == _ALLOW) or (reported and genuine)


@compiled
def _taught_status(item: Row, proof: bool) -> int:
    """Return the Status that an item gives to what is new in it; 0: it teaches nothing."""
    let_in = _able(item) and item.mfa != 2 and (item.decision == _ALLOW or not item.reports)
    if proof:
        return PROVISIONAL if ANONYMISING[item.kind] else TRUSTED
    return PROVISIONAL if let_in else 0


@compiled
def _settle_all(record: Row) -> None:
    """Forget the step-ups asked of a user who has now proved themselves with the login itself."""
    for at in range(PENDING):
        record.pending[at].state = _IDLE
    record.ignored = 0


@compiled
def _take_report(record: Row, item: Row) -> bool:
    """Close the pending step-up that a report speaks of; return whether the report proves its event genuine.

    Its slot may have given way to later ones: a pass in time counts all the same.
    """
    result, took = item.result, item.time - item.event_time
    asked = item.decision == _STEP_UP
    passed = result == _PASSED and asked and -SLACK_MS <= took <= PASS_MS
    refused = asked and result in (_FAILED, _ABANDONED)
    genuine = passed or result == _SAFE
    waited = False
    for at in range(PENDING):
        waiting = record.pending[at]
        if waiting.event != item.event or waiting.state == _IDLE:
            continue
        if refused:
            waited |= waiting.state == _WAITING
            waiting.state = _GIVEN_UP
        if genuine:
            waiting.event, waiting.time, waiting.state = 0, 0, _IDLE
    if waited:
        _refused(record, 1, day_at(item.time))
    if result == _COMPROMISED:
        record.at_risk = 1
    if result == _REMEDIATED:
        record.at_risk = 0
    if genuine or result == _REMEDIATED:
        record.ignored = 0
    if passed:
        _remember_pass(record, item)
    return genuine


@compiled
def _remember_pass(record: Row, item: Row) -> None:
    """Keep where and for what a step-up was passed; the oldest pass gives way."""
    found = 0
    for at in range(PASSES):
        if record.passes[at].passed_at < record.passes[found].passed_at:
            found = at
    kept = record.passes[found]
    kept.passed_at, kept.passed_prefix, kept.passed_device = item.time, item.prefix, item.device
    kept.passed_for = np.uint8(item.sensitivity)


@compiled
def _refused(record: Row, count: int, day: int) -> None:
    """Count step-ups that were failed or abandoned; provisional knowledge has to ripen anew."""
    record.ignored = min(signed(record.ignored) + count, 255)
    record.ignored_day = max(signed(record.ignored_day), day)
    _start_over(record)


@compiled
def _start_over(record: Row) -> None:
    """Set back how far a user's provisional knowledge has ripened."""
    for at in range(len(record.values)):
        if record.values[at].status < TRUSTED:
            record.values[at].streak = 0
    for at in range(HOPS):
        if record.hops[at].status < TRUSTED:
            record.hops[at].streak = 0


@compiled
def _ask(record: Row, item: Row) -> None:
    """Remember a step-up that was asked of a caller who reports.

    An empty slot is taken first, then one that failed, then the oldest, which then counts as not given.
    """
    asked = item.role == _EVENT and item.decision == _STEP_UP and item.outcome == _SUCCESS
    if not (asked and (item.reports or item.fallback)):
        return
    found, least = 0, np.iinfo(np.int64).max
    for at in range(PENDING):
        waiting = record.pending[at]
        order = waiting.time if waiting.state == _WAITING else _LEAST + (waiting.state > 0)
        if order < least:
            found, least = at, order
    waiting = record.pending[found]
    if waiting.state == _WAITING:
        _refused(record, 1, day_at(item.time))
    waiting.event, waiting.time, waiting.origin = item.event, item.event_time, item.prefix
    waiting.state = _WAITING


@compiled
def _show(record: Row, item: Row, seen: Row, taught: int, proof: bool) -> None:
    """Take in what a genuine login shows: its attributes, its day, its stay and its user's habits."""
    beside = proof or anchored(record, seen)
    first = record.learned == 0 and taught == PROVISIONAL and not ANONYMISING[item.kind]
    day, vouched = day_at(item.event_time), beside or first
    if vouched:
        _count_habits(record, item, seen, day, proof)
    given = FOUNDING if first else taught
    for at in range(len(ATTRIBUTES)):
        # A tunnel's far end is nobody's country.
        if seen.key[at] > 0 and not (at == COUNTRY and ANONYMISING[item.kind]):
            _show_one(record, at, seen, taught, given, beside, vouched, day)
    if item.hop > 0:
        _hop(record, item.hop, taught, beside, day)
    if vouched:
        if day > record.last_day:
            record.days += 1
            record.last_day = day
        record.first_day = min(signed(record.first_day), day) if record.first_day > 0 else day
        record.learned += 1
    keep(record.stays, item, max(_place_status(record, seen.key[PLACE]), PROVISIONAL))


@compiled
def _show_one(record: Row, at: int, seen: Row, taught: int, given: int, beside: bool, vouched: bool, day: int) -> None:
    """Take in what a login shows of one attribute."""
    if seen.slots[at]:
        for place in range(FIRST[at], FIRST[at + 1]):
            if seen.slots[at] >> (place - FIRST[at]) & 1:
                strengthen(record.values[place], taught, beside, day)
        return
    values = record.values[FIRST[at] : FIRST[at + 1]]
    if at != NETWORK:
        add(values, seen.key[at], given, vouched, day)
        return
    before = np.empty(len(values), np.int64)
    for place in range(len(values)):
        before[place] = values[place].key
    place = add(values, seen.key[at], given, vouched, day)
    if values[place].key != before[place]:
        record.churn[place] = 0


@compiled
def _place_status(record: Row, key: int) -> int:
    """Return how far the place of `key` is believed."""
    best = 0
    for place in range(FIRST[PLACE], FIRST[PLACE + 1]):
        value = record.values[place]
        if value.status > best and same(PLACE, key, signed(value.key)):
            best = signed(value.status)
    return best


@compiled
def _count_habits(record: Row, item: Row, seen: Row, day: int, proof: bool) -> None:
    """Count how often each attribute was shown and was new, over logins that something vouches for.

    What nobody proved is news once a day: whoever shares the user's network must not make them look changeable in an
    afternoon. What a tunnel's exits are says nothing of where the user goes. From AGED showings on both are halved,
    with the counts of single values, so that what was long ago fades.
    """
    take(record, item)
    hidden = ANONYMISING[item.kind]
    for at in range(len(ATTRIBUTES)):
        if seen.key[at] == 0 or (hidden and at < DEVICE):
            continue
        record.shown[at] += 1
        if seen.slots[at] == 0 and record.learned > 0 and (proof or day != record.news_day[at]):
            record.news[at] += 1
            record.news_day[at] = day
        _age(record, at)
    record.shown[MASKED] += 1
    record.news[MASKED] += hidden
    _age(record, MASKED)
    if seen.key[PREFIX] > 0 and seen.slots[PREFIX] == 0:
        for at in range(FIRST[NETWORK + 1] - FIRST[NETWORK]):
            if seen.slots[NETWORK] >> at & 1 and record.churn[at] < 255:
                record.churn[at] += 1


@compiled
def _age(record: Row, at: int) -> None:
    """Halve, from AGED showings on, what was counted of one habit."""
    if record.shown[at] < AGED:
        return
    record.shown[at] //= 2
    record.news[at] //= 2
    if at == MASKED:
        return
    for place in range(FIRST[at], FIRST[at + 1]):
        record.values[place].count -= record.values[place].count // 2
    if at == NETWORK:
        for place in range(len(record.churn)):
            record.churn[place] //= 2


@compiled
def _hop(record: Row, key: int, taught: int, beside: bool, day: int) -> None:
    """Remember the two ends of a journey that looked impossible and was the user's own after all."""
    known = False
    for at in range(HOPS):
        if record.hops[at].status > 0 and record.hops[at].key == key:
            strengthen(record.hops[at], taught, beside, day)
            known = True
    if not known:
        add(record.hops, key, taught, beside, day)
