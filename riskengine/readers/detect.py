"""What format a log is in, told from its first lines."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from riskengine.check import decode
from riskengine.errors import InvalidInput
from riskengine.event import EVENT_FIELDS
from riskengine.readers.condition import any_holds
from riskengine.readers.formats import MAPPED, built_in
from riskengine.readers.log import Skip
from riskengine.readers.record import Record, Records, reader_of
from riskengine.readers.table import Header

_TIME = rb"(?:<\d{1,3}>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|(?:1 )?\d{4}-\d\d-\d\dT)\S*"
_SYSLOG = re.compile(_TIME + rb" \S+ \S")
_SSHD = re.compile(_TIME + rb" \S+ sshd(?:-session|-auth)?[\[ ]")
_JOURNAL = re.compile(rb'\{.*"(?:_COMM|SYSLOG_IDENTIFIER)"\s*:\s*"sshd(?:-session|-auth)?"')
_JOURNALD = re.compile(rb'\{.*"__REALTIME_TIMESTAMP"')
_OWN = frozenset((*EVENT_FIELDS, "type"))
# Each says what it is, and what to do about it.
_UNREADABLE = (
    (b"PK\x03\x04", "is a zip archive: unpack it first"),
    (b"PAR1", "is a Parquet file: export it as NDJSON or CSV"),
    (b"SQLite format 3", "is a database, not a log"),
)


@dataclass(frozen=True, slots=True)
class Detection:
    """The name of a format, and a clause that says why: "line 3 is sshd's"."""

    format: str
    why: str


def detect(first_lines: Sequence[bytes], unit: str = "line") -> Detection | None:
    """Return the format of a log that begins with these lines (without their ends); None if it is not known.

    The first line that has a format's marks decides; a log in syslog form whose first lines are other programs' is
    taken for sshd's. `unit` is what the lines are called: records of a JSON document are given as lines too.

    >>> detect([b"Mar  4 09:15:27 gate01 sshd[4021]: Server listening on :: port 22."])
    Detection(format='sshd', why="line 1 is sshd's")
    """
    filled = [(number, line.strip()) for number, line in enumerate(first_lines, 1) if line.strip()]
    if not filled:
        return Detection("ndjson", "it is empty")
    first = filled[0][1]
    if _is_header(first):
        return Detection("csv", "its first line names the columns of an event")
    vendors = [(name, reader_of(built_in(name), first)) for name in MAPPED]
    for number, line in filled:
        for format, is_marked, why in _MARKS:
            if is_marked(line):
                return Detection(format, f"{unit} {number} {why}")
        for name, records in vendors:
            if any(any_holds(built_in(name).detect, record) for record in _parts(records, line)):
                return Detection(name, f"{unit} {number} is of the form of {MAPPED[name]}")
    return _guess(first)


def _guess(first: bytes) -> Detection | None:
    """Return what a log may be of which no line had a format's marks."""
    if _SYSLOG.match(first):
        return Detection("sshd", "its first line is of syslog's form")
    if _JOURNALD.match(first):
        return Detection("sshd", "its first line is journald's")
    return Detection("ndjson", "its first line begins with a brace") if first.startswith(b"{") else None


def _parts(records: Callable[[bytes], Records], line: bytes) -> Sequence[Record]:
    try:
        found = records(line)
    except InvalidInput:
        return ()
    return () if isinstance(found, Skip) else found


def unreadable(beginning: bytes) -> str | None:
    """Return why a file that begins with these bytes cannot be read as text, None if it can."""
    return next((why for magic, why in _UNREADABLE if beginning.startswith(magic)), None)


def _is_sshd(line: bytes) -> bool:
    return _SSHD.match(line) is not None or _JOURNAL.match(line) is not None


def _is_own(line: bytes) -> bool:
    """Return whether a line is an event or report as riskengine writes them, right or wrong in its values.

    Vendors too write `user_id` and `ip`, among more that we do not.
    """
    if not line.startswith(b"{"):
        return False
    try:
        body = decode(line)
    except InvalidInput:
        return False
    if not isinstance(body, dict):
        return False
    is_event = {"user_id", "ip"} <= body.keys() and 2 * len(body.keys() & _OWN) >= len(body)
    return is_event or {"type", "event_id", "result"} <= body.keys()


def _is_header(line: bytes) -> bool:
    if line.startswith((b"{", b"[")):
        return False
    try:
        Header(line)
    except InvalidInput:
        # One wrong column does not make it another format; the reader says what is wrong.
        cells = set(re.split(rb'[,;\t"]+', line))
        return {b"user_id", b"ip"} <= cells
    return True


_MARKS: tuple[tuple[str, Callable[[bytes], bool], str], ...] = (
    ("sshd", _is_sshd, "is sshd's"),
    ("ndjson", _is_own, "is riskengine's own NDJSON"),
)
