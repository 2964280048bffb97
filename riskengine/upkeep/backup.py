"""Backups: database, journal and policies at one moment in one file, beside running servers."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from riskengine.check import format_time
from riskengine.errors import Conflict, RiskEngineError, StoreUnavailable
from riskengine.journal import JOURNAL_FILES
from riskengine.seal import SEAL_CHECK, Seal
from riskengine.settings import PREFIX, Settings
from riskengine.store import removal
from riskengine.store.copy import WAIT_SECONDS, copy
from riskengine.store.database import Database, opened, translated
from riskengine.upkeep.archive import DATABASES, FORMAT, JOURNAL, KEYS, POLICIES, Manifest, part_of, sync_folders, write
from riskengine.upkeep.resealing import used_in_journal, used_keys

# Settings that say where things are; those of whoever restores do.
_PLACES = {"home", "database_url", "key_file"}


def backup(
    settings: Settings, seal: Seal, target: Path, now: int, with_keys: bool, tell: Callable[[int], object]
) -> Manifest:
    """Write a backup to `target`, whole or not at all, and return what it holds.

    The journal is copied before the database: what moves from one into the other meanwhile is in both, and saving it
    twice does no harm. Conflict if `target` exists. `tell` hears how many pages of an SQLite file were copied.
    """
    if target.exists():
        raise Conflict(f"{target} exists already and is not overwritten")
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            draft, manifest = _drafted(settings, seal, work, now, with_keys, tell)
            target.hardlink_to(draft)  # unlike a rename it fails where the name is taken
            sync_folders([target.parent])
        finally:
            shutil.rmtree(work)
    except OSError as error:
        raise RiskEngineError(f"the backup {target} cannot be written ({error.strerror})") from error
    return manifest


def _drafted(
    settings: Settings, seal: Seal, work: Path, now: int, with_keys: bool, tell: Callable[[int], object]
) -> tuple[Path, Manifest]:
    files = {f"{JOURNAL}/{path.name}": path for path in _copied_journal(settings.home / "journal", work / JOURNAL)}
    journal = used_in_journal(work / JOURNAL)
    kind = "sqlite" if settings.is_embedded else "postgresql"
    held = copy(settings.database_url, work / DATABASES[kind], tell)
    files[DATABASES[kind]] = work / DATABASES[kind]
    url = f"sqlite:///{work / DATABASES[kind]}" if settings.is_embedded else settings.database_url
    with closing(opened(url, WAIT_SECONDS)) as database:
        used, check = used_keys(database), _check_of(database)
    for name, path in zip(POLICIES, (settings.policy, settings.shadow_policy), strict=True):
        if path is not None:
            files[name] = Path(shutil.copyfile(path, work / name))
    if with_keys:
        files[KEYS] = work / KEYS
        files[KEYS].write_text(seal.keys.text())
    manifest = Manifest(
        format=FORMAT,
        version=version("riskengine"),
        made_at=format_time(now),
        database=kind,
        schema=held.schema,
        counts={**held.counts, "journal": journal.total()},
        check=check.hex(),
        keys=sorted(seal.keys.seal.keys() & {*used, *journal, seal.key_of(check)}),  # nobody has what is not there
        settings=sorted(PREFIX + name.upper() for name in settings.model_fields_set - _PLACES),
        geo=_geo_of(settings),
        parts={name: part_of(path) for name, path in files.items()},
    )
    write(work / "whole", manifest, files)
    return work / "whole", manifest


def _copied_journal(folder: Path, target: Path) -> list[Path]:
    """Copy the journal's files; one that a server has saved and removed meanwhile is in the database by then."""
    target.mkdir(mode=0o700)
    copied = []
    for path in sorted(path for pattern in JOURNAL_FILES for path in folder.glob(pattern)):
        try:
            copied.append(Path(shutil.copyfile(path, target / path.name)))
        except FileNotFoundError:
            continue
    return copied


def _check_of(database: Database) -> bytes:
    with translated(), database.reader.begin() as connection:
        found = removal.value(connection, SEAL_CHECK)
    if found is None:
        raise StoreUnavailable("the database does not hold the value that proves its keys")
    return found


def _geo_of(settings: Settings) -> list[str]:
    """Return the files of places and networks that are in use."""
    given = (settings.geoip_city, settings.geoip_asn, settings.geoip_anonymous)
    fetched = sorted(path for path in (settings.home / "geo").glob("*") if path.is_file())
    return [str(path) for path in (*given, *fetched) if path is not None]
