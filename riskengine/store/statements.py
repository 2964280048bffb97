"""What the scoring transaction says to a database, written once; each database compiles it once, when it opens."""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Column, Select, Table, select

from riskengine.store.tables import COUNTER_USERS, COUNTERS, DAYS, EVENT_IDS, EVENTS, HISTORIES, REPORTS, SPENT_TOKENS

Row = tuple[Any, ...]
# What is said to whoever has to be alone and is not.
OTHERS = "a server or another command has the database open: stop all of them first"

# What is looked up by many keys at once: the rows wanted, and the column that must be among the keys.
FINDS: dict[str, tuple[Select[Any], Column[Any]]] = {
    "event_by_id": (select(EVENTS), EVENTS.c.id),
    "event_by_key": (
        select(EVENTS).join_from(EVENT_IDS, EVENTS, EVENTS.c.id == EVENT_IDS.c.event),
        EVENT_IDS.c.event_key,
    ),
    "taken": (select(EVENT_IDS.c.event_key, EVENT_IDS.c.event), EVENT_IDS.c.event_key),
    "spent": (select(SPENT_TOKENS), SPENT_TOKENS.c.id),
    "history": (select(HISTORIES), HISTORIES.c.user_ref),
}


def inserts(begin: Callable[[Table], Any]) -> dict[str, Any]:
    """Return every insert that the transaction makes, by name; `begin` starts one of all columns of a table.

    `Any` because the two dialects' inserts know ON CONFLICT alike but share no class that does.
    """
    histories, counters, users, days = begin(HISTORIES), begin(COUNTERS), begin(COUNTER_USERS), begin(DAYS)
    replaced = ("realm", "seq", "record")
    added = ("attempts", "failures")
    return {
        "events": begin(EVENTS),
        "reports": begin(REPORTS),
        "event_ids": begin(EVENT_IDS).on_conflict_do_nothing(index_elements=EVENT_IDS.primary_key.columns),
        "spent_tokens": begin(SPENT_TOKENS).on_conflict_do_nothing(index_elements=SPENT_TOKENS.primary_key.columns),
        "histories": histories.on_conflict_do_update(
            index_elements=HISTORIES.primary_key.columns,
            set_={name: histories.excluded[name] for name in replaced},
        ),
        "counters": counters.on_conflict_do_update(
            index_elements=COUNTERS.primary_key.columns,
            set_={name: COUNTERS.c[name] + counters.excluded[name] for name in added},
        ),
        "counter_users": users.on_conflict_do_update(
            index_elements=COUNTER_USERS.primary_key.columns,
            set_={"failures": COUNTER_USERS.c.failures + users.excluded.failures},
        ),
        "days": days.on_conflict_do_update(
            index_elements=DAYS.primary_key.columns,
            set_={name: DAYS.c[name].bitwise_or(days.excluded[name]) for name in ("regulars", "came", "tried")},
        ),
    }


def merged(spans: Iterable[tuple[str, int, int, int]]) -> list[tuple[str, int, int, int]]:
    """Return spans (kind, key, first, last) that cover the same and do not overlap, in the order of the rows.

    >>> merged([("user", 1, 8, 9), ("user", 1, 3, 5), ("user", 1, 4, 7), ("user", 2, 1, 1)])
    [('user', 1, 3, 9), ('user', 2, 1, 1)]
    """
    found: list[tuple[str, int, int, int]] = []
    for kind, key, first, last in sorted(spans, key=lambda span: (span[1], span[0], span[2])):
        if found and found[-1][:2] == (kind, key) and first <= found[-1][3] + 1:
            found[-1] = (kind, key, found[-1][2], max(last, found[-1][3]))
        else:
            found.append((kind, key, first, last))
    return found


def signed(key: int) -> int:
    """Return an unsigned 64-bit key as the signed number that a database can hold.

    >>> signed(2**64 - 1), unsigned(-1) == 2**64 - 1, signed(5)
    (-1, True, 5)
    """
    return key - (1 << 64) if key >> 63 else key


def unsigned(key: int) -> int:
    """Return the key that `signed` gave."""
    return key & 0xFFFF_FFFF_FFFF_FFFF
