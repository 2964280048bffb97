"""A backup as a file: what it holds, what it needs beside it, and a checksum of each part."""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from riskengine.errors import DataError

FORMAT = 1
MANIFEST = "manifest.json"
# The parts, by their names in the file; `journal/` holds any number.
DATABASES = {"sqlite": "database.db", "postgresql": "database.dump"}
KEYS, JOURNAL = "keys.json", "journal"
POLICIES = {"policy.toml": "RISKENGINE_POLICY", "shadow-policy.toml": "RISKENGINE_SHADOW_POLICY"}
_MOST_MANIFEST = 1 << 20
_STRETCH = 1 << 20


class Part(msgspec.Struct, frozen=True):
    """Size and SHA-256 of one part."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. `check` is what the database keeps to know its keys by (hex; it reveals none of them),
    `keys` are the ids of all that its contents were sealed with; `counts` rows by table, and records of journals."""

    format: int
    version: str
    made_at: str
    database: str
    schema: str
    counts: Mapping[str, int]
    check: str
    keys: Sequence[str]
    settings: Sequence[str]
    geo: Sequence[str]
    parts: Mapping[str, Part]

    @property
    def holds_keys(self) -> bool:
        """Whether the keys are in the file, so that it opens by itself."""
        return KEYS in self.parts


def write(target: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Write a backup to `target`, for its owner alone; `files` are its parts. On return it is on disk."""
    with _private(target) as file, tarfile.open(fileobj=file, mode="w") as tar:
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        _add(tar, MANIFEST, len(text), io.BytesIO(text))
        for name, path in files.items():
            with path.open("rb") as content:
                _add(tar, name, path.stat().st_size, content)
        tar.close()
        file.flush()
        os.fsync(file.fileno())


def part_of(path: Path) -> Part:
    """Return size and checksum of a file."""
    with path.open("rb") as file:
        return Part(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


class Archive:
    """A backup that is read. DataError, naming the file, for what is none or is damaged."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self._path, self._tar = path, tar
        try:
            with self._member(MANIFEST) as file:
                self.manifest = msgspec.json.decode(file.read(_MOST_MANIFEST), type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._damaged("its manifest cannot be read") from error
        manifest = self.manifest
        if manifest.format != FORMAT:
            raise DataError(f"{path} is a backup of format {manifest.format}; this version reads {FORMAT}")
        known = {DATABASES.get(manifest.database), KEYS, *POLICIES}
        if not all(name in known or is_journal(name) for name in manifest.parts):
            raise self._damaged("it names parts that no backup has")

    def extract(self, name: str, target: Path) -> None:
        """Write a part to `target`, for its owner alone, on disk on return; DataError unless it is as it was made."""
        with self._member(name) as content, _private(target) as file:
            digest, size = hashlib.sha256(), 0
            for stretch in iter(lambda: content.read(_STRETCH), b""):
                digest.update(stretch)
                size += file.write(stretch)
            file.flush()
            os.fsync(file.fileno())
        if Part(size, digest.hexdigest()) != self.manifest.parts[name]:
            raise self._damaged(f"{name} is not what was backed up")

    def text(self, name: str) -> bytes:
        """Return a small part; DataError unless it is as it was made."""
        with self._member(name) as file:
            content = file.read()
        if Part(len(content), hashlib.sha256(content).hexdigest()) != self.manifest.parts[name]:
            raise self._damaged(f"{name} is not what was backed up")
        return content

    @contextmanager
    def _member(self, name: str) -> Iterator[IO[bytes]]:
        try:
            file = self._tar.extractfile(name)
            if file is None:
                raise self._damaged(f"{name} is no file")
            with file:
                yield file
        except (KeyError, tarfile.TarError, EOFError) as error:
            raise self._damaged(f"{name} is missing or cut short") from error

    def _damaged(self, why: str) -> DataError:
        return DataError(f"{self._path} is no riskengine backup, or is damaged: {why}")


@contextmanager
def reading(path: Path) -> Iterator[Archive]:
    """Open a backup."""
    try:
        tar = tarfile.open(path, "r:")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise DataError(f"the backup {path} cannot be read ({error.strerror})") from error
    except tarfile.TarError as error:
        raise DataError(f"{path} is no riskengine backup, or is damaged") from error
    with tar:
        yield Archive(path, tar)


def is_journal(name: str) -> bool:
    """Return whether a part is a journal's file: a plain name below `journal/`.

    >>> is_journal("journal/1-a.journal"), is_journal("journal/../x"), is_journal("journal/a/b")
    (True, False, False)
    """
    parts = PurePosixPath(name).parts
    return len(parts) == 2 and parts[0] == JOURNAL and not parts[1].startswith(".")


def sync_folders(folders: Iterable[Path]) -> None:
    """Make names that were made in these folders survive a power cut."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def gone_at_the_end(paths: Sequence[Path]) -> Iterator[None]:
    """Remove these files at the end, those that are there."""
    try:
        yield
    finally:
        for path in paths:
            with suppress(FileNotFoundError):
                path.unlink()


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    told = tarfile.TarInfo(name)
    told.size, told.mode = size, 0o600
    tar.addfile(told, content)
