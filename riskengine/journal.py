"""The journal: what was answered but could not be stored yet, sealed and synced to a file until it can be.

A file begins with a magic number and an id of its own; then each record: length and CRC-32 of what follows
(4 bytes each, big-endian), and the record, sealed for this file and its place in it. One process writes a file and
holds a lock on it; a file whose lock is free was left by a process that ended, and the next one adopts it.
"""

import fcntl
import math
import os
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from riskengine.errors import StoreUnavailable
from riskengine.seal import Seal, SealBroken

_log = structlog.get_logger(__name__)
MAGIC = b"rkj1"
SUFFIX = ".journal"
# What becomes of a file with records that cannot be read: it is kept for a person to look at.
DAMAGED = ".damaged"
# All that may lie in the folder.
JOURNAL_FILES = (f"*{SUFFIX}", f"*{DAMAGED}")
CHUNK = 256
_ID_BYTES = 16
_HEAD_BYTES = len(MAGIC) + _ID_BYTES
_FRAME_BYTES = 8
# Less than this is no sealed record: a stretch of zeros, say, that a crash left behind.
_SEALED_BYTES = 33
# Of a sealed record: schema and key id.
KEY_HEAD_BYTES = 5


@dataclass(slots=True)
class _File:
    """An open file whose lock is ours; `end` is where its intact records end, `read` how far they were drained."""

    path: Path
    descriptor: int
    id: bytes
    end: int = _HEAD_BYTES
    written: int = 0
    read: int = _HEAD_BYTES
    drained: int = 0
    damaged: bool = False
    foreign: bool = False  # adopted: what it holds was written by another process

    def row(self, number: int) -> bytes:
        """Return what the record of this number is sealed for: no other file, no other place in it."""
        return self.id + number.to_bytes(8)

    def frame(self) -> bytes | None:
        """Return the sealed record at `read` and step over it; None if its checksum is wrong."""
        head = os.pread(self.descriptor, _FRAME_BYTES, self.read)
        length, checksum = int.from_bytes(head[:4]), int.from_bytes(head[4:])
        sealed = os.pread(self.descriptor, length, self.read + _FRAME_BYTES)
        self.read += _FRAME_BYTES + length
        self.drained += 1
        return sealed if zlib.crc32(sealed) == checksum else None


class Journal:
    """Records kept in `folder` until they are drained. Safe to share between threads, not across a fork.

    `torn` counts the last records that were cut short by a crash and so cut off, `damaged` those that can no longer
    be read; StoreUnavailable if the folder cannot be made or read.
    """

    def __init__(self, folder: Path, seal: Seal) -> None:
        self._folder, self._seal = folder, seal
        self._lock = threading.Lock()
        self._drain_lock = threading.Lock()
        self._current: _File | None = None
        self._left: list[_File] = []
        self._closed = False
        self.torn = 0
        self.damaged = 0
        with _possible("opened"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._adopt()

    def append(self, records: Sequence[bytes]) -> None:
        """Keep the records, in order; on return they are on disk. StoreUnavailable if they are not, none of them."""
        if not records:
            return
        with self._lock, _possible("written"):
            if self._closed:
                raise StoreUnavailable("the journal is closed")
            if self._current is None:
                self._current = self._create()
            self._write(self._current, records)

    def prove(self) -> None:
        """Raise StoreUnavailable unless a record could be kept now: a file is made, written, synced and removed."""
        with self._lock, _possible("written"):
            file = self._create()
            file.path.unlink()
            os.close(file.descriptor)

    def drain(self, save: Callable[[list[bytes]], None], seconds: float = math.inf, at_once: int = CHUNK) -> int:
        """Hand every record to `save`, oldest first, so many at once; return how many it took.

        After `seconds` nothing further is begun, and what is left waits for the next time.

        What `save` accepts is removed; when it raises, that chunk and the rest stay, and the exception passes on.
        After a crash in between, records come again: saving must be idempotent. Records appended meanwhile wait
        for the next time.
        """
        taken, end = 0, time.monotonic() + seconds
        with self._drain_lock:
            with _possible("read"):
                files = self._retired()
            for file in files:
                while file.drained < file.written:
                    taken += self._drain_chunk(file, save, at_once)
                    if file.drained < file.written and time.monotonic() > end:
                        return taken
                with _possible("removed"):
                    self._remove(file)
        return taken

    def waiting(self) -> Iterator[bytes]:
        """Yield what ended processes left, oldest first, all but unreadable records; it goes on waiting."""
        with self._drain_lock, _possible("read"):
            for file in [replace(file) for file in self._left if file.foreign]:
                while file.drained < file.written:
                    row = file.row(file.drained)
                    sealed = file.frame()
                    record = None if sealed is None else self._opened(sealed, row)
                    if record is not None:
                        yield record

    def pending(self) -> int:
        """Return how many records wait, those of ended processes included as far as they were seen."""
        with self._lock:
            files = [*self._left, self._current] if self._current else self._left
            return sum(file.written - file.drained for file in files)

    def foreign(self) -> int:
        """Return how many of the records that wait were written by processes that have ended."""
        with self._lock:
            return sum(file.written - file.drained for file in self._left if file.foreign)

    def close(self) -> None:
        """Let go of the files; what waits in them is for the next process."""
        with self._drain_lock, self._lock:
            self._closed = True
            for file in [*self._left, self._current] if self._current else self._left:
                if file.written == 0 and not file.damaged:
                    file.path.unlink(missing_ok=True)
                os.close(file.descriptor)
            self._left, self._current = [], None

    def _create(self) -> _File:
        """Return a new file, locked, its name on disk. Names sort by age."""
        while True:
            path = self._folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}{SUFFIX}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            if not _locked(descriptor) or not _is_at(descriptor, path):
                # Another process took the newborn for an orphan; it will find it empty and remove it, or has done so.
                os.close(descriptor)
                continue
            file = _File(path, descriptor, secrets.token_bytes(_ID_BYTES))
            try:
                _write_all(descriptor, MAGIC + file.id, 0)
                os.fsync(descriptor)
                self._sync_folder()
            except OSError:
                path.unlink()
                os.close(descriptor)
                raise
            return file

    def _write(self, file: _File, records: Sequence[bytes]) -> None:
        frames = bytearray()
        for number, record in enumerate(records, file.written):
            sealed = self._seal.seal(record, "", "journal", file.row(number))
            frames += len(sealed).to_bytes(4) + zlib.crc32(sealed).to_bytes(4) + sealed
        try:
            _write_all(file.descriptor, bytes(frames), file.end)
        except OSError:
            # What was begun is no record yet. Should it stay, the next one is written over it.
            with suppress(OSError):
                os.ftruncate(file.descriptor, file.end)
            raise
        try:
            os.fdatasync(file.descriptor)
        except OSError:
            # After a failed sync nobody knows what is on disk: no more goes into this file, and what it surely had
            # waits to be drained.
            with suppress(OSError):
                os.ftruncate(file.descriptor, file.end)
            self._left.append(file)
            self._current = None
            raise
        file.end += len(frames)
        file.written += len(records)

    def _retired(self) -> list[_File]:
        """Return every file that is ours to drain, oldest first; appending goes on in a new one."""
        self._adopt()
        with self._lock:
            if self._current is not None:
                self._left.append(self._current)
                self._current = None
            return sorted(self._left, key=lambda file: file.path.name)

    def _drain_chunk(self, file: _File, save: Callable[[list[bytes]], None], most: int) -> int:
        """Hand the next records of a file to `save`; return how many. On an exception the file is as before."""
        before = file.read, file.drained, file.damaged, self.damaged
        try:
            with _possible("read"):
                records = self._next(file, most)
            if records:
                self._hand_over(file, records, save)
        except BaseException:
            file.read, file.drained, file.damaged, self.damaged = before
            raise
        return len(records)

    def _hand_over(self, file: _File, records: list[bytes], save: Callable[[list[bytes]], None]) -> None:
        """Give records to `save`, one by one if it breaks over some: those count as damaged and are kept."""
        try:
            save(records)
            return
        except (StoreUnavailable, OSError):  # not the records' doing
            raise
        except Exception as error:
            if len(records) == 1:
                _log.error("journal_record_refused", cause=type(error).__name__, file=file.path.name)
                file.damaged = True
                self.damaged += 1
                return
        for record in records:
            self._hand_over(file, [record], save)

    def _next(self, file: _File, most: int) -> list[bytes]:
        """Return up to `most` records of a file, opened, and step over them."""
        records: list[bytes] = []
        while file.drained < file.written and len(records) < most:
            row = file.row(file.drained)
            sealed = file.frame()
            record = None if sealed is None else self._opened(sealed, row)
            if record is None:
                file.damaged = True
                self.damaged += 1
            else:
                records.append(record)
        return records

    def _opened(self, sealed: bytes, row: bytes) -> bytes | None:
        try:
            return self._seal.open(sealed, "", "journal", row)
        except SealBroken:
            # Counted, and the file is kept: one bad record must not hold up all that come after it.
            return None

    def _remove(self, file: _File) -> None:
        if file.damaged:
            file.path.rename(file.path.with_suffix(DAMAGED))
        else:
            file.path.unlink(missing_ok=True)
        self._sync_folder()
        with self._lock:
            self._left.remove(file)
        os.close(file.descriptor)

    def _adopt(self) -> None:
        """Take over the files whose writers have ended."""
        with self._lock:
            ours = {file.path for file in (*self._left, self._current) if file}
            for path in sorted(self._folder.glob(f"*{SUFFIX}")):
                if path not in ours:
                    file = self._adopted(path)
                    if file is not None:
                        self._left.append(file)

    def _adopted(self, path: Path) -> _File | None:
        """Return a file that nobody holds, its records counted and a torn end cut off; None if there is none."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None  # drained by its owner meanwhile
        if not _locked(descriptor) or not _is_at(descriptor, path):
            os.close(descriptor)
            return None
        head = os.pread(descriptor, _HEAD_BYTES, 0)
        file = _File(path, descriptor, head[len(MAGIC) :], foreign=True)
        size = os.fstat(descriptor).st_size
        if len(head) < _HEAD_BYTES or not head.startswith(MAGIC):
            # Cut short at birth, before any record; anything longer is no journal of ours and is kept aside.
            file.damaged = size > _HEAD_BYTES
            return file
        while file.end < size:
            length = _intact(descriptor, file.end, size)
            if length is None:
                self.torn += 1
                os.ftruncate(descriptor, file.end)
                os.fsync(descriptor)
                break
            file.end += length
            file.written += 1
        return file

    def _sync_folder(self) -> None:
        """Make what was created or removed in the folder survive a power cut."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _possible(done: str) -> Iterator[None]:
    """Turn what the file system refuses into StoreUnavailable."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"the journal cannot be {done} ({error.strerror})") from error


def _intact(descriptor: int, at: int, size: int) -> int | None:
    """Return the length of the frame at `at`, None if it is torn: it or its checksum ends the file badly.

    A wrong checksum further up is not a torn write; that record alone is given up when it is drained.
    """
    head = os.pread(descriptor, _FRAME_BYTES, at)
    length, checksum = int.from_bytes(head[:4]), int.from_bytes(head[4:])
    end = at + _FRAME_BYTES + length
    if len(head) < _FRAME_BYTES or length < _SEALED_BYTES or end > size:
        return None
    if end == size and zlib.crc32(os.pread(descriptor, length, at + _FRAME_BYTES)) != checksum:
        return None
    return _FRAME_BYTES + length


def _locked(descriptor: int) -> bool:
    """Return whether the file's lock is now ours; it goes when the descriptor is closed or the process ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether `path` still names this file: between opening and locking it may have been drained."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write_all(descriptor: int, content: bytes, at: int) -> None:
    view = memoryview(content)
    while view:
        count = os.pwrite(descriptor, view, at)
        view, at = view[count:], at + count


def key_heads(folder: Path) -> Iterator[bytes]:
    """Yield what each sealed record in `folder` begins with, which says its key; nothing is locked or changed.

    Files that were put aside as damaged are read too. A record that is just being written may be missed.
    """
    for path in sorted(path for pattern in JOURNAL_FILES for path in folder.glob(pattern)):
        with suppress(FileNotFoundError), _possible("read"):
            content = path.read_bytes()
            at = _HEAD_BYTES
            while at + _FRAME_BYTES + _SEALED_BYTES <= len(content):
                yield content[at + _FRAME_BYTES : at + _FRAME_BYTES + KEY_HEAD_BYTES]
                at += _FRAME_BYTES + int.from_bytes(content[at : at + 4])
