"""Attempts by the minute: what a batch's events see of earlier ones, and what they add to the counters."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from riskengine.batch import Batch
from riskengine.compiled import compiled, signed
from riskengine.counters.minutes import MINUTE_MS, Cells, Span, see
from riskengine.engine.tokens import Tokens
from riskengine.event import OUTCOMES
from riskengine.store.contract import Cell, CellKey, Counted

COUNTED = ("user", "address", "prefix")
_FAILURE = OUTCOMES.index("failure")
# One number of 64 bits a kind, at random, so that keys of different kinds never meet.
_SALT = np.array([0x0, 0x9D5C0F6A3B8E2714, 0x4E1B7C93D6A85F02], np.uint64)
_USER, _WHOM = COUNTED.index("user"), len(COUNTED)
_NONE = np.zeros((0, 5), np.uint64)


def spans(rows: Batch, tokens: Sequence[Tokens], window: int) -> set[tuple[str, int, int, int]]:
    """Return the counter cells (kind, key, first minute, last minute) that these events look at."""
    found = set()
    for minute, token in zip((rows["event_time"] // MINUTE_MS).tolist(), tokens, strict=True):
        for kind, key in zip(COUNTED, (token.user_key64, token.address_key64, token.prefix_key64), strict=True):
            if key:
                found.add((kind, key, minute - window, minute - 1))
    return found


def count_attempts(rows: Batch, tokens: Sequence[Tokens], stored: Counted, span: Span) -> dict[CellKey, Cell]:
    """Fill in, in place, what each event sees of earlier attempts; return what these events add to the cells.

    Of a user only failures are counted; of a source every attempt, and who was tried there in vain: a user by their
    key, a name without account by the name's.
    """
    whom = [one.user_key or int.from_bytes((one.login or b"")[:4]) for one in tokens]
    named = zip(tokens, whom, strict=True)
    keys = np.array([(one.user_key64, one.address_key64, one.prefix_key64, who) for one, who in named], np.uint64)
    fill(rows, keys, _columns(stored.cells), _columns(stored.users), span)
    failed = (rows["outcome"] == _FAILURE).tolist()
    return _added(tokens, (rows["event_time"] // MINUTE_MS).tolist(), failed, whom)


@compiled
def fill(rows: Batch, keys: np.ndarray, counts: np.ndarray, users: np.ndarray, span: Span) -> None:
    """Fill in what each event sees. `keys` (uint64) has a column a kind and who was tried last; `counts` and `users`
    (uint64) are stored rows of `Counted`, the kind by its place in COUNTED."""
    kinds, count = len(COUNTED), len(rows)
    key, minute = np.zeros(kinds * count, np.uint64), np.empty(kinds * count, np.int64)
    failed, whom = np.empty(kinds * count, np.bool_), np.zeros(kinds * count, np.uint32)
    for at in range(kinds * count):
        kind, row = at // count, rows[at % count]
        key[at] = apart(kind, keys[at % count, kind])
        minute[at], failed[at] = row.event_time // MINUTE_MS, row.outcome == _FAILURE
        if kind != _USER:
            whom[at] = keys[at % count, _WHOM]
    seen = see(key, minute, failed, whom, _cells(counts, users), span)
    for at in range(count):
        row, address, prefix = rows[at], at + count, at + 2 * count
        row.user_failures = seen.failures[at]
        row.address_attempts, row.prefix_attempts = seen.attempts[address], seen.attempts[prefix]
        row.address_failures, row.prefix_failures = seen.failures[address], seen.failures[prefix]
        row.address_users, row.prefix_users = seen.users[address], seen.users[prefix]


@compiled
def apart(kind: int, key: np.uint64) -> np.uint64:
    """Return a key that no key of another kind meets; 0 for 0, which is none."""
    return key ^ _SALT[kind] if key > np.uint64(0) else key


@compiled
def _cells(counts: np.ndarray, users: np.ndarray) -> Cells:
    source, tried = np.empty(len(counts), np.uint64), np.empty(len(users), np.uint64)
    for at in range(len(counts)):
        source[at] = apart(signed(counts[at, 0]), counts[at, 1])
    for at in range(len(users)):
        tried[at] = apart(signed(users[at, 0]), users[at, 1])
    stored, named = counts.astype(np.int64), users.astype(np.int64)
    return Cells(
        source,
        stored[:, 2].copy(),
        stored[:, 3].copy(),
        stored[:, 4].copy(),
        tried,
        named[:, 2].copy(),
        users[:, 3].astype(np.uint32),
        named[:, 4].copy(),
    )


def _columns(rows: Sequence[tuple[str, int, int, int, int]]) -> np.ndarray:
    """Return stored rows as numbers (uint64), the kind by its place in COUNTED."""
    if not rows:
        return _NONE
    kinds, *numbers = zip(*rows, strict=True)
    return np.array([[COUNTED.index(kind) for kind in kinds], *numbers], np.int64).T.astype(np.uint64, order="C")


def _added(tokens: Sequence[Tokens], minutes: list[int], failed: list[bool], tried: list[int]) -> dict[CellKey, Cell]:
    """Return what events add to the cells: of a user their failures, of a source every attempt."""
    added: dict[CellKey, list[tuple[bool, int]]] = {}
    for token, minute, fell, who in zip(tokens, minutes, failed, tried, strict=True):
        if fell and token.user_key64:
            added.setdefault(CellKey("user", token.user_key64, minute), []).append((True, 0))
        added.setdefault(CellKey("address", token.address_key64, minute), []).append((fell, who))
        added.setdefault(CellKey("prefix", token.prefix_key64, minute), []).append((fell, who))
    return {key: _cell(tries) for key, tries in added.items()}


def _cell(tries: Sequence[tuple[bool, int]]) -> Cell:
    """Return the counts of attempts, each (failed, key of the user or 0)."""
    failures = [who for fell, who in tries if fell]
    users = Counter(who for who in failures if who) if failures else {}
    return Cell(len(tries), len(failures), tuple(sorted(users.items())))
