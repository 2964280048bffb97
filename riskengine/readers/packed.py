"""What logs are packed in: gzip, zstd, bzip2, xz; and UTF-16, which becomes UTF-8. Unpacked as they are read."""

import bz2
import codecs
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable
from typing import IO, Any, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_DAMAGES = (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, zstd.ZstdError)
_MAGIC_BYTES = 6


class _Unpacking(Protocol):
    def read1(self, size: int = -1, /) -> bytes: ...


class _Recoding:
    """UTF-16 read as UTF-8; half a character at the end or in between becomes U+FFFD."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
        self._rest = b""

    def read1(self, size: int = -1, /) -> bytes:
        while not self._rest:
            chunk = self._stream.read(size)
            self._rest = self._decoder.decode(chunk, final=not chunk).encode()
            if not chunk:
                break
        given, self._rest = self._rest[:size], self._rest[size:]
        return given


# How each packing begins, what it is called, and what undoes it.
_PACKINGS: tuple[tuple[bytes, str, Callable[[Any], _Unpacking]], ...] = (
    (b"\x1f\x8b", "gzip", lambda stream: gzip.GzipFile(fileobj=stream, mode="rb")),
    (b"\x28\xb5\x2f\xfd", "zstd", zstd.ZstdFile),
    (b"BZh", "bzip2", bz2.BZ2File),
    (b"\xfd7zXZ\0", "xz", lzma.LZMAFile),
    (b"\xff\xfe", "UTF-16", _Recoding),
    (b"\xfe\xff", "UTF-16", _Recoding),
)


class Unpacked(io.RawIOBase):
    """A packed stream as what it holds; `damage` says afterwards where it was broken, and what came before is given."""

    def __init__(self, stream: IO[bytes], name: str, unpack: Callable[[Any], _Unpacking]) -> None:
        self._stream, self._name, self._unpack = stream, name, unpack
        self.damage: str | None = None
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Begin again: nothing else is offered."""
        if offset or whence:
            raise io.UnsupportedOperation("only to the beginning")
        self._stream.seek(0)
        self._inner, self.damage = self._unpack(self._stream), None
        return 0

    def readinto(self, buffer: Any, /) -> int:
        if self.damage:
            return 0
        try:
            data = self._inner.read1(len(buffer))
        except _DAMAGES as error:
            torn = isinstance(error, EOFError)
            self.damage = f"{'ends within' if torn else 'is damaged in'} its {self._name} data: the rest is lost"
            return 0
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def unpacked(stream: IO[bytes]) -> IO[bytes]:
    """Return a rewindable stream as what it holds, whatever it is packed in, UTF-16 within a packing included."""
    for _ in range(2):
        stream.seek(0)
        beginning = stream.read(_MAGIC_BYTES)
        stream.seek(0)
        for magic, name, unpack in _PACKINGS:
            if beginning.startswith(magic):
                stream = io.BufferedReader(Unpacked(stream, name, unpack), 1 << 16)
                break
        else:
            break
    return stream


def damage(stream: IO[bytes]) -> str | None:
    """Return what was found broken while a stream was read, None if nothing was."""
    raw = getattr(stream, "raw", None)
    if not isinstance(raw, Unpacked):
        return None
    return raw.damage or damage(raw._stream)
