"""Logs in, items out: what the lines of several logs hold, one log after another."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO

from riskengine.errors import Fault, InvalidInput
from riskengine.event import Event, Report
from riskengine.readers.alias import Aliases, known_by
from riskengine.readers.formats import FORMATS, MAPPED
from riskengine.readers.lines import Block, Raw, blocks, lines, open_log
from riskengine.readers.log import Found, Parser, Read, Rejected, Skip, Skipped
from riskengine.readers.opened import AUTO, Opened, Reading, open_to_read
from riskengine.readers.packed import damage
from riskengine.readers.stamp import make_clock

# riskengine's own, whose writers can tell of every step-up how it ended.
_REPORTING = ("ndjson", "csv")
# A tuple, because a union of types would be made anew for each line.
_ITEMS = (Event, Report)
_TEXT_LIMIT = 65_536
_OVERLONG_TEXT = 1024


class Log:
    """Several logs, opened and told apart, to be read once, in the order given."""

    def __init__(self, opened: Sequence[Opened], aliases: Aliases) -> None:
        self.sources = tuple(one.source for one in opened)
        self._opened, self._aliases = opened, aliases
        # Is offered the lines of riskengine's own NDJSON, many at a time, with the place of their source among
        # `sources`, and returns those that it leaves; the others yield nothing.
        self.takes: Callable[[Block, int], Iterable[Raw]] | None = None

    def __iter__(self) -> Iterator[Read | Rejected | Skipped]:
        """Yield each line's items in order, a Rejected for each bad line, and each source's Skipped at its end."""
        for at, one in enumerate(self._opened):
            with one.kept or open_log(one.path) as stream:
                stream.seek(0)
                parser = one.parser(stream)
                stream.seek(0)
                yield from _items(one, parser, self._left(one, stream, at), stream, self._aliases)

    def is_offered(self, at: int) -> bool:
        """Return whether the lines of a source are offered to `takes`."""
        is_own = self._opened[at].split is lines and self.sources[at].format == "ndjson"
        return self.takes is not None and is_own and not self._aliases

    def _left(self, one: Opened, stream: IO[bytes], at: int) -> Iterator[Raw]:
        """Return the lines of a source that nobody else takes."""
        if self.takes is None or not self.is_offered(at):
            return one.split(stream)
        takes = self.takes
        return (raw for block in blocks(stream) for raw in takes(block, at))


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
    return Log([open_to_read(path, format, year, tz, reading) for path in paths], reading.aliases)


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
