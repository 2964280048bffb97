"""Logs in, items out: opens each, tells its format and turns its lines into events and reports."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO

from riskengine.errors import Fault, InvalidInput
from riskengine.event import Event, Report
from riskengine.readers.alias import Aliases, known_by, read_aliases
from riskengine.readers.detect import Detection, detect, unreadable
from riskengine.readers.elements import Envelopes, elements, is_document
from riskengine.readers.formats import FORMATS, MAPPED, built_in, with_user_field
from riskengine.readers.lines import STDIN, Raw, lines, open_log
from riskengine.readers.log import Found, Parser, Read, Rejected, Skip, Skipped
from riskengine.readers.mapped import Mapped
from riskengine.readers.mapping import LogMapping, parse_mapping
from riskengine.readers.ndjson import Ndjson
from riskengine.readers.packed import damage
from riskengine.readers.record import is_table, reader_of
from riskengine.readers.rows import rows
from riskengine.readers.sshd import Sshd
from riskengine.readers.stamp import Clock, first_year, make_clock
from riskengine.readers.table import Table

AUTO = "auto"
FIRST_LINES = 200
# riskengine's own, whose writers can tell of every step-up how it ended.
_REPORTING = ("ndjson", "csv")
# A tuple, because a union of types would be made anew for each line.
_ITEMS = (Event, Report)
_TEXT_LIMIT = 65_536
_OVERLONG_TEXT = 1024
# A mapping is a page or two.
_LONGEST_MAPPING = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """One log: its name as given, the format it is read as, and a clause that says why."""

    name: str
    format: str
    why: str


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
            first = next((raw.line for raw in _ahead(self.split(stream)) if raw.line.strip()), b"")
            return Mapped(self.mapping, reader_of(self.mapping, first), self.clock.zone)
        if self.source.format == "sshd":
            return Sshd(self.clock.zone, first_year(_ahead(self.split(stream)), self.clock))
        return Table() if self.source.format == "csv" else Ndjson()


class Log:
    """Several logs, opened and told apart, to be read once, in the order given."""

    def __init__(self, opened: Sequence[Opened], aliases: Aliases) -> None:
        self.sources = tuple(one.source for one in opened)
        self._opened, self._aliases = opened, aliases
        # Is offered each line of riskengine's own NDJSON, with the place of its source among `sources`, and says
        # whether it takes the line, which then yields nothing.
        self.takes: Callable[[Raw, int], bool] | None = None

    def __iter__(self) -> Iterator[Read | Rejected | Skipped]:
        """Yield each line's items in order, a Rejected for each bad line, and each source's Skipped at its end."""
        for at, one in enumerate(self._opened):
            with one.kept or open_log(one.path) as stream:
                stream.seek(0)
                parser = one.parser(stream)
                stream.seek(0)
                yield from _items(one, parser, self._left(one.split(stream), at), stream, self._aliases)

    def _left(self, log: Iterator[Raw], at: int) -> Iterator[Raw]:
        """Return the lines of a source that nobody else takes."""
        takes = self.takes
        if takes is None or self._aliases or self.sources[at].format != "ndjson":
            return log
        return (raw for raw in log if not takes(raw, at))


def read(
    paths: Sequence[str],
    format: str = AUTO,
    year: int | None = None,
    tz: str | None = None,
    reading: Reading | None = None,
) -> Log:
    """Return the logs at `paths` (`-`: standard input), each opened and its format known, before any line is read.

    `format` is one of FORMATS, or `auto` to tell each log's by its first lines. For local times without a year or zone,
    `year` is that of each log's last line (default: by when the file was last written) and `tz` an IANA zone name
    (default UTC). Raise OSError for a log that cannot be opened, and InvalidInput naming a log whose format is not
    known, or the argument that is wrong.
    """
    if format != AUTO and format not in FORMATS:
        raise InvalidInput([Fault("format", f"must be one of {', '.join((AUTO, *FORMATS))}")])
    make_clock(year, tz, None)  # a wrong argument is refused even where there is no log
    reading = reading or Reading()
    if reading.user_field is not None and reading.mapping is None and format not in (AUTO, *MAPPED):
        raise InvalidInput([Fault("--user-field", f"is for logs read by a mapping, not for {format}")])
    return Log([_open(path, format, year, tz, reading) for path in paths], reading.aliases)


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


def _open(path: str, format: str, year: int | None, tz: str | None, reading: Reading) -> Opened:
    is_file = path != STDIN and Path(path).is_file()
    stream = open_log(path)
    try:
        make = _told(path, stream, format, reading)
    except InvalidInput:
        stream.close()
        raise
    if is_file:  # reopened when its turn comes, so that any number of logs can be named
        stream.close()
    clock = make_clock(year, tz, Path(path).stat().st_mtime if is_file else None)
    return make(clock, None if is_file else stream)


def _told(path: str, stream: IO[bytes], format: str, reading: Reading) -> Callable[[Clock, IO[bytes] | None], Opened]:
    """Return what makes an Opened of a log, once its format is told by its beginning."""
    name = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    stream.seek(0)
    why_not = unreadable(stream.read(16))
    if why_not:
        raise InvalidInput([Fault(name, why_not)])
    stream.seek(0)
    first = [raw.line for raw in islice(lines(stream), FIRST_LINES)]
    unit, split = "line", lines
    if is_document(next((line for line in first if line.strip()), b"")):
        unit, split = "record", partial(elements, envelopes=_envelopes(reading.mapping))
        stream.seek(0)
        first = [raw.line for raw in islice(_ahead(split(stream)), FIRST_LINES)]
    if reading.mapping is not None:
        found: Detection | None = Detection("mapped", "a mapping was given")
    elif format != AUTO:
        found = Detection(format, "it was named")
    else:
        found = detect(first, unit)
    if found is None:
        raise InvalidInput([Fault(name, f"is in no format known here; name one of {', '.join(FORMATS)}")])
    source = Source(name, found.format, found.why)
    mapping = reading.mapping or (built_in(found.format) if found.format in MAPPED else None)
    if mapping is not None and reading.user_field is not None:
        mapping = with_user_field(mapping, reading.user_field)
    if mapping is not None and is_table(mapping, next((line for line in first if line.strip()), b"")):
        split = _rows

    def opened(clock: Clock, kept: IO[bytes] | None) -> Opened:
        return Opened(source, path, clock, kept, mapping, split)

    return opened


def _rows(stream: IO[bytes]) -> Iterator[Raw]:
    return rows(lines(stream))


def _envelopes(own: LogMapping | None) -> Envelopes:
    mappings = [own] if own is not None else [built_in(name) for name in MAPPED]
    return frozenset(path for mapping in mappings for path in mapping.records)


def _ahead(log: Iterator[Raw]) -> Iterator[Raw]:
    """Yield what can be read of a log before it is read: a missing end is told then."""
    with suppress(InvalidInput):
        yield from log


def _items(
    one: Opened, parser: Parser, log: Iterator[Raw], stream: IO[bytes], aliases: Aliases
) -> Iterator[Read | Rejected | Skipped]:
    skipped: Counter[Skip] = Counter()
    name, reporting = one.source.name, one.source.format in _REPORTING
    number = 1
    try:
        for raw in log:
            number, line, _, _ = raw
            if not line or line.isspace():
                continue
            for found in _found(parser, raw):
                if isinstance(found, _ITEMS):
                    yield Read(name, number, known_by(found, aliases) if aliases else found, reporting)
                elif isinstance(found, Skip):
                    skipped[found] += 1
                else:
                    yield Rejected(name, number, _reason(found), _text(raw))
        if broken := damage(stream):
            raise InvalidInput([Fault("", broken)])
    except InvalidInput as error:  # of where the log ends
        yield Rejected(name, number, _reason(error), "")
    for reason, count in skipped.items():
        yield Skipped(name, reason, count)


def _found(parser: Parser, raw: Raw) -> Sequence[Found]:
    try:
        if raw.overlong or b"\0" in raw.line:
            _refuse_unreadable(raw)
        found = parser.parse(raw.line, raw.ended)
    except InvalidInput as error:
        return (error,)
    return (found,) if isinstance(found, Skip) else found


def _refuse_unreadable(raw: Raw) -> None:
    if raw.overlong:
        raise InvalidInput([Fault("", "is longer than 1 MiB")])
    if b"\0" in raw.line:
        raise InvalidInput([Fault("", "holds a NUL byte")])


def _reason(error: InvalidInput) -> str:
    """Return what is wrong as one sentence: fields by their pointers, the rest as the line's."""
    return "; ".join(f"{fault.pointer or 'the line'} {fault.detail}" for fault in error.faults)


def _text(raw: Raw) -> str:
    text = raw.line[:_TEXT_LIMIT].decode(errors="backslashreplace")
    return text[: _OVERLONG_TEXT if raw.overlong else _TEXT_LIMIT]
