"""A log before it is read: opened, its format told, and how it is to be taken apart."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from riskengine.errors import Fault, InvalidInput
from riskengine.readers.alias import Aliases, read_aliases
from riskengine.readers.detect import detect, unreadable
from riskengine.readers.elements import elements, is_document
from riskengine.readers.formats import FORMATS, MAPPED, built_in, with_user_field
from riskengine.readers.lines import STDIN, Raw, lines, open_log
from riskengine.readers.log import Parser
from riskengine.readers.mapped import Mapped
from riskengine.readers.mapping import LogMapping, parse_mapping
from riskengine.readers.ndjson import Ndjson
from riskengine.readers.record import is_table, is_text, reader_of
from riskengine.readers.rows import rows
from riskengine.readers.sshd import Sshd
from riskengine.readers.stamp import Clock, first_year, make_clock
from riskengine.readers.table import Table

AUTO = "auto"
FIRST_LINES = 200
_FIRST_BYTES = 4 << 20
# A mapping is a page or two.
_LONGEST_MAPPING = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """One log: its name as given, the format it is read as, and a clause that says why."""

    name: str
    format: str
    why: str

    def told(self) -> str:
        """Return a line for people that says what the log is taken for."""
        return f"{self.name} read as {self.format}: {self.why}"


@dataclass(frozen=True, slots=True)
class Reading:
    """How logs are to be read: a mapping of one's own, where their users stand (paths, with commas between), and whom
    the names there stand for."""

    mapping: LogMapping | None = None
    user_field: str | None = None
    aliases: Aliases = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opened:
    """A log that is ready to be read; `kept` is its stream where it cannot be opened a second time.

    `split` takes the stream apart: into lines, rows of a table, or records of a JSON document.
    """

    source: Source
    path: str
    clock: Clock
    kept: IO[bytes] | None
    mapping: LogMapping | None
    split: Callable[[IO[bytes]], Iterator[Raw]]

    def parser(self, stream: IO[bytes]) -> Parser:
        """Return what reads the log's lines; it may look ahead in the stream."""
        if self.mapping is not None:
            first = next((raw.line for raw in ahead(self.split(stream)) if raw.line.strip()), b"")
            return Mapped(self.mapping, reader_of(self.mapping, first), self.clock.zone)
        if self.source.format == "sshd":
            return Sshd(self.clock.zone, first_year(ahead(self.split(stream)), self.clock))
        return Table() if self.source.format == "csv" else Ndjson()


def make_reading(mapping: str | None, user_field: str | None, aliases: str | None) -> Reading:
    """Return how to read logs, from files: a mapping in TOML, and aliases in CSV.

    Raise OSError as `open` does, and InvalidInput naming each thing that is wrong.
    """
    own = None
    if mapping is not None:
        with Path(mapping).open("rb") as stream:
            text = stream.read(_LONGEST_MAPPING).decode(errors="replace")
        own = parse_mapping(text, "mapped", mapping)
    if user_field is not None:  # what is no path is refused even where no log needs it
        with_user_field(own or LogMapping("mapped"), user_field)
    return Reading(own, user_field, read_aliases(aliases) if aliases is not None else {})


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a log begins: its first lines, what they are called, and what takes the whole apart alike."""

    unit: str
    lines: list[bytes]
    split: Callable[[IO[bytes]], Iterator[Raw]]

    @property
    def first(self) -> bytes:
        """The first line that is not blank, b"" if all are."""
        return next((line for line in self.lines if line.strip()), b"")


def open_to_read(path: str, format: str, year: int | None, tz: str | None, reading: Reading) -> Opened:
    """Return a log, its format told; raise OSError as `open` does, InvalidInput naming a log that cannot be told."""
    is_file = path != STDIN and Path(path).is_file()
    stream = open_log(path)
    try:
        beginning = _beginning(stream, _named(format, reading))
        source = _source(path, stream, format, reading, beginning)
    except InvalidInput:
        stream.close()
        raise
    if is_file:  # reopened when its turn comes, so that any number of logs can be named
        stream.close()
    clock = make_clock(year, tz, Path(path).stat().st_mtime if is_file else None)
    mapping = _named(source.format, reading)
    split = _rows if mapping is not None and is_table(mapping, beginning.first) else beginning.split
    if mapping is not None and reading.user_field is not None:
        mapping = with_user_field(mapping, reading.user_field)
    return Opened(source, path, clock, None if is_file else stream, mapping, split)


def _named(format: str, reading: Reading) -> LogMapping | None:
    """Return the mapping that a log is read by, None if it is read by none, or it is not known yet."""
    return reading.mapping or (built_in(format) if format in MAPPED else None)


def _beginning(stream: IO[bytes], mapping: LogMapping | None) -> Beginning:
    """Return how a log begins; a mapping of text makes lines of whatever it is."""
    stream.seek(0)
    found = Beginning("line", _first(lines(stream)), lines)
    if (mapping is not None and is_text(mapping)) or not is_document(found.first):
        return found
    mappings = [mapping] if mapping is not None else [built_in(name) for name in MAPPED]
    envelopes = frozenset(path for one in mappings for path in one.records)
    split = partial(elements, envelopes=envelopes)
    stream.seek(0)
    return Beginning("record", _first(ahead(split(stream))), split)


def _first(log: Iterator[Raw]) -> list[bytes]:
    """Return the first lines of a log, few enough to be held."""
    found: list[bytes] = []
    size = 0
    for raw in log:
        found.append(raw.line)
        size += len(raw.line)
        if len(found) == FIRST_LINES or size > _FIRST_BYTES:
            break
    return found


def _source(path: str, stream: IO[bytes], format: str, reading: Reading, beginning: Beginning) -> Source:
    name = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    stream.seek(0)
    why_not = unreadable(stream.read(16))
    if why_not:
        raise InvalidInput([Fault(name, why_not)])
    if reading.mapping is not None:
        return Source(name, "mapped", "a mapping was given")
    if format != AUTO:
        return Source(name, format, "it was named")
    found = detect(beginning.lines, beginning.unit)
    if found is None:
        raise InvalidInput([Fault(name, f"is in no format known here; name one of {', '.join(FORMATS)}")])
    return Source(name, found.format, found.why)


def _rows(stream: IO[bytes]) -> Iterator[Raw]:
    return rows(lines(stream))


def ahead(log: Iterator[Raw]) -> Iterator[Raw]:
    """Yield what can be read of a log before it is read: a missing end is told then."""
    with suppress(InvalidInput):
        yield from log
