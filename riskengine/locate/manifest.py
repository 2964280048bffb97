"""What was fetched: geo.json beside the data; replacing that one file makes a new set the installed one."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from riskengine.errors import DataError

CURRENT = "geo.json"
PREVIOUS = "geo.previous.json"


@dataclass(frozen=True, slots=True)
class File:
    """One file of a set: its name in the set's folder, sha256 (hex) and size in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """One set of city data as fetched.

    `source` is npm or pip; `artefact` and `sha256` name what was downloaded; `date` is the data's (ISO);
    `folder` lies in the geo folder and holds `files`; `fetched_at` is ISO with offset.
    """

    source: str
    name: str
    date: str
    licence: str
    attribution: tuple[str, ...]
    artefact: str
    sha256: str
    folder: str
    files: tuple[File, ...]
    fetched_at: str


def geo_folder(home: Path) -> Path:
    """Return where fetched data lies."""
    return home / "geo"


def installed(home: Path) -> Manifest | None:
    """Return what is installed, None when nothing is; DataError when geo.json is not a manifest."""
    return read(geo_folder(home) / CURRENT)


def previous(home: Path) -> Manifest | None:
    """Return what `rollback` would install, None when there is nothing."""
    return read(geo_folder(home) / PREVIOUS)


def read(path: Path) -> Manifest | None:
    """Return the manifest in a file, None when there is no file; DataError when it is not one."""
    try:
        found = json.loads(path.read_bytes())
        files = tuple(File(**file) for file in found.pop("files"))
        return Manifest(**{**found, "attribution": tuple(found["attribution"]), "files": files})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path} is not a manifest of geolocation data; run `riskengine geo fetch`.") from error


def write(path: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step that survives a power cut."""
    replace(path, json.dumps(asdict(manifest), indent=2))


def replace(path: Path, text: str) -> None:
    """Replace a small file in one step that survives a power cut."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def complete(home: Path, manifest: Manifest) -> bool:
    """Return whether every file of the set is there in its full size."""
    folder = geo_folder(home) / manifest.folder
    return all(
        (folder / file.name).is_file() and (folder / file.name).stat().st_size == file.size for file in manifest.files
    )
