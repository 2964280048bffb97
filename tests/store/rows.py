"""Rows to store: whole, with what a test does not care about filled in."""

from collections import Counter, defaultdict
from itertools import count
from typing import Any

from riskengine.store.contract import AccessKeyRow, Cell, CellKey, Counted, EventRow, HistoryRow, ReportRow

ALICE, BOB = b"alice".ljust(16, b"."), b"bob".ljust(16, b".")
_ids = count(1)


def key(name: str) -> bytes:
    """Return 16 bytes that stand for the blind index of `name`."""
    return name.encode().ljust(16, b"-")


def event(row: int | None = None, user: bytes | None = ALICE, seq: int = 1, **given: Any) -> EventRow:
    row = next(_ids) if row is None else row
    filled: dict[str, Any] = {
        "realm": "default",
        "event_key": key(f"event {row}"),
        "fingerprint": key("body"),
        "occurred_at": 1_772_615_731_500 + row,
        "received_at": 1_772_615_731_900 + row,
        "outcome": "success",
        "action": "login",
        "resource": None,
        "decision": "allow",
        "level": "low",
        "score": 125,
        "reasons": '[["new_device", 12.5]]',
        "country": "US",
        "city": "New York",
        "asn": 64496,
        "network": "broadband",
        "source": "engine",
        "policy": "1",
        "login_index": None,
        "device_index": key("device"),
        "session_index": None,
        "address_index": key("address"),
        "raw": b"\x00raw\xff",
        "assessment": b"assessment",
        "state": "open",
    }
    return EventRow(id=row, user_ref=user, user_seq=seq, **(filled | given))


def report(event: int | None, seq: int = 2, user: bytes = ALICE, **given: Any) -> ReportRow:
    filled: dict[str, Any] = {
        "id": next(_ids),
        "realm": "default",
        "result": "step_up_passed",
        "at": 1_772_615_791_500,
        "received_at": 1_772_615_791_600,
        "detail": b"detail",
    }
    return ReportRow(event=event, user_ref=user, user_seq=seq, **(filled | given))


def history(user: bytes = ALICE, seq: int = 1, record: bytes = b"record") -> HistoryRow:
    return HistoryRow(user, "default", seq, record)


def access_key(name: str, **given: Any) -> AccessKeyRow:
    filled: dict[str, Any] = {
        "name": name,
        "realm": "default",
        "scopes": ("report", "score"),
        "digest": b"\x00" * 32,
        "created_at": 100,
        "expires_at": 200,
    }
    return AccessKeyRow(id=name, **(filled | given))


def cells_of(found: Counted) -> dict[CellKey, Cell]:
    """Return stored counter cells by their keys, all workers added up."""
    counts: Counter[tuple[CellKey, str]] = Counter()
    users: defaultdict[CellKey, Counter[int]] = defaultdict(Counter)
    for kind, key, minute, attempts, failures in found.cells:
        at = CellKey(kind, key % 2**64, minute)
        counts[at, "attempts"] += attempts
        counts[at, "failures"] += failures
    for kind, key, minute, user, failures in found.users:
        users[CellKey(kind, key % 2**64, minute)][user] += failures
    keys = {at for at, _ in counts}
    return {at: Cell(counts[at, "attempts"], counts[at, "failures"], tuple(sorted(users[at].items()))) for at in keys}
