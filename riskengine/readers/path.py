"""Path expressions: where in a record a value stands.

| written | means |
|---|---|
| `actor.id` | the member `id` of the member `actor` |
| `principal[0]`, `principal[-1]` | the first, the last entry of a list |
| `entries[].info.ip` | of the first entry for which the rest gives a value |
| `target[type=App].name` | of the first entry whose `type` is `App` |
| `"User ID"`, `"a.b".c` | a name in quotes, for one that holds a dot or a bracket |

A path that leads nowhere gives None, as null does.
"""

import re
from dataclasses import dataclass
from typing import Any

from riskengine.errors import Fault, InvalidInput

_STEP = re.compile(
    r'(?P<quoted>"[^"]+")'
    r"|(?P<name>[^.\[\]\"=]+)"
    r"|\[(?P<index>-?\d+)\]"
    r"|\[(?P<key>[^.\[\]\"=]+)=(?P<value>[^\]]*)\]"
    r"|(?P<any>\[\])"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """The first entry of a list for which the rest gives a value; with `key`, only those whose `key` is `value`."""

    key: str = ""
    value: str = ""


Step = str | int | Entry


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled path. Where `dotted`, members may also be written as one key: `{"actor.id": 1}`."""

    steps: tuple[Step, ...]
    dotted: bool = False

    def of(self, record: Any) -> Any:
        """Return the value at this path, None if there is none.

        >>> parse_path("list[name=b].value").of({"list": [{"name": "a", "value": 1}, {"name": "b", "value": 2}]})
        2
        """
        return _find(record, self.steps, 0, self.dotted)


def parse_path(text: str, dotted: bool = False) -> Path:
    """Return the path that a text writes; raise InvalidInput (without a pointer) if it writes none."""
    steps: list[Step] = []
    position = 0
    while position < len(text):
        if steps and text[position] == ".":
            position += 1
        elif steps and text[position] != "[":
            raise InvalidInput([Fault("", f"is no path: a dot or a bracket is missing before {text[position:][:20]}")])
        found = _STEP.match(text, position)
        if found is None:
            raise InvalidInput([Fault("", f"is no path: {text[position:][:20] or 'nothing'} is no step")])
        steps.append(_step(found))
        position = found.end()
    if not steps or text.endswith("."):
        raise InvalidInput([Fault("", "is no path: a name is missing")])
    return Path(tuple(steps), dotted)


def _step(found: re.Match[str]) -> Step:
    if found["quoted"]:
        return found["quoted"][1:-1]
    if found["name"]:
        return found["name"]
    if found["index"]:
        return int(found["index"])
    return Entry(found["key"] or "", found["value"] or "")


def _find(value: Any, steps: tuple[Step, ...], position: int, dotted: bool) -> Any:
    for at in range(position, len(steps)):
        step = steps[at]
        if isinstance(step, str):
            if not isinstance(value, dict):
                return None
            if step not in value:
                return _find_joined(value, steps, at) if dotted else None
            value = value[step]
        elif not isinstance(value, list):
            return None
        elif isinstance(step, int):
            if not -len(value) <= step < len(value):
                return None
            value = value[step]
        else:
            return _first(value, step, steps, at + 1, dotted)
    return value


def _first(entries: list[Any], entry: Entry, steps: tuple[Step, ...], position: int, dotted: bool) -> Any:
    for one in entries:
        if entry.key and not (isinstance(one, dict) and as_text(one.get(entry.key)) == entry.value):
            continue
        found = _find(one, steps, position, dotted)
        if found is not None and found != "":
            return found
    return None


def _find_joined(value: dict[str, Any], steps: tuple[Step, ...], position: int) -> Any:
    """Go on from a member whose key is several names of the path with dots between."""
    key = steps[position]
    for at in range(position + 1, len(steps)):
        step = steps[at]
        if not isinstance(step, str) or not isinstance(key, str):
            return None
        key = f"{key}.{step}"
        if key in value:
            return _find(value[key], steps, at + 1, True)
    return None


def as_text(value: Any) -> str | None:
    """Return a value as conditions and value tables write it; None for null, "", lists and objects.

    >>> as_text(True), as_text(0), as_text(""), as_text([])
    ('true', '0', None, None)
    """
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return None
