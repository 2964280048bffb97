"""What reading a log gives: the items its lines hold, the lines that were refused, and a count of those passed over."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from riskengine.errors import InvalidInput
from riskengine.event import Event, Report

Item = Event | Report


class Skip(StrEnum):
    """Why a line that is well formed gives no item."""

    NOT_A_LOGIN = "not a login"
    COUNTED = "counted by another line of the same connection"
    NOT_TRIED = "a key or method that was only offered"
    NO_HEADER = "below a header that was refused"
    NO_ADDRESS = "a login without an address"
    REPEATED = "another record of the same login"
    SECOND_FACTOR = "a second factor, told with its login"


# What one record gives: an item, why it gives none, or what is wrong with it.
Found = Item | Skip | InvalidInput


class Read(NamedTuple):
    """One item of a log; `line` is 1-based, and in a JSON document (an array, an envelope) the ordinal of the record.

    A line may give several items, a quoted or blank one none. `reporting`: the log is one that tells of every step-up
    how it ended, as riskengine's own do; a vendor's log knows only of its own.
    """

    source: str
    line: int
    item: Item
    reporting: bool = True


@dataclass(frozen=True, slots=True)
class Rejected:
    """One line that could not be read. `reason` never repeats a value; `text` is the line, bytes that are not UTF-8
    written as \\xNN, cut to 65,536 characters (an over-long line to 1,024)."""

    source: str
    line: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """How many lines of a source gave nothing, for one reason; comes after the source's last line."""

    source: str
    reason: Skip
    count: int


class Parser(Protocol):
    """One format. A parser sees every line of one source in order, so it may remember what came before."""

    def parse(self, line: bytes, ended: bool) -> Sequence[Found] | Skip:
        """Return what a line (without its end) gives, record by record, or why it is none; raise InvalidInput to
        reject it.

        The line is neither blank nor over-long and holds no NUL. `ended` is false for a last line without its line
        end, which may therefore be torn.
        """
