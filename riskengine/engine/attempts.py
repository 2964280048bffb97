"""Attempts by the minute: what a batch's events see of earlier ones, and what they add to the counters."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from riskengine.batch import Batch
from riskengine.counters.minutes import MINUTE_MS, Cells, Span, see
from riskengine.engine.tokens import Tokens
from riskengine.event import OUTCOMES
from riskengine.store.contract import Cell, CellKey

COUNTED = ("user", "address", "prefix")


def spans(rows: Batch, tokens: Sequence[Tokens], window: int) -> set[tuple[str, int, int, int]]:
    """Return the counter cells (kind, key, first minute, last minute) that these events look at."""
    found = set()
    for minute, token in zip((rows["event_time"] // MINUTE_MS).tolist(), tokens, strict=True):
        for kind, key in zip(COUNTED, (token.user_key64, token.address_key64, token.prefix_key64), strict=True):
            if key:
                found.add((kind, key, minute - window, minute - 1))
    return found


def count_attempts(
    rows: Batch, tokens: Sequence[Tokens], cells: dict[CellKey, Cell], span: Span
) -> dict[CellKey, Cell]:
    """Fill in, in place, what each event sees of earlier attempts; return what these events add to the cells.

    Of a user only failures are counted; of a source every attempt, and who was tried there in vain: a user by their
    key, a name without account by the name's.
    """
    minute = rows["event_time"] // MINUTE_MS
    failed = rows["outcome"] == OUTCOMES.index("failure")
    tried = np.array([token.user_key or int.from_bytes((token.login or b"")[:4]) for token in tokens], np.uint32)
    added: dict[CellKey, list[tuple[bool, int]]] = {}
    for kind in COUNTED:
        key = np.array([getattr(token, f"{kind}_key64") for token in tokens], np.uint64)
        of_user = kind == "user"
        user = np.zeros_like(tried) if of_user else tried
        seen = see(key, minute, failed, user, _cells_of(kind, cells), span)
        rows[f"{kind}_failures"] = seen.failures
        if not of_user:
            rows[f"{kind}_attempts"], rows[f"{kind}_users"] = seen.attempts, seen.users
        for source, at, fell, who in zip(key.tolist(), minute.tolist(), failed.tolist(), user.tolist(), strict=True):
            if source and (fell or not of_user):
                added.setdefault(CellKey(kind, source, at), []).append((fell, who))
    return {key: _cell(tries) for key, tries in added.items()}


def _cell(tries: Sequence[tuple[bool, int]]) -> Cell:
    """Return the counts of attempts, each (failed, key of the user or 0)."""
    failures = [who for fell, who in tries if fell]
    users = Counter(who for who in failures if who) if failures else {}
    return Cell(len(tries), len(failures), tuple(sorted(users.items())))


def _cells_of(kind: str, cells: dict[CellKey, Cell]) -> Cells:
    """Return the stored cells of one kind as columns."""
    mine = [(key, cell) for key, cell in cells.items() if key.kind == kind]
    if not mine:
        return Cells.none()
    users = [(key.key, key.minute, *user) for key, cell in mine for user in cell.users]
    return Cells(
        key=np.array([key.key for key, _ in mine], np.uint64),
        minute=np.array([key.minute for key, _ in mine], np.int64),
        attempts=np.array([cell.attempts for _, cell in mine], np.int64),
        failures=np.array([cell.failures for _, cell in mine], np.int64),
        user_key=np.array([source for source, _, _, _ in users], np.uint64),
        user_minute=np.array([at for _, at, _, _ in users], np.int64),
        user=np.array([who for _, _, who, _ in users], np.uint32),
        user_failures=np.array([count for _, _, _, count in users], np.int64),
    )
