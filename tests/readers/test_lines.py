"""Lines of anything: numbered, bounded, whatever the line ends."""

import io
import os
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.readers.lines import MAX_LINE, Raw, lines, open_log


def split(content: bytes) -> list[Raw]:
    return list(lines(io.BytesIO(content)))


def test_lines_are_numbered_from_one_blank_ones_included() -> None:
    assert [(raw.number, raw.line) for raw in split(b"a\n\n  \nb\n")] == [(1, b"a"), (2, b""), (3, b"  "), (4, b"b")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_ends_do_not_show(end: bytes) -> None:
    assert [raw.line for raw in split(b"a" + end + b"b" + end)] == [b"a", b"b"]


def test_a_byte_order_mark_does_not_show() -> None:
    assert split(b"\xef\xbb\xbfa\n\xef\xbb\xbfb")[0].line == b"a"
    assert split(b"\xef\xbb\xbfa\n\xef\xbb\xbfb")[1].line == b"\xef\xbb\xbfb"


def test_a_last_line_without_an_end_is_not_ended() -> None:
    assert [raw.ended for raw in split(b"a\nb")] == [True, False]


def test_an_empty_log_has_no_lines() -> None:
    assert split(b"") == []


@pytest.mark.parametrize(
    ("length", "end", "overlong"),
    [
        (MAX_LINE, b"\n", False),
        (MAX_LINE, b"\r\n", False),
        (MAX_LINE, b"", False),
        (MAX_LINE + 1, b"\n", True),
        (MAX_LINE + 1, b"\r\n", True),
        (3 * MAX_LINE, b"\n", True),
        (3 * MAX_LINE, b"", True),
    ],
)
def test_an_overlong_line_is_cut_and_the_next_one_is_whole(length: int, end: bytes, overlong: bool) -> None:
    first, *rest = split(b"x" * length + end + (b"next\n" if end else b""))

    assert (first.overlong, len(first.line), first.ended) == (overlong, min(length, MAX_LINE), bool(end))
    assert [(raw.number, raw.line) for raw in rest] == ([(2, b"next")] if end else [])


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b""))))
def test_what_is_joined_is_split_again(written: list[bytes]) -> None:
    content = b"".join(line + b"\n" for line in written)
    if content.startswith(b"\xef\xbb\xbf"):
        return

    assert [raw.line for raw in split(content)] == written


def test_standard_input_can_be_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\nb\n")))

    with open_log("-") as stream:
        assert stream.read() == b"a\nb\n"
        stream.seek(0)
        assert stream.read() == b"a\nb\n"


def test_a_pipe_can_be_read_twice(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"a\n",))
    writer.start()

    with open_log(str(pipe)) as stream:
        writer.join()
        assert stream.read() == b"a\n"
        stream.seek(0)
        assert stream.read() == b"a\n"


def test_a_missing_log_or_a_folder_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_log(str(tmp_path / "none"))
    with pytest.raises(IsADirectoryError):
        open_log(str(tmp_path))
