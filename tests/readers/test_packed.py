"""Logs that are packed: unpacked as they are read, and what was whole before a damage is kept."""

import bz2
import gzip
import io
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from riskengine.readers.lines import open_log
from riskengine.readers.log import Read, Rejected
from riskengine.readers.packed import damage
from riskengine.readers.read import read

EVENT = b'{"user_id":"mira","ip":"192.0.2.1","occurred_at":"2026-03-04T09:15:%02dZ"}\n'
LOG = b"".join(EVENT % (n % 60) for n in range(5000))
PACKINGS = [
    pytest.param(gzip.compress, "gzip", id="gzip"),
    pytest.param(zstd.compress, "zstd", id="zstd"),
    pytest.param(bz2.compress, "bzip2", id="bzip2"),
    pytest.param(lzma.compress, "xz", id="xz"),
]


@pytest.mark.parametrize(("pack", "name"), PACKINGS)
def test_a_packed_log_is_read_twice_and_in_parts(tmp_path: Path, pack: Callable[[bytes], bytes], name: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(pack(LOG[: len(LOG) // 2]) + pack(LOG[len(LOG) // 2 :]))

    with open_log(str(path)) as stream:
        assert stream.read() == LOG
        stream.seek(0)
        assert stream.read() == LOG
        assert damage(stream) is None


@pytest.mark.parametrize(("pack", "name"), PACKINGS)
def test_standard_input_may_be_packed(
    monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes], name: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pack(LOG))))

    assert sum(isinstance(one, Read) for one in read(["-"])) == 5000


@pytest.mark.parametrize(("pack", "name"), PACKINGS)
def test_what_is_cut_off_keeps_what_came_before(tmp_path: Path, pack: Callable[[bytes], bytes], name: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(pack(LOG) + pack(LOG)[:-20])

    found = list(read([str(path)]))
    last = found[-1]

    assert sum(isinstance(one, Read) for one in found) >= 5000
    assert isinstance(last, Rejected)
    assert last.reason == f"the line ends within its {name} data: the rest is lost"


@pytest.mark.parametrize(("pack", "name"), PACKINGS)
def test_what_is_damaged_is_told(tmp_path: Path, pack: Callable[[bytes], bytes], name: str) -> None:
    packed = bytearray(pack(LOG) + pack(LOG))
    packed[-30] ^= 0xFF
    path = tmp_path / "log"
    path.write_bytes(packed)

    *found, last = read([str(path)])

    assert sum(isinstance(one, Read) for one in found) >= 5000
    assert isinstance(last, Rejected)
    assert name in last.reason


def test_utf16_within_gzip_and_half_a_character(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(gzip.compress((EVENT % 1).decode().replace("mira", "Žofia").encode("utf-16") + b"\x20"))

    first, last = read([str(path)])

    assert isinstance(first, Read)
    assert isinstance(last, Rejected)


def test_a_bomb_is_not_unpacked_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(zstd.compress(b"x" * (64 << 20)))

    (rejected,) = read([str(path)], format="ndjson")

    assert isinstance(rejected, Rejected)
    assert rejected.reason == "the line is longer than 1 MiB"
