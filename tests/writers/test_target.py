"""Rows out: whole or not at all."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from riskengine.writers.ndjson import open_ndjson


def test_nothing_stands_in_the_place_until_all_is_written(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with open_ndjson(target) as rows:
        rows.write({"a": 1})
        assert not target.exists()

    assert target.read_bytes() == b'{"a":1}\n'
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, BrokenPipeError])
def test_a_run_that_fails_leaves_what_stood_there(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"before")

    def run() -> None:
        with open_ndjson(target) as rows:
            rows.write({"a": 1})
            raise error

    with pytest.raises(error):
        run()

    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_new_file_is_its_owners_alone_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.write_bytes(b"")
    old.chmod(0o640)

    for target in (new, old):
        with open_ndjson(target) as rows:
            rows.write({})

    assert [stat.S_IMODE(path.stat().st_mode) for path in (new, old)] == [0o600, 0o640]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"before")
    link.symlink_to(real)

    with open_ndjson(link) as rows:
        rows.write({})

    assert link.is_symlink()
    assert real.read_bytes() == b"{}\n"


def test_a_device_is_written_to_not_replaced() -> None:
    with open_ndjson("/dev/null") as rows:
        rows.write({})

    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize("rows", [1, 10_000])
def test_a_named_pipe_whose_reader_goes_ends_quietly(tmp_path: Path, rows: int) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: os.close(os.open(pipe, os.O_RDONLY)))
    reader.start()

    with open_ndjson(pipe) as out:
        reader.join()
        for _ in range(rows):
            out.write({"a": "x" * 50})


def test_a_folder_or_a_missing_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), open_ndjson(tmp_path):
        pass
    with pytest.raises(FileNotFoundError), open_ndjson(tmp_path / "none" / "out"):
        pass


def test_a_dash_is_standard_output(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    with os.fdopen(os.dup(1), "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with open_ndjson("-") as rows:
            rows.write({"a": 1})

    assert capfdbinary.readouterr().out == b'{"a":1}\n'


@pytest.mark.parametrize("rows", [1, 100_000])
def test_a_closed_pipe_ends_quietly(rows: int) -> None:
    program = (
        "from riskengine.writers.ndjson import open_ndjson\n"
        "import sys\n"
        "sys.stdin.readline()\n"
        f"with open_ndjson('-') as out:\n    for _ in range({rows}):\n        out.write({{'a': 1}})\n"
        "print('on we go', file=sys.stderr)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stderr.read() == b"on we go\n"
    assert process.returncode == 0
