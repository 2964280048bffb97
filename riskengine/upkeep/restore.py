"""Putting a backup where nothing is yet: whole, proved to open with the keys at hand, or not at all."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import make_url

from riskengine.errors import Conflict, DataError, RiskEngineError, SealKeyError, SettingsError
from riskengine.journal import JOURNAL_FILES
from riskengine.keyring import KeyFile, Keys, KeySource
from riskengine.seal import SEAL_CHECK, Seal
from riskengine.settings import Settings
from riskengine.store.copy import put_back, require_free
from riskengine.upkeep.archive import (
    DATABASES,
    KEYS,
    POLICIES,
    Archive,
    Manifest,
    gone_at_the_end,
    is_journal,
    part_of,
    reading,
    sync_folders,
)

_DRAFT = ".restoring"


def restore(settings: Settings, source: KeySource, path: Path) -> Manifest:
    """Restore a backup into home and database of these settings; return what it holds.

    All parts are written beside their places and compared with their checksums, and the keys are proved, before
    anything is put in place; the database comes last. Whoever is interrupted begins again. Conflict where something is
    there already, SealKeyError where the keys are not those of the backup, DataError for a damaged one.
    """
    with reading(path) as archive, _alone(settings.home):
        manifest = archive.manifest
        _require_room(settings, archive)
        keys = _keys(source, archive)
        try:
            _put(settings, source, keys, archive)
        except OSError as error:
            raise RiskEngineError(f"the backup cannot be put back: {error.filename}: {error.strerror}") from error
    return manifest


def _require_room(settings: Settings, archive: Archive) -> None:
    """Raise unless all that the backup holds has a place where nothing is."""
    manifest = archive.manifest
    kind = "sqlite" if settings.is_embedded else "postgresql"
    if manifest.database != kind:
        raise SettingsError(
            f"the backup is of a {manifest.database} database, and RISKENGINE_DATABASE_URL names one of {kind}"
        )
    require_free(settings.database_url)
    folder = settings.home / "journal"
    for found in (path for pattern in JOURNAL_FILES for path in folder.glob(pattern)):
        # A restore that was interrupted has left it, unless it says something else.
        if part_of(found) != manifest.parts.get(f"{folder.name}/{found.name}"):
            raise Conflict(f"{found} waits to be saved, and belongs to no part of this backup")
    for name in POLICIES:
        file = settings.home / name
        if name in manifest.parts and file.exists() and part_of(file) != manifest.parts[name]:
            raise Conflict(f"{file} exists already and is another one than in the backup")


def _keys(source: KeySource, archive: Archive) -> Keys:
    """Return the keys of these settings, else those in the backup, proved to be all that it needs."""
    manifest = archive.manifest
    if isinstance(source, KeyFile) and not source.path.exists():
        if not manifest.holds_keys:
            raise SealKeyError(
                f"the key file {source.path} does not exist, and the backup does not hold it: put the one there that "
                f"held {', '.join(manifest.keys)}. Without it nothing personal in the backup can ever be read"
            )
        keys = Keys.parse(archive.text(KEYS), "the key file in the backup")
    else:
        keys = source.read()
    if missing := sorted(set(manifest.keys) - keys.seal.keys()):
        raise SealKeyError(f"{source.says} lacks {', '.join(missing)}, which sealed something in the backup")
    Seal(keys).verify_check(bytes.fromhex(manifest.check))
    return keys


def _put(settings: Settings, source: KeySource, keys: Keys, archive: Archive) -> None:
    parts, home = archive.manifest.parts, settings.home
    database = DATABASES[archive.manifest.database]
    places = {name: home / name for name in parts if is_journal(name) or name in POLICIES}
    file = Path(str(make_url(settings.database_url).database)) if settings.is_embedded else home / database
    drafts = {name: place.with_name(f"{place.name}{_DRAFT}") for name, place in {**places, database: file}.items()}
    with gone_at_the_end(list(drafts.values())):
        for name, draft in drafts.items():
            draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            archive.extract(name, draft)
        if settings.is_embedded:
            _prove(drafts[database], keys)
        for name, place in places.items():
            drafts[name].rename(place)
        if isinstance(source, KeyFile) and not source.path.exists():
            keys.write(source.path)
        sync_folders({place.parent for place in places.values()})
        if settings.is_embedded:
            drafts[database].rename(file)
            sync_folders([file.parent])
        else:
            put_back(settings.database_url, drafts[database])


def _prove(file: Path, keys: Keys) -> None:
    """Raise SealKeyError unless the database's own check value opens with these keys."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            row = connection.execute("SELECT value FROM meta WHERE name = ?", (SEAL_CHECK,)).fetchone()
    except sqlite3.DatabaseError as error:
        raise DataError("the database in the backup is damaged") from error
    if row is None:
        raise DataError("the database in the backup does not hold the value that proves its keys")
    Seal(keys).verify_check(row[0])


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Let nobody else restore into this home meanwhile."""
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"another command restores into {home}") from error
        yield
    finally:
        os.close(descriptor)
