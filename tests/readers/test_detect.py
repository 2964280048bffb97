"""A log's format shows in its first lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.readers.detect import Detection, detect, unreadable
from riskengine.readers.formats import FORMATS

SSHD = b"Mar  4 09:15:27 gate01 sshd[4021]: Server listening on :: port 22."
CRON = b"Mar  4 09:15:27 gate01 CRON[1]: session opened"
EVENT = b'{"user_id": "a", "ip": "banana"}'
REPORT = b'{"type": "report", "event_id": "a", "result": "step_up_passed"}'


@pytest.mark.parametrize(
    ("lines", "want", "why"),
    [
        pytest.param([SSHD], "sshd", "line 1 is sshd's", id="sshd"),
        pytest.param([CRON, b"", CRON, SSHD], "sshd", "line 4 is sshd's", id="sshd_after_others"),
        pytest.param([CRON], "sshd", "its first line is of syslog's form", id="only_others"),
        pytest.param([SSHD.replace(b"sshd[", b"sshd-session[")], "sshd", "line 1 is sshd's", id="session"),
        pytest.param([b"2026-03-04T09:15:27Z g sshd[1]: x"], "sshd", "line 1 is sshd's", id="iso"),
        pytest.param([b"<86>1 2026-03-04T09:15:27Z g sshd 1 - - x"], "sshd", "line 1 is sshd's", id="rfc_5424"),
        pytest.param([EVENT], "ndjson", "line 1 is riskengine's own NDJSON", id="event"),
        pytest.param([REPORT], "ndjson", "line 1 is riskengine's own NDJSON", id="report"),
        pytest.param([b"", b"{torn", EVENT], "ndjson", "line 3 is riskengine's own NDJSON", id="after_a_bad_line"),
        pytest.param([b"{torn"], "ndjson", "its first line begins with a brace", id="brace"),
        pytest.param([b"ip,user_id,occurred_at"], "csv", "its first line names the columns of an event", id="csv"),
        pytest.param(
            [b'"user_id";"ip";"colour"'], "csv", "its first line names the columns of an event", id="csv_with_a_fault"
        ),
        pytest.param([], "ndjson", "it is empty", id="empty"),
        pytest.param([b"", b" "], "ndjson", "it is empty", id="blank"),
    ],
)
def test_the_first_lines_tell_the_format_and_why(lines: list[bytes], want: str, why: str) -> None:
    assert detect(lines) == Detection(want, why)


@pytest.mark.parametrize("line", [b"hello", b"[1, 2]", b"a,b,c", b"\xff\xfe", b"Mar 4 sshd", b'"user_id'])
def test_what_is_not_known_is_not_guessed(line: bytes) -> None:
    assert detect([line]) is None


@given(st.lists(st.binary(max_size=80)))
def test_any_bytes_are_taken_for_something_or_nothing(lines: list[bytes]) -> None:
    found = detect(lines)

    assert found is None or found.format in FORMATS


@pytest.mark.parametrize(
    ("beginning", "what"),
    [(b"PK\x03\x04", "zip"), (b"PAR1\x15", "Parquet"), (b"SQLite format 3\0", "database")],
)
def test_what_must_be_unpacked_first_is_named(beginning: bytes, what: str) -> None:
    assert what in (unreadable(beginning) or "")


def test_text_can_be_read() -> None:
    assert unreadable(b"Mar ") is None
