"""What an item teaches: a deterministic fold over a user's items in arrival order, trust per attribute.

| the event ended | what it teaches |
|---|---|
| allowed | strengthens what was trusted; what was new becomes provisional |
| step-up, not yet reported | pending: nothing; 15 minutes later, by the user's next event, failed |
| step-up passed, confirmed safe, `mfa: passed` | trusted (on an anonymising network provisional at most) |
| step-up from a caller that never reports | provisional |
| denied, failed, step-up failed or abandoned | nothing familiar |
| confirmed compromised | at risk until remediated; the store folds the history again without the event |
"""

import numpy as np

from riskengine.batch import Batch, Decision, Role
from riskengine.event import ACTIONS, OUTCOMES, REPORT_RESULTS
from riskengine.history.habits import take as take_habits
from riskengine.history.record import (
    AGED,
    ATTRIBUTES,
    HABITS,
    SENDABLE,
    Records,
    Seen,
    Status,
    Wait,
    anchored,
    blank,
    day_of,
    look,
    match,
    match_place,
)
from riskengine.history.stays import stay
from riskengine.network import ANONYMISING

WAIT_MS = 15 * 60_000  # a step-up nobody reported in this time, by the user's next event, was abandoned
PASS_MS = 30 * 60_000  # a pass that comes later than this does not belong to the event
SLACK_MS = 5 * 60_000  # two clocks of one organisation may differ by so much
RIPE_DAYS = 3  # days beside a trusted attribute after which provisional knowledge is trusted …
RIPE_SPAN = 7  # … that lie at least this many days apart
_SUCCESS = OUTCOMES.index("success")
# Logins a person makes; a refreshed token or a reset password says nothing of how they usually come.
_TEACHING = np.array([name in ("login", "access") for name in ACTIONS])
_RESULT = {name: code for code, name in enumerate(REPORT_RESULTS)}
_REFUSES = np.array([name in ("step_up_failed", "step_up_abandoned") for name in REPORT_RESULTS])


def fold(items: Batch) -> Records:
    """Return the history (one record) that one user's items, in `user_seq` order and as decided, leave behind.

    Items whose event was confirmed compromised are passed over, but for the verdict itself, which counts as an item
    and puts the user at risk.
    """
    compromised = (items["role"] == Role.REPORT) & (items["result"] == _RESULT["confirmed_compromised"])
    excluded = np.isin(items["row"], items["row"][compromised]) & ~compromised
    record = blank(1)
    for index in range(len(items)):
        item = items[index : index + 1]
        if excluded[index]:
            record["seq"] += 1
        else:
            settle(record, item)
            learn(record, item, look(record, item))
    return record


def settle(records: Records, items: Batch) -> None:
    """Give up, in place, on step-ups that were not passed in time by the user's next event."""
    pending = records["pending"]
    late = items["time"][:, None] - pending["time"] > WAIT_MS
    given_up = (pending["state"] == Wait.WAITING) & late & (items["role"] == Role.EVENT)[:, None]
    if given_up.any():
        pending["state"][given_up] = Wait.FAILED
        _refused(records, given_up.sum(axis=1), day_of(items["time"]))


def learn(records: Records, items: Batch, seen: Seen) -> None:
    """Take one decided item into each record, in place. Row i of `records` is the history of row i's user, `seen` what
    `look` finds of it there."""
    records["seq"] += 1
    reported = _take_report(records, items)
    taught, proof = _taught_status(items, reported)
    _settle_all(records, proof & ~reported)
    _ask(records, items)
    failed = (items["role"] == Role.EVENT) & (items["outcome"] == _SUCCESS) & (items["mfa"] == 2)
    _refused(records, failed.astype(np.int64), day_of(items["time"]))
    _start_over(records, items["contradicted"] & (taught > 0))
    if (taught > 0).any():
        _show(records, items, seen, taught, proof)


def _taught_status(items: Batch, reported: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Status that each item gives to what is new in it (0: it teaches nothing), and which are proved.

    A second factor proves a login that it let in; one that is stale, or of a user at risk, did not.
    """
    decision = items["decision"]
    genuine = (items["outcome"] == _SUCCESS) & _TEACHING[items["action"]]
    able = genuine & (items["role"] == Role.EVENT) & ~items["fallback"] & (decision != Decision.DENY)
    proof = (able & (items["mfa"] == 1) & (decision == Decision.ALLOW)) | (reported & genuine)
    let_in = able & (items["mfa"] != 2) & ((decision == Decision.ALLOW) | ~items["reports"])
    taught = np.where(let_in, Status.PROVISIONAL, Status.NONE)
    taught = np.where(proof, Status.TRUSTED, taught)
    hidden = ANONYMISING[items["kind"]]
    return np.where(hidden, np.minimum(taught, Status.PROVISIONAL), taught), proof


def _settle_all(records: Records, proved: np.ndarray) -> None:
    """Forget, in place, the step-ups asked of users who have now proved themselves with the login itself."""
    if proved.any():
        pending = records["pending"]
        pending["state"] = np.where(proved[:, None], Wait.NONE, pending["state"])
        records["ignored"] = np.where(proved, 0, records["ignored"])


def _take_report(records: Records, items: Batch) -> np.ndarray:
    """Close the pending step-ups that reports speak of, in place; return which items prove their event genuine."""
    report = items["role"] == Role.REPORT
    if not report.any():
        return report
    result = items["result"]
    pending = records["pending"]
    slot = (pending["event"] == items["event"][:, None]) & (pending["state"] > 0) & report[:, None]
    asked = items["decision"] == Decision.STEP_UP  # its slot may have given way to later ones
    took = items["time"] - items["event_time"]
    passed = report & (result == _RESULT["step_up_passed"]) & asked & (took <= PASS_MS) & (took >= -SLACK_MS)
    refused = report & asked & _REFUSES[result]
    waiting = (slot & (pending["state"] == Wait.WAITING)).any(axis=1)
    _refused(records, np.where(refused & waiting, 1, 0), day_of(items["time"]))
    safe = report & (result == _RESULT["confirmed_safe"])
    pending["state"] = np.where(slot & refused[:, None], Wait.FAILED, pending["state"])
    closed = slot & (passed | safe)[:, None]
    for name in ("event", "time", "state"):
        pending[name] = np.where(closed, 0, pending[name])
    remediated = report & (result == _RESULT["remediated"])
    compromised = report & (result == _RESULT["confirmed_compromised"])
    records["at_risk"] = np.where(compromised, 1, np.where(remediated, 0, records["at_risk"]))
    records["ignored"] = np.where(passed | safe | remediated, 0, records["ignored"])
    _remember_pass(records, items, passed)
    return passed | safe


def _remember_pass(records: Records, items: Batch, passed: np.ndarray) -> None:
    """Keep, in place, where and for what a step-up was passed; the oldest pass gives way."""
    rows = np.flatnonzero(passed)
    if len(rows):
        slot = np.argmin(records["passes"]["passed_at"][rows], axis=1)
        for name, value in (
            ("passed_at", items["time"]),
            ("passed_prefix", items["prefix"]),
            ("passed_device", items["device"]),
            ("passed_for", items["sensitivity"]),
        ):
            records["passes"][name][rows, slot] = value[rows]


def _refused(records: Records, count: np.ndarray, day: np.ndarray) -> None:
    """Count step-ups that were failed or abandoned; provisional knowledge has to ripen anew."""
    some = count > 0
    records["ignored"] = np.minimum(records["ignored"].astype(np.int64) + count, 255)
    records["ignored_day"] = np.where(some, np.maximum(records["ignored_day"], day), records["ignored_day"])
    _start_over(records, some)


def _start_over(records: Records, which: np.ndarray) -> None:
    """Set back, in place, how far these users' provisional knowledge has ripened."""
    if which.any():
        for name in (*ATTRIBUTES, "hops"):
            shown = records[name]
            back = which[:, None] & (shown["status"] < Status.TRUSTED)
            shown["streak"] = np.where(back, 0, shown["streak"])


def _ask(records: Records, items: Batch) -> None:
    """Remember, in place, each step-up that was asked of a caller who reports.

    One that failed gives way first, then the oldest, which then counts as not given.
    """
    asks = (
        (items["role"] == Role.EVENT)
        & (items["decision"] == Decision.STEP_UP)
        & (items["outcome"] == _SUCCESS)
        & (items["reports"] | items["fallback"])
    )
    if not asks.any():
        return
    rows = np.flatnonzero(asks)
    pending = records["pending"]
    least = np.iinfo(np.int64).min
    order = np.where(
        pending["state"] == Wait.WAITING, pending["time"], np.where(pending["state"] > 0, least + 1, least)
    )
    slot = np.argmin(order[rows], axis=1)
    given_up = np.zeros(len(items), np.int64)
    given_up[rows] = pending["state"][rows, slot] == Wait.WAITING
    _refused(records, given_up, day_of(items["time"]))
    pending["event"][rows, slot] = items["event"][rows]
    pending["time"][rows, slot] = items["event_time"][rows]
    pending["origin"][rows, slot] = items["prefix"][rows]
    pending["state"][rows, slot] = Wait.WAITING


def _show(records: Records, items: Batch, seen: Seen, taught: np.ndarray, proof: np.ndarray) -> None:
    """Take in, in place, what a genuine login shows: its attributes, its day, its stay and its user's habits."""
    beside = proof | anchored(records, seen)
    first = (records["learned"] == 0) & (taught == Status.PROVISIONAL) & ~ANONYMISING[items["kind"]]
    given = np.where(first, Status.FOUNDING, taught)
    day = day_of(items["event_time"])
    teaches = taught > 0
    vouched = teaches & (beside | first)
    _count_habits(records, items, seen, vouched, proof)
    for name in ATTRIBUTES:
        shows = teaches & (seen.keys[name] > 0)
        if name == "country":
            shows &= ~ANONYMISING[items["kind"]]  # a tunnel's far end is nobody's country
        _strengthen(records[name], seen.slots[name] & shows[:, None], taught, beside, day)
        new = shows & ~seen.slots[name].any(axis=1)
        before = records[name]["key"].copy()
        _add(records[name], new, seen.keys[name], given, beside | first, day)
        if name == "network":
            records["churn"] = np.where(records[name]["key"] == before, records["churn"], 0)
    _hop(records, items, teaches, taught, beside)
    new_day = vouched & (day > records["last_day"])
    records["days"] += new_day
    records["last_day"] = np.where(new_day, day, records["last_day"])
    earliest = np.minimum(np.where(records["first_day"] > 0, records["first_day"], day), day)
    records["first_day"] = np.where(vouched, earliest, records["first_day"])
    records["learned"] += vouched
    here = match_place(records["place"], seen.keys["place"])
    place = np.where(here, records["place"]["status"], 0).max(axis=1)
    stay(records["stays"], items, teaches, np.maximum(place, Status.PROVISIONAL))


def _count_habits(records: Records, items: Batch, seen: Seen, counts: np.ndarray, proof: np.ndarray) -> None:
    """Count, in place, how often each attribute was shown and was new, over logins that something vouches for.

    What nobody proved is news once a day: whoever shares the user's network must not make them look changeable in an
    afternoon. From AGED showings on both are halved, with the counts of single values, so that what was long ago fades.
    """
    day = day_of(items["event_time"])
    take_habits(records, items, counts)
    hidden = ANONYMISING[items["kind"]]
    for at, name in enumerate(HABITS):
        if name == "masked":
            shows, news = counts, counts & hidden
        else:
            shows = counts & (seen.keys[name] > 0)
            if name not in SENDABLE:
                shows &= ~hidden  # what a tunnel's exits are says nothing of where the user goes
            news = shows & ~seen.slots[name].any(axis=1) & (records["learned"] > 0)
            news &= proof | (day != records["news_day"][:, at])
            records["news_day"][:, at] = np.where(news, day, records["news_day"][:, at])
        shown, new = records["shown"][:, at] + shows, records["news"][:, at] + news
        aged = shown >= AGED
        records["shown"][:, at] = np.where(aged, shown // 2, shown)
        records["news"][:, at] = np.where(aged, new // 2, new)
        if name != "masked" and aged.any():
            count = records[name]["count"]
            records[name]["count"] = np.where(aged[:, None], count - count // 2, count)
        if name == "network" and aged.any():
            records["churn"] = np.where(aged[:, None], records["churn"] // 2, records["churn"])
    churns = counts & (seen.keys["prefix"] > 0) & ~seen.slots["prefix"].any(axis=1)
    more = seen.slots["network"] & churns[:, None] & (records["churn"] < 255)
    records["churn"] = np.where(more, records["churn"] + 1, records["churn"])


def _hop(records: Records, items: Batch, teaches: np.ndarray, taught: np.ndarray, beside: np.ndarray) -> None:
    """Remember, in place, the two ends of a journey that looked impossible and was the user's own after all."""
    hops = teaches & (items["hop"] > 0)
    if hops.any():
        day = day_of(items["event_time"])
        slots = match(records["hops"], items["hop"]) & hops[:, None]
        _strengthen(records["hops"], slots, taught, beside, day)
        _add(records["hops"], hops & ~slots.any(axis=1), items["hop"], taught, beside, day)


def _strengthen(shown: np.ndarray, slots: np.ndarray, taught: np.ndarray, beside: np.ndarray, day: np.ndarray) -> None:
    """Count one more showing in the slots found; provisional ones ripen by a day, or are trusted at once."""
    if not slots.any():
        return
    # What nothing vouches for is no habit and keeps nothing fresh; it may be the start of one.
    later = slots & beside[:, None] & (day[:, None] > shown["last_day"])
    shown["count"] = np.where(slots & beside[:, None] & (shown["count"] < 65535), shown["count"] + 1, shown["count"])
    shown["days"] = np.where(later, shown["days"] + 1, shown["days"])
    provisional = (shown["status"] > 0) & (shown["status"] < Status.TRUSTED)
    fresh = slots & provisional & beside[:, None] & (later | (shown["streak"] == 0))
    shown["since"] = np.where(fresh & (shown["streak"] == 0), day[:, None], shown["since"])
    shown["streak"] = np.where(fresh & (shown["streak"] < 255), shown["streak"] + 1, shown["streak"])
    span = day[:, None].astype(np.int64) - shown["since"]
    ripe = fresh & (shown["streak"] >= RIPE_DAYS) & (span >= RIPE_SPAN)
    proved = slots & (taught == Status.TRUSTED)[:, None]
    shown["status"] = np.where(ripe | proved, Status.TRUSTED, shown["status"])
    shown["last_day"] = np.where(later, day[:, None], shown["last_day"])


def _add(
    shown: np.ndarray, rows: np.ndarray, key: np.ndarray, given: np.ndarray, beside: np.ndarray, day: np.ndarray
) -> None:
    """Write what is new into an empty slot, else over the least believed, longest unseen, least shown one."""
    index = np.flatnonzero(rows)
    if not len(index):
        return
    worth = (
        shown["status"][index].astype(np.int64) << 48
        | shown["last_day"][index].astype(np.int64) << 16
        | shown["count"][index]
    )
    slot = np.argmin(worth, axis=1)
    for name, value in (
        ("key", key[index]),
        ("count", 1),
        ("days", 1),
        ("last_day", day[index]),
        ("since", day[index]),
        ("streak", beside[index]),
        ("status", given[index]),
    ):
        shown[name][index, slot] = value
