"""What format a log is in, told from its first lines."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from riskengine.check import decode
from riskengine.errors import InvalidInput
from riskengine.readers.table import Header

_TIME = rb"(?:<\d{1,3}>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|(?:1 )?\d{4}-\d\d-\d\dT)\S*"
_SYSLOG = re.compile(_TIME + rb" \S+ \S")
_SSHD = re.compile(_TIME + rb" \S+ sshd(?:-session|-auth)?[\[ ]")
# Each says what it is, and what to do about it.
_UNREADABLE = (
    (b"\x1f\x8b", "is compressed with gzip: unpack it first, as in `zcat LOG | riskengine replay -`"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it first, as in `zstdcat LOG | riskengine replay -`"),
    (b"BZh", "is compressed with bzip2: unpack it first, as in `bzcat LOG | riskengine replay -`"),
    (b"\xff\xfe", "is in UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "is in UTF-16: save it as UTF-8"),
)


@dataclass(frozen=True, slots=True)
class Detection:
    """The name of a format, and a clause that says why: "line 3 is sshd's"."""

    format: str
    why: str


def detect(first_lines: Sequence[bytes]) -> Detection | None:
    """Return the format of a log that begins with these lines (without their ends); None if it is not known.

    The first line that has a format's marks decides; a log in syslog form whose first lines are other programs' is
    taken for sshd's.

    >>> detect([b"Mar  4 09:15:27 gate01 sshd[4021]: Server listening on :: port 22."])
    Detection(format='sshd', why="line 1 is sshd's")
    """
    filled = [(number, line.strip()) for number, line in enumerate(first_lines, 1) if line.strip()]
    if not filled:
        return Detection("ndjson", "it is empty")
    for number, line in filled:
        for format, is_marked, why in _MARKS:
            if is_marked(line):
                return Detection(format, f"line {number} {why}")
    first = filled[0][1]
    if _is_header(first):
        return Detection("csv", "its first line names the columns of an event")
    if _SYSLOG.match(first):
        return Detection("sshd", "its first line is of syslog's form")
    return Detection("ndjson", "its first line begins with a brace") if first.startswith(b"{") else None


def unreadable(beginning: bytes) -> str | None:
    """Return why a file that begins with these bytes cannot be read as text, None if it can."""
    return next((why for magic, why in _UNREADABLE if beginning.startswith(magic)), None)


def _is_sshd(line: bytes) -> bool:
    return _SSHD.match(line) is not None


def _is_own(line: bytes) -> bool:
    """Return whether a line is an event or report as riskengine writes them, right or wrong in its values."""
    if not line.startswith(b"{"):
        return False
    try:
        body = decode(line)
    except InvalidInput:
        return False
    if not isinstance(body, dict):
        return False
    return {"user_id", "ip"} <= body.keys() or {"type", "event_id", "result"} <= body.keys()


def _is_header(line: bytes) -> bool:
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
