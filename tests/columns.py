"""The core's compiled functions over columns: tests make arrays, the functions take one row after another."""

from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any

import numpy as np

from riskengine.assess import VERDICT
from riskengine.batch import Batch, Names
from riskengine.history.learn import learn, settle
from riskengine.history.record import FLAT, Records
from riskengine.history.seen import SEEN, look
from riskengine.policy.policy import Policy
from riskengine.policy.sheet import sheet_of
from riskengine.policy.terms import stated
from tests.doors import default_policy

Compiled = Callable[..., Any]


def look_at(records: Records, items: Batch) -> np.ndarray:
    """Return what each history knows of what its item shows, as SEEN rows."""
    seen = np.zeros(len(items), SEEN)
    for record, item, row in zip(records.view(FLAT), items, seen, strict=True):
        look(record, item, row)
    return seen


def take_in(records: Records, items: Batch) -> None:
    """Learn one item of each user, in place: row i of `records` is the history of row i's user."""
    for record, item in zip(records.view(FLAT), items, strict=True):
        settle(record, item)
        seen = np.zeros(1, SEEN)[0]
        look(record, item, seen)
        learn(record, item, seen)


def signal(
    function: Compiled, items: Batch, records: Records, policy: Policy | None = None, names: Names | None = None
) -> np.ndarray:
    """Return what a signal, or anything that is asked of a row, says of each item."""
    rows = _rows(function, items, records, policy or default_policy(), names or Names())
    return np.array([function(*row.values()) for row in rows])


def told(
    function: Compiled, items: Batch, records: Records, policy: Policy | None = None, names: Names | None = None
) -> np.ndarray:
    """Return the VERDICT rows in which something that tells has written of each item."""
    found = np.zeros(len(items), VERDICT)
    for row, verdict in zip(
        _rows(function, items, records, policy or default_policy(), names or Names()), found, strict=True
    ):
        function(*row.values(), verdict)
    return found


def _rows(function: Compiled, items: Batch, records: Records, policy: Policy, names: Names) -> Iterator[dict[str, Any]]:
    """Yield of each row what a function takes, by the names of its parameters."""
    seen, said, sheet = look_at(records, items), stated(policy, items, names), sheet_of(policy)
    for at, record in enumerate(records.view(FLAT)):
        known = {
            "item": items[at],
            "record": record,
            "seen": seen[at],
            "policy": sheet[0],
            "edge": said["edge"][at],
        }
        yield {name: known[name] for name in signature(function).parameters if name in known}
