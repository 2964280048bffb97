"""A log as a stream of numbered lines, whatever it holds: bounded memory, any line end, a byte order mark or none."""

import sys
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, NamedTuple

from riskengine.errors import Fault, InvalidInput
from riskengine.readers.packed import unpacked

STDIN = "-"
MAX_LINE = 1 << 20
# What cannot be rewound is copied: in memory up to here, then into a temporary file that has no name.
_SPOOL_BYTES = 64 << 20
_CHUNK = 1 << 16
_BLOCK = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Raw(NamedTuple):
    """One line: its number from 1, its bytes without the line end, and what is known of where it stops.

    `ended` is false where the file stops within the line; of an `overlong` line only the first MAX_LINE bytes are kept.
    """

    number: int
    line: bytes
    ended: bool
    overlong: bool


def named(logs: Sequence[str]) -> list[str]:
    """Return the logs that are named, each once: files as they are, a pattern (`*`, `?`, `**`) as the files it matches
    in order of their names; one that matches none stays as it is.
    """
    found: dict[str, None] = {}
    for log in logs:
        is_pattern = any(character in log for character in "*?[") and not Path(log).exists()
        matches = sorted(glob(log, recursive=True)) if is_pattern else []  # noqa: PTH207 - absolute patterns too
        found |= dict.fromkeys([path for path in matches if not Path(path).is_dir()] or [log])
    return list(found)


def open_log(path: str) -> IO[bytes]:
    """Return a log opened for reading from its start, rewindable; `-` is standard input.

    What cannot be rewound (a pipe, `<(zcat …)`) is read to its end first. What is packed (gzip, zstd, …) is unpacked as
    it is read. Raise OSError as `open` does.
    """
    stream: IO[bytes] = sys.stdin.buffer if path == STDIN else Path(path).open("rb")  # noqa: SIM115
    if path != STDIN and stream.seekable():
        return unpacked(stream)
    spool: IO[bytes] = SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115
    try:
        while chunk := stream.read(_CHUNK):
            spool.write(chunk)
    finally:
        if path != STDIN:
            stream.close()
    return unpacked(spool)


def text_of(line: bytes) -> str:
    """Return a line as text; raise InvalidInput if it is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput([Fault("", f"is not UTF-8 (byte {error.start})")]) from error


def lines(stream: IO[bytes]) -> Iterator[Raw]:
    """Yield the lines from where the stream stands, blank ones included; a byte order mark is dropped.

    >>> from io import BytesIO
    >>> [raw.line for raw in lines(BytesIO(b"one\\r\\n\\ntwo"))]
    [b'one', b'', b'two']
    """
    number = 0
    while chunk := stream.readline(MAX_LINE + 2):
        number += 1
        ended = chunk.endswith(b"\n")
        if ended and number > 1 and len(chunk) <= MAX_LINE:  # what follows, in short
            yield Raw(number, chunk.rstrip(b"\r\n"), True, False)
            continue
        if not ended and len(chunk) == MAX_LINE + 2:
            ended = _pass_over(stream)
        if number == 1:
            chunk = chunk.removeprefix(_BYTE_ORDER_MARK)
        line = chunk.rstrip(b"\r\n")
        yield Raw(number, line[:MAX_LINE], ended, len(line) > MAX_LINE)


class Block(NamedTuple):
    """A run of whole lines, and the number of the first; the last line of a log may lack its end."""

    number: int
    data: bytes


def blocks(stream: IO[bytes]) -> Iterator[Block]:
    """Yield the lines from where the stream stands, many at a time; a byte order mark is dropped.

    Of a line that is longer than MAX_LINE as much is there as tells so.

    >>> from io import BytesIO
    >>> list(blocks(BytesIO(b"one\\r\\n\\ntwo")))
    [Block(number=1, data=b'one\\r\\n\\n'), Block(number=3, data=b'two')]
    """
    number, held, begun = 1, b"", False
    while data := stream.read(_BLOCK):
        data = held + (data if begun else data.removeprefix(_BYTE_ORDER_MARK))
        begun = True
        cut = data.rfind(b"\n") + 1
        held = data[cut:]
        if len(held) > MAX_LINE + 2:
            rest = stream.readline(_CHUNK)
            while rest and not rest.endswith(b"\n"):
                rest = stream.readline(_CHUNK)
            data, held = data[: cut + MAX_LINE + 2] + rest[-1:], b""
            cut = len(data)
        if cut:
            yield Block(number, data[:cut])
            number += data.count(b"\n", 0, cut)
    if held:
        yield Block(number, held)


def _pass_over(stream: IO[bytes]) -> bool:
    """Read on to the end of the line; return whether it has one."""
    while chunk := stream.readline(_CHUNK):
        if chunk.endswith(b"\n"):
            return True
    return False
