"""NDJSON out: one compact JSON line a row, to standard output or to a file that appears only when it is whole."""

import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

import msgspec

STDOUT = "-"


class _ReaderGone(Exception):
    """Whoever read our standard output has stopped: `riskengine … | head`."""


class Ndjson:
    """Writes rows to a stream of bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._encode = msgspec.json.Encoder().encode

    def write(self, row: Mapping[str, Any]) -> None:
        """Write one row as a line of UTF-8: keys in the order given, None and NaN as null, other numbers exactly."""
        self.write_lines([self._encode(row) + b"\n"])

    def write_lines(self, lines: Sequence[bytes]) -> None:
        """Write rows that are lines already."""
        try:
            self._stream.write(b"".join(lines))
        except BrokenPipeError as error:
            raise _ReaderGone from error


@contextmanager
def open_ndjson(target: str | Path) -> Iterator[Ndjson]:
    """Open `target` for NDJSON rows; `-` is standard output.

    A file is written beside its place and takes it when the block ends without an exception; otherwise what stood there
    stays. It can be read by its owner only, unless it replaces a file that others could read. What is no file (a named
    pipe, /dev/null) is written straight. When the reader of a pipe has gone, the block ends there, quietly. Raise
    OSError where the target cannot be written.
    """
    if str(target) == STDOUT:
        opened = _stdout()
    elif _is_special(Path(target)):
        opened = _special(Path(target))
    else:
        opened = _replacing(Path(target).resolve())
    with opened as stream:
        yield Ndjson(stream)


@contextmanager
def _stdout() -> Iterator[IO[bytes]]:
    try:
        yield sys.stdout.buffer
        _flush(sys.stdout.buffer)
    except _ReaderGone:
        # Point standard output at nothing, so that what it still holds makes no noise when Python ends.
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


@contextmanager
def _special(path: Path) -> Iterator[IO[bytes]]:
    stream = path.open("wb")
    try:
        yield stream
        _flush(stream)
    except _ReaderGone:
        pass  # the block ends here, quietly
    finally:
        with suppress(BrokenPipeError):  # what the pipe did not take goes with it
            stream.close()


def _flush(stream: IO[bytes]) -> None:
    try:
        stream.flush()
    except BrokenPipeError as error:
        raise _ReaderGone from error


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file in the folder of `path`, which it becomes, on disk, when all went well."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder")
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
        part = Path(stream.name)
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if path.exists():
                part.chmod(stat.S_IMODE(path.stat().st_mode))
            part.replace(path)
        except BaseException:
            part.unlink()
            raise
