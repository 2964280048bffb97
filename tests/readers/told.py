"""What came out of a log, as plain data to hold against a case."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from riskengine.check import format_time
from riskengine.event import Report
from riskengine.readers.log import Item, Read, Rejected, Skipped


def plain(item: Item) -> dict[str, Any]:
    """Return an item's fields that are not as they are when nothing is said, times as text."""
    kind = {"type": "report"} if isinstance(item, Report) else {}
    return kind | _fields(item)


def _fields(value: Any) -> dict[str, Any]:
    found = {}
    for field in fields(value):
        one = getattr(value, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if field.name == "outcome" or one != default:
            found[field.name] = _plain(field.name, one)
    return found


def _plain(name: str, value: Any) -> Any:
    if is_dataclass(value):
        return _fields(value)
    if name in ("occurred_at", "at"):
        return format_time(value)
    return list(value) if isinstance(value, tuple) else value


def told(found: Iterable[Read | Rejected | Skipped]) -> dict[str, Any]:
    """Return a log's items with their lines, what was rejected and what passed over."""
    items, rejected, passed_over = [], [], Counter[str]()
    for one in found:
        if isinstance(one, Read):
            items.append({"line": one.line} | plain(one.item))
        elif isinstance(one, Rejected):
            rejected.append(f"{one.line}: {one.reason}")
        else:
            passed_over[str(one.reason)] += one.count
    return {"want": items, "rejected": rejected, "passed_over": dict(passed_over)}
