"""Logs in, items out: opens each, tells its format and turns its lines into events and reports."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from riskengine.errors import Fault, InvalidInput
from riskengine.readers.detect import detect, unreadable
from riskengine.readers.lines import STDIN, Raw, lines, open_log
from riskengine.readers.log import Parser, Read, Rejected, Skip, Skipped
from riskengine.readers.ndjson import Ndjson
from riskengine.readers.sshd import Sshd
from riskengine.readers.stamp import Clock, first_year, make_clock
from riskengine.readers.table import Table

AUTO = "auto"
FIRST_LINES = 200
_TEXT_LIMIT = 65_536
_OVERLONG_TEXT = 1024


@dataclass(frozen=True, slots=True)
class Source:
    """One log: its name as given, the format it is read as, and a clause that says why."""

    name: str
    format: str
    why: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A log that is ready to be read; `kept` is its stream where it cannot be opened a second time."""

    source: Source
    path: str
    clock: Clock
    kept: IO[bytes] | None


class Log:
    """Several logs, opened and told apart, to be read once, in the order given."""

    def __init__(self, opened: Sequence[Opened]) -> None:
        self.sources = tuple(one.source for one in opened)
        self._opened = opened
        # Is offered each line of riskengine's own NDJSON, with the place of its source among `sources`, and says whether
        # it takes the line, which then yields nothing.
        self.takes: Callable[[Raw, int], bool] | None = None

    def __iter__(self) -> Iterator[Read | Rejected | Skipped]:
        """Yield each line's items in order, a Rejected for each bad line, and each source's Skipped at its end."""
        for at, one in enumerate(self._opened):
            with one.kept or open_log(one.path) as stream:
                stream.seek(0)
                parser = FORMATS[one.source.format](stream, one.clock)
                stream.seek(0)
                yield from _items(one.source.name, parser, self._left(lines(stream), at))

    def _left(self, log: Iterator[Raw], at: int) -> Iterator[Raw]:
        """Return the lines of a source that nobody else takes."""
        takes = self.takes
        if takes is None or self.sources[at].format != "ndjson":
            return log
        return (raw for raw in log if not takes(raw, at))


def read(paths: Sequence[str], format: str = AUTO, year: int | None = None, tz: str | None = None) -> Log:
    """Return the logs at `paths` (`-`: standard input), each opened and its format known, before any line is read.

    `format` is one of FORMATS, or `auto` to tell each log's by its first lines. For local times without a year or zone,
    `year` is that of each log's last line (default: by when the file was last written) and `tz` an IANA zone name
    (default UTC). Raise OSError for a log that cannot be opened, and InvalidInput naming a log whose format is not
    known, or the argument that is wrong.
    """
    if format != AUTO and format not in FORMATS:
        raise InvalidInput([Fault("format", f"must be one of {', '.join((AUTO, *FORMATS))}")])
    make_clock(year, tz, None)  # a wrong argument is refused even where there is no log
    return Log([_open(path, format, year, tz) for path in paths])


def _open(path: str, format: str, year: int | None, tz: str | None) -> Opened:
    is_file = path != STDIN and Path(path).is_file()
    stream = open_log(path)
    try:
        source = _source(path, stream, format)
    except InvalidInput:
        stream.close()
        raise
    if is_file:  # reopened when its turn comes, so that any number of logs can be named
        stream.close()
    clock = make_clock(year, tz, Path(path).stat().st_mtime if is_file else None)
    return Opened(source, path, clock, None if is_file else stream)


def _source(path: str, stream: IO[bytes], format: str) -> Source:
    name = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    beginning = stream.read(4)
    why_not = unreadable(beginning)
    if why_not:
        raise InvalidInput([Fault(name, why_not)])
    stream.seek(0)
    if format != AUTO:
        return Source(name, format, "it was named")
    found = detect([raw.line for raw in islice(lines(stream), FIRST_LINES)])
    if found is None:
        raise InvalidInput([Fault(name, f"is in no format known here; name one of {', '.join(FORMATS)}")])
    return Source(name, found.format, found.why)


def _items(source: str, parser: Parser, log: Iterator[Raw]) -> Iterator[Read | Rejected | Skipped]:
    skipped: Counter[Skip] = Counter()
    for raw in log:
        if not raw.line.strip():
            continue
        try:
            _refuse_unreadable(raw)
            found = parser.parse(raw.line, raw.ended)
        except InvalidInput as error:
            yield Rejected(source, raw.number, _reason(error), _text(raw))
            continue
        if isinstance(found, Skip):
            skipped[found] += 1
        else:
            for item in found:
                yield Read(source, raw.number, item)
    for reason, count in skipped.items():
        yield Skipped(source, reason, count)


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


def _read_ndjson(stream: IO[bytes], clock: Clock) -> Parser:
    return Ndjson()


def _read_csv(stream: IO[bytes], clock: Clock) -> Parser:
    return Table()


def _read_sshd(stream: IO[bytes], clock: Clock) -> Parser:
    return Sshd(clock.zone, first_year(lines(stream), clock))


# A format's name and what makes its parser, from the log (to look ahead in) and its clock.
FORMATS: dict[str, Callable[[IO[bytes], Clock], Parser]] = {
    "ndjson": _read_ndjson,
    "csv": _read_csv,
    "sshd": _read_sshd,
}
