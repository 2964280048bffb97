"""Geolocation files that servers hold back, and those that an operator has said are meant: two notes in the geo folder.

Servers and the command line know each other by these notes only; both name files by what a replacement changes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from riskengine.errors import DataError
from riskengine.locate.database import Stamp, stamp
from riskengine.locate.manifest import geo_folder, replace

HELD, ACCEPTED = "geo.held.json", "geo.accepted.json"


@dataclass(frozen=True, slots=True)
class Note:
    """Files by path with their stamps, and a sentence about them."""

    files: tuple[tuple[str, Stamp], ...]
    says: str


def note_of(paths: Sequence[Path], says: str) -> Note:
    """Return a note on files as they are now."""
    return Note(tuple((str(path), stamp(path)) for path in paths), says)


def write(home: Path, name: str, note: Note) -> None:
    """Replace one of the notes; DataError when it cannot be written."""
    folder = geo_folder(home)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(folder / name, json.dumps({"files": note.files, "says": note.says}, indent=2))
    except OSError as error:
        raise DataError(f"{folder / name} cannot be written: {error.strerror}.") from error


def read(home: Path | None, name: str) -> Note | None:
    """Return a note, None if there is none or it is damaged: nothing is held or accepted by that."""
    if home is None:
        return None
    try:
        found = json.loads((geo_folder(home) / name).read_bytes())
        return Note(tuple((str(path), _stamp(*kept)) for path, kept in found["files"]), str(found["says"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def forget(home: Path | None, name: str) -> None:
    """Remove a note that no longer speaks of anything."""
    if home is not None:
        (geo_folder(home) / name).unlink(missing_ok=True)


def accepted(home: Path | None, files: tuple[tuple[str, Stamp], ...]) -> bool:
    """Return whether an operator has said that just these files are meant."""
    found = read(home, ACCEPTED)
    return found is not None and found.files == files


def still_held(home: Path | None, note: Note) -> bool:
    """Return whether a note speaks of files as they are now, and nobody has accepted them."""
    return all(stamp(Path(path)) == kept for path, kept in note.files) and not accepted(home, note.files)


def held(home: Path, paths: Sequence[Path]) -> str | None:
    """Return why servers hold back these files as they are now, None when they do not."""
    found = read(home, HELD)
    if found is None or found.files != note_of(paths, "").files or accepted(home, found.files):
        return None
    return found.says


def _stamp(time: int, size: int, inode: int) -> Stamp:
    return int(time), int(size), int(inode)
