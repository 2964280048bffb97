"""Where rows go: standard output, or a file that appears only when it is whole."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Protocol

STDOUT = "-"


class Sink(Protocol):
    """What takes the bytes of rows."""

    def write(self, data: bytes | memoryview, /) -> object: ...


class _ReaderGone(Exception):
    """Whoever read our standard output has stopped: `riskengine … | head`."""


class Target:
    """A stream of bytes that is open for writing, and knows a reader who has gone from any other failure."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._written = stream, 0

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data`, and return how many bytes that were."""
        try:
            self._stream.write(data)
        except BrokenPipeError as error:
            raise _ReaderGone from error
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how many bytes were written: a pipe cannot tell."""
        return self._written

    def flush(self) -> None:
        """Pass on what was written."""
        try:
            self._stream.flush()
        except BrokenPipeError as error:
            raise _ReaderGone from error


@contextmanager
def open_target(target: str | Path) -> Iterator[Target]:
    """Open `target` for bytes; `-` is standard output.

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
        yield stream


@contextmanager
def _stdout() -> Iterator[Target]:
    target = Target(sys.stdout.buffer)
    try:
        yield target
        target.flush()
    except _ReaderGone:
        # Point standard output at nothing, so that what it still holds makes no noise when Python ends.
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


@contextmanager
def _special(path: Path) -> Iterator[Target]:
    stream = path.open("wb")
    target = Target(stream)
    try:
        yield target
        target.flush()
    except _ReaderGone:
        pass  # the block ends here, quietly
    finally:
        with suppress(BrokenPipeError):  # what the pipe did not take goes with it
            stream.close()


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def _replacing(path: Path) -> Iterator[Target]:
    """Open a temporary file in the folder of `path`, which it becomes, on disk, when all went well."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder")
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
        part = Path(stream.name)
        try:
            yield Target(stream)
            stream.flush()
            os.fsync(stream.fileno())
            if path.exists():
                part.chmod(stat.S_IMODE(path.stat().st_mode))
            part.replace(path)
        except BaseException:
            part.unlink()
            raise
