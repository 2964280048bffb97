"""Plain lines found in columns: what is plain, where its texts stand, which times they tell."""

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.check import Wrong, format_time, parse_time
from riskengine.readers import lines as reading
from riskengine.readers.lines import blocks, lines
from riskengine.readers.plain import FIELDS, NO_TIME, are_ids, find, times

WHOLE = {"user_id": "ann", "ip": "192.0.2.1", "event_id": "e1", "occurred_at": "2026-03-01T00:00:00Z"}


def found(line: str | bytes) -> dict[str, str] | None:
    """Return the texts of a line that is plain."""
    data = line if isinstance(line, bytes) else line.encode()
    one = find(np.frombuffer(data, np.uint8))
    if not one.plain.all():
        return None
    spans = zip(FIELDS, one.spans[0].tolist(), strict=True)
    return {name: data[at : at + length].decode() for name, (at, length) in spans if at >= 0}


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(WHOLE),
        json.dumps(WHOLE, indent=1).replace("\n", "\t"),
        f"  {json.dumps(WHOLE)} \r",
        json.dumps(dict(reversed(WHOLE.items()))),
    ],
)
def test_an_object_of_texts_is_plain(line: str) -> None:
    assert found(line) == WHOLE


@pytest.mark.parametrize(
    "line",
    [
        *("{}", "[]", "null", "{", '"', "{,}", '{"user_id"}', "x" + json.dumps(WHOLE), json.dumps(WHOLE) + "x"),
        *(json.dumps(WHOLE)[:length] for length in range(1, 90, 7)),
        json.dumps(WHOLE).replace('"}', '",}'),
        json.dumps(WHOLE).replace('", "', '" "'),
        json.dumps(WHOLE)[:-1] + ', "user_id": "ben"}',
        json.dumps({name: value for name, value in WHOLE.items() if name != "ip"}),
        *(json.dumps(WHOLE | more) for more in ({"login": 1}, {"login": None}, {"colour": "red"}, {"user": "x"})),
        *(json.dumps(WHOLE | {"login": text}) for text in ("", " a", "a ", "a\\b", 'a"b', "a\tb", "a\x7fb", "x" * 257)),
        json.dumps(WHOLE | {"login": "jos\u00e9"}, ensure_ascii=False),
        json.dumps(WHOLE | {"login": "jos\u00e9"}),
    ],
)
def test_whatever_is_out_of_the_ordinary_is_not(line: str) -> None:
    assert found(line) is None


@given(st.binary(max_size=80) | st.text('{}":,\\ uipser_idvent_occurred_at', max_size=80).map(str.encode))
def test_no_bytes_break_it_and_what_it_finds_is_json(data: bytes) -> None:
    one = find(np.frombuffer(data, np.uint8))
    told = [data[begin:end] for begin, end in one.lines.tolist()]
    assert b"\n".join(told) == data.removesuffix(b"\n")
    for line, plain in zip(told, one.plain.tolist(), strict=True):
        assert not plain or isinstance(json.loads(line), dict)


@given(
    st.integers(0, 253_402_300_799_999), st.sampled_from(("", "Z", "+00:00", ".5Z", "45Z", "456789Z", "4567890Z", "z"))
)
def test_times_are_those_of_the_checks(moment: int, end: str) -> None:
    text = format_time(moment).removesuffix("Z") + end
    told = int(times(np.frombuffer(text.encode(), np.uint8), np.array([[0, len(text)]]))[0])
    try:
        assert told in (NO_TIME, parse_time(text))
    except Wrong:
        assert told == NO_TIME
    assert end not in ("Z", "45Z", "456789Z") or told != NO_TIME


@pytest.mark.parametrize(
    "text",
    [
        *("2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-04-31T00:00:00Z"),
        *("2026-03-00T00:00:00Z", "2026-03-01T24:00:00Z", "2026-03-01T00:60:00Z", "2026-03-01T00:00:60Z"),
        *("1969-12-31T23:59:59Z", "2026-03-01 00:00:00Z", "2026-03-01T00:00:00.Z", "2026-03-01T00:00:00,5Z"),
        *(
            "2026-03-01T00:00:0xZ",
            "2026/03/01T00:00:00Z",
            "1772615731500",
            "2026-03-01T00:00:00",
            "-026-03-01T00:00:00Z",
        ),
    ],
)
def test_what_is_no_plain_time_is_left(text: str) -> None:
    assert times(np.frombuffer(text.encode(), np.uint8), np.array([[0, len(text)]]))[0] == NO_TIME


def test_a_leap_day_is_a_day() -> None:
    assert times(np.frombuffer(b"2024-02-29T12:00:00.25Z", np.uint8), np.array([[0, 23]]))[0] == parse_time(
        "2024-02-29T12:00:00.25Z"
    )


def test_ids_hold_what_ids_may() -> None:
    data = np.frombuffer(b"aZ09._:~-x y", np.uint8)
    assert are_ids(data, np.array([[0, 9], [0, 10], [9, 3]])).tolist() == [True, True, False]


@given(
    st.lists(st.sampled_from([b"a", b"", b"\r", b"\xef\xbb\xbf", b"x" * 30, b"y" * 31, b"z" * 80, b"w" * 200])),
    st.booleans(),
)
def test_blocks_hold_the_lines_that_a_reader_is_given(parts: list[bytes], ended: bool) -> None:
    data = b"\n".join(parts) + (b"\n" if ended else b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BLOCK", 16)  # but for the mark, which is read whole
        patch.setattr(reading, "_CHUNK", 16)
        patch.setattr(reading, "MAX_LINE", 30)
        wanted = list(lines(io.BytesIO(data)))
        told = []
        for number, block in blocks(io.BytesIO(data)):
            one = find(np.frombuffer(block, np.uint8))
            for at, (begin, end) in enumerate(one.lines.tolist()):
                line = block[begin:end].rstrip(b"\r")
                told.append((number + at, line[:30], end < len(block), len(line) > 30))
    # Where nothing follows a byte order mark, the reader sees a blank line without an end.
    assert told == [tuple(raw) for raw in wanted if data != b"\xef\xbb\xbf"]
