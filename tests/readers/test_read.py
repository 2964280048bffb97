"""Logs from files and standard input to items, rejects and counts."""

import io
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from riskengine.check import format_time
from riskengine.errors import InvalidInput
from riskengine.event import Event, Report
from riskengine.readers.log import Read, Rejected, Skip, Skipped
from riskengine.readers.read import Source, read

EVENT = b'{"user_id":"mira","ip":"192.0.2.1","occurred_at":"2026-03-04T09:15:27Z"}\n'
SSHD = b"Mar  4 09:15:27 g sshd[1]: Accepted password for tove from 192.0.2.1 port 5 ssh2\n"
DATA = Path(__file__).parents[2] / "data"


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def ids(path: str) -> list[str | None]:
    return [one.item.event_id for one in read([path], year=2026) if isinstance(one, Read)]


def test_items_rejects_and_counts_come_in_the_order_of_the_log(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", b"\n" + SSHD + b"Mar  4 09:15:28 g cron: x\n" + SSHD.replace(b"192.0.2.1", b"?"))

    log = read([path], year=2026)
    one, bad, skipped = log

    assert log.sources == (Source(path, "sshd", "line 2 is sshd's"),)
    assert isinstance(one, Read)
    assert (one.source, one.line) == (path, 2)
    assert bad == Rejected(
        path,
        4,
        "/ip must be an IPv4 or IPv6 address",
        "Mar  4 09:15:27 g sshd[1]: Accepted password for tove from ? port 5 ssh2",
    )
    assert skipped == Skipped(path, Skip.NOT_A_LOGIN, 1)


def test_several_logs_keep_their_formats(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a", EVENT),
        write(tmp_path / "b", b"user_id,ip,occurred_at\nmira,192.0.2.1,2026-03-04T09:15:27Z\n"),
        write(tmp_path / "c", SSHD),
        write(tmp_path / "d", b""),
    ]

    log = read(paths)

    assert [source.format for source in log.sources] == ["ndjson", "csv", "sshd", "ndjson"]
    assert [one.source for one in log] == paths[:3]


def test_a_named_format_overrides_what_the_log_looks_like(tmp_path: Path) -> None:
    log = read([write(tmp_path / "a", EVENT)], format="sshd")

    assert log.sources[0].why == "it was named"
    assert [type(one) for one in log] == [Skipped]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(b"{}\0\n", "the line holds a NUL byte", id="nul"),
        pytest.param(b"\0" * 5000 + EVENT, "the line holds a NUL byte", id="a_crash_left_zeros"),
        pytest.param(b'{"a":"' + b"x" * (1 << 20) + b'"}\n', "the line is longer than 1 MiB", id="huge"),
        pytest.param(b'{"a":"\xff"}\n', "the line is not UTF-8 (byte 6)", id="bytes"),
        pytest.param(EVENT.replace(b"192.0.2.1", b"banana"), "/ip must be an IPv4 or IPv6 address", id="field"),
        pytest.param(
            EVENT.replace(b"192.0.2.1", b"?").replace(b"mira", b""),
            "/user_id must have 1 to 256 characters; /ip must be an IPv4 or IPv6 address",
            id="fields",
        ),
    ],
)
def test_a_bad_line_is_rejected_and_the_rest_is_read(tmp_path: Path, bad: bytes, reason: str) -> None:
    first, rejected, last = read([write(tmp_path / "a", EVENT + bad + EVENT)])

    assert isinstance(first, Read)
    assert isinstance(rejected, Rejected)
    assert isinstance(last, Read)
    assert (rejected.line, rejected.reason, last.line) == (2, reason, 3)
    rejected.text.encode()
    assert len(rejected.text) <= 65_536


def test_a_rejected_lines_text_shows_bytes_that_are_no_text(tmp_path: Path) -> None:
    (rejected,) = read([write(tmp_path / "a", b'{"\xff\xed\xa0\x80\n')])

    assert isinstance(rejected, Rejected)
    assert rejected.text == '{"\\xff\\xed\\xa0\\x80'


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    plain, windows = tmp_path / "plain", tmp_path / "windows"

    assert ids(write(plain, EVENT + EVENT)) == ids(
        write(windows, b"\xef\xbb\xbf" + (EVENT + EVENT).replace(b"\n", b"\r\n"))
    )


@pytest.mark.parametrize("content", [EVENT, SSHD])
def test_ids_depend_on_content_alone(tmp_path: Path, content: bytes) -> None:
    other = b"\n" + content.replace(b"192.0.2.1", b"192.0.2.2")
    once = ids(write(tmp_path / "a", content + content))

    assert len(set(once)) == 2
    assert ids(write(tmp_path / "renamed", content + other + content))[::2] == once
    assert ids(write(tmp_path / "other", other))[0] not in once


def test_a_log_that_grew_keeps_the_ids_it_had(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    before = ids(write(path, SSHD * 3))

    assert ids(write(path, SSHD * 3 + SSHD.replace(b"tove", b"mira")))[:3] == before


def test_the_year_is_that_of_the_files_date_unless_given(tmp_path: Path) -> None:
    path = write(tmp_path / "auth.log", SSHD.replace(b"Mar  4", b"Dec 31") + SSHD)
    written = datetime(2020, 7, 1, tzinfo=UTC).timestamp()
    os.utime(path, (written, written))

    def times(year: int | None, tz: str | None = None) -> list[str]:
        log = read([path], year=year, tz=tz)
        return [
            format_time(one.item.occurred_at or 0)
            for one in log
            if isinstance(one, Read) and isinstance(one.item, Event)
        ]

    assert times(None) == ["2019-12-31T09:15:27.000Z", "2020-03-04T09:15:27.000Z"]
    assert times(2017) == ["2016-12-31T09:15:27.000Z", "2017-03-04T09:15:27.000Z"]
    assert times(2017, "Asia/Tokyo") == ["2016-12-31T00:15:27.000Z", "2017-03-04T00:15:27.000Z"]


def test_standard_input_is_told_apart_and_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SSHD.replace(b"Mar  4", b"Dec 31") + SSHD)))

    log = read(["-"], year=2026)
    found = [
        format_time(one.item.occurred_at or 0) for one in log if isinstance(one, Read) and isinstance(one.item, Event)
    ]

    assert log.sources == (Source("-", "sshd", "line 1 is sshd's"),)
    assert found == ["2025-12-31T09:15:27.000Z", "2026-03-04T09:15:27.000Z"]


def test_a_hundred_logs_do_not_stay_open(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{number}.log", SSHD) for number in range(100)]
    before = len(list(Path("/proc/self/fd").iterdir()))

    log = read(paths)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert sum(isinstance(one, Read) for one in log) == 100


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(b"hello\n", "is in no format known here", id="unknown"),
        pytest.param(b"PK\x03\x04\0", "is a zip archive", id="zip"),
    ],
)
def test_a_log_that_cannot_be_read_is_refused_before_anything_is(tmp_path: Path, content: bytes, what: str) -> None:
    good, bad = write(tmp_path / "good", EVENT), write(tmp_path / "bad", content)

    with pytest.raises(InvalidInput, match=what) as caught:
        read([good, bad])
    assert str(caught.value).startswith(bad)


def test_a_missing_log_and_wrong_arguments_are_refused_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a", EVENT)

    with pytest.raises(FileNotFoundError):
        read([path, str(tmp_path / "none")])
    with pytest.raises(InvalidInput, match="format must be one of auto, ndjson, csv, sshd"):
        read([path], format="xml")
    with pytest.raises(InvalidInput, match="tz must be"):
        read([], tz="Mars/Olympus")


def test_a_name_that_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    path = os.fsdecode(bytes(tmp_path) + b"/log-\xff")

    log = read([write(Path(path), EVENT)])

    assert log.sources[0].name.endswith("log-\\xff")
    assert [one.source for one in log] == [log.sources[0].name]


def test_the_sample_auth_log_reads_without_a_reject() -> None:
    found = list(read([str(DATA / "sample-auth.log")], year=2026))
    events = [one.item for one in found if isinstance(one, Read) and isinstance(one.item, Event)]

    assert not [one for one in found if isinstance(one, Rejected)]
    assert sum(event.outcome == "success" for event in events) == 12
    assert sum(event.outcome == "failure" for event in events) == 12
    assert [event.login for event in events if event.user_id is None] == [
        "admin",
        "admin",
        "backup",
        None,
        "x from 198.51.100.9 port 22",
    ]


def test_the_sample_events_read_without_a_reject() -> None:
    found = list(read([str(DATA / "sample-events.ndjson")]))
    items = [one.item for one in found if isinstance(one, Read)]

    assert len(items) == len(found) == 30
    assert sum(isinstance(item, Report) for item in items) == 4
