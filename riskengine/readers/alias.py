"""An alias file: which user a log's name is. Live traffic speaks immutable ids, logs often names."""

from collections.abc import Mapping
from dataclasses import replace

from riskengine.errors import Fault, InvalidInput
from riskengine.event import EVENT_FIELDS, Event
from riskengine.readers.lines import lines, open_log
from riskengine.readers.log import Item
from riskengine.readers.rows import cells

Aliases = Mapping[str, str]
_HEADER = ["name", "user_id"]


def read_aliases(path: str) -> Aliases:
    """Return the users of the names in a CSV file of `name,user_id`, names without regard to case.

    Raise OSError as `open` does, and InvalidInput naming the line that is wrong.
    """
    found: dict[str, str] = {}
    with open_log(path) as stream:
        for raw in lines(stream):
            if not raw.line.strip():
                continue
            try:
                name, user_id = _row(raw.line)
                if [name, user_id] == _HEADER:
                    continue
                if found.setdefault(name.casefold(), user_id) != user_id:
                    raise InvalidInput([Fault("", "gives a name to a second user")])
            except InvalidInput as error:
                raise InvalidInput([Fault(f"{path} line {raw.number}", error.faults[0].detail)]) from error
    return found


def _row(line: bytes) -> tuple[str, str]:
    row = cells(line.decode(errors="replace"), ",")
    if len(row) != 2:
        raise InvalidInput([Fault("", "must have two cells: a name and the user's id")])
    try:
        return EVENT_FIELDS["login"](row[0].strip()), EVENT_FIELDS["user_id"](row[1].strip())
    except ValueError as error:
        raise InvalidInput([Fault("", f"has a cell that {error}")]) from error


def known_by(item: Item, aliases: Aliases) -> Item:
    """Return an event as the user that its name stands for; the name it had is kept as what was typed.

    >>> known_by(Event("Mira", "192.0.2.1"), {"mira": "u-1"}).user_id
    'u-1'
    """
    if not isinstance(item, Event) or item.user_id is None:
        return item
    known = aliases.get(item.user_id.casefold())
    if known is None or known == item.user_id:
        return item
    return replace(item, user_id=known, login=item.login or item.user_id)
