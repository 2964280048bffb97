"""riskengine's own NDJSON: one event or report a line, with the fields of POST /score and of a report."""

from collections.abc import Sequence

from riskengine.check import decode
from riskengine.errors import Fault, InvalidInput
from riskengine.readers.identity import Identity
from riskengine.readers.item import own_item
from riskengine.readers.log import Item, Skip


class Ndjson:
    """Parser of one NDJSON source."""

    def __init__(self) -> None:
        self._identity = Identity("ndjson")

    def parse(self, line: bytes, ended: bool) -> Sequence[Item] | Skip:
        """Return the line's one item. A torn last line is never mistaken for a whole one: it lacks its last brace."""
        try:
            return (own_item(decode(line), line, self._identity),)
        except InvalidInput as error:
            if ended or line.rstrip().endswith(b"}"):
                raise
            raise InvalidInput([Fault("", "is cut off: the log ends within it")]) from error
