"""Sealing what an older key sealed with the current one, while servers go on; and saying which keys are still used."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import literal

from riskengine.errors import SealKeyError
from riskengine.journal import key_heads
from riskengine.seal import Seal, SealBroken
from riskengine.store.database import Database, patiently, translated
from riskengine.store.sealed import SEALED, Key, Sealed, heads, page, replace, sealed_by_others
from riskengine.upkeep.pace import Pace

# Written in about 10 ms; a login waits no longer for it.
ROWS_AT_ONCE = 64
_PAUSE_SECONDS = 0.1


def reseal(database: Database, seal: Seal, pace: Pace, tell: Callable[[int], object] = lambda _: None) -> int:
    """Seal all that is sealed with other keys than the current one anew; return how many values were.

    Each step is a transaction of some rows, which takes only what nobody has changed meanwhile, so it may end anywhere
    and begin again, also in several processes at once. `tell` hears how many values were done since the last time. A
    value that cannot be opened is left: `used_keys` goes on counting it.
    """
    return sum(_reseal(database, seal, one, pace, tell) for one in SEALED)


def _reseal(database: Database, seal: Seal, one: Sealed, pace: Pace, tell: Callable[[int], object]) -> int:
    after: Key | None = None
    done = 0
    while not pace.stopped():
        began = time.monotonic()
        rows = _waiting(database, one, seal.head, after)
        if not rows:
            break
        after = rows[-1][0]
        step = partial(replace, database, one, _sealed_anew(one, rows, seal))
        changed = patiently(step, _PAUSE_SECONDS, pace.stopped)
        tell(changed)
        done += changed
        pace.rest(began)
    return done


def used_keys(database: Database) -> dict[str, Mapping[str, int]]:
    """Return by id of each key that sealed something how many values of which column it did. It reads all tables."""
    found: dict[str, Counter[str]] = {}
    with translated():
        for one in SEALED:
            for head, count in heads(database, one).items():
                found.setdefault(head[1:].hex(), Counter())[one.says] += count
    return dict(found)


def used_in_journal(folder: Path) -> Counter[str]:
    """Return by id of each key how many records of the journals in `folder` it sealed, damaged ones included."""
    return Counter(head[1:].hex() for head in key_heads(folder))


def _waiting(database: Database, one: Sealed, head: bytes, after: Key | None) -> Sequence[tuple[Key, Sequence[object]]]:
    """Return the next rows whose value another key sealed: primary key; realm, bound columns and value."""
    table = one.table
    realm = table.c.realm if one.realm is None else literal(one.realm)
    columns = [realm, *one.bound, one.column]
    with translated(), database.reader.begin() as connection:
        database.be_patient(connection)
        rows = page(connection, table, columns, after, ROWS_AT_ONCE, sealed_by_others([one], head))
    width = len(table.primary_key.columns)
    return [(tuple(row[:width]), row[width:]) for row in rows]


def _sealed_anew(
    one: Sealed, rows: Sequence[tuple[Key, Sequence[object]]], seal: Seal
) -> list[tuple[Key, bytes, bytes]]:
    done = []
    for key, (realm, *bound, old) in rows:
        assert isinstance(realm, str)
        assert isinstance(old, bytes)
        row = one.row(*bound)
        try:
            done.append((key, old, seal.seal(seal.open(old, realm, one.name, row), realm, one.name, row)))
        except (SealBroken, SealKeyError):
            continue
    return done
