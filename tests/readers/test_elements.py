"""JSON documents, record by record: lists, envelopes, values one after another, and damaged ones."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.errors import InvalidInput
from riskengine.readers import elements as module
from riskengine.readers.elements import elements, is_document
from riskengine.readers.lines import MAX_LINE, Raw

ENVELOPES = frozenset({("value",), ("hits", "hits")})
RECORDS: list[dict[str, Any]] = [
    {"id": n, "text": 'x{]\\"}', "inner": {"list": [{"id": 7}, {"id": 8}], "value": [1]}} for n in range(5)
]


def split(content: bytes) -> list[Raw]:
    return list(elements(io.BytesIO(content), ENVELOPES))


def whole(content: bytes) -> list[Any]:
    return [json.loads(raw.line) for raw in split(content)]


@pytest.fixture(params=[5, 1 << 18], ids=["small_chunks", "large_chunks"], autouse=True)
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", request.param)


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize(
    "document",
    [
        pytest.param(RECORDS, id="list"),
        pytest.param({"@context": [1, {"value": 2}], "value": RECORDS, "next": "x"}, id="envelope"),
        pytest.param({"took": 1, "hits": {"total": {"value": 5}, "hits": RECORDS}, "more": [{}]}, id="nested_envelope"),
    ],
)
def test_records_are_given_as_they_stand(document: Any, indent: int | None) -> None:
    content = json.dumps(document, indent=indent).encode()

    assert whole(content) == RECORDS
    assert [raw.number for raw in split(content)] == [1, 2, 3, 4, 5]
    assert whole(b"\xef\xbb\xbf" + content + b"\n" + content) == RECORDS + RECORDS


def test_values_one_after_another_are_records() -> None:
    assert whole(b"\n".join(json.dumps(one, indent=1).encode() for one in RECORDS)) == RECORDS


def test_an_object_whose_list_is_none_of_the_envelopes_is_a_record() -> None:
    assert whole(b'{"other": [{"a": 1}]}') == [{"other": [{"a": 1}]}]


def test_what_is_no_object_is_given_for_what_it_is() -> None:
    assert [raw.line for raw in split(b'[1, "a,b", {"b":1}, nul, }, {"c":2}]')] == [
        b"1",
        b'"a,b"',
        b'{"b":1}',
        b"nul",
        b"}",
        b'{"c":2}',
    ]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("wrong", [b'"id: 1', b'"id" 1', b'"id": 1}', b'{"id": 1'])
def test_a_damaged_record_costs_no_other(indent: int | None, wrong: bytes) -> None:
    content = json.dumps(RECORDS, indent=indent).encode().replace(b'"id": 1', wrong, 1)
    found = [json.loads(raw.line) for raw in split(content) if _is_json(raw.line)]

    assert [one for one in found if one in RECORDS and one["id"] != 1] == [RECORDS[0], *RECORDS[2:]]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_document_that_is_cut_off_gives_all_before_and_says_so(indent: int | None) -> None:
    content = json.dumps(RECORDS, indent=indent).encode()
    for length in range(len(content) // 2, len(content)):
        found, says_so = [], False
        try:
            for raw in elements(io.BytesIO(content[:length]), ENVELOPES):
                says_so = says_so or not raw.ended or not _is_json(raw.line)
                found += [json.loads(raw.line)] if raw.ended and _is_json(raw.line) else []
        except InvalidInput as error:
            says_so = "ends within its list" in str(error)
        good = [one for one in found if one in RECORDS]
        assert good == RECORDS[: len(good)]
        assert len(good) + 1 >= content[:length].count(b'"value"')
        assert says_so


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


def test_a_record_too_long_is_cut_and_the_next_one_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 1 << 18)
    first, long, last = split(b'[{"a":1},{"a":"' + b"x" * (2 * MAX_LINE) + b'"},{"a":3}]')

    assert (first.line, last.line) == (b'{"a":1}', b'{"a":3}')
    assert (long.overlong, len(long.line)) == (True, MAX_LINE)


@pytest.mark.parametrize(
    ("line", "want"),
    [
        (b"[", True),
        (b'\xef\xbb\xbf[{"a":1}]', True),
        (b'{"Records":[', True),
        (b"{", True),
        (b'{"a": 1,', True),
        (b'{"a":1}', False),
        (b'{"torn', False),
        (b"Mar  4 [", False),
        (b"", False),
    ],
)
def test_the_first_line_tells_a_document(line: bytes, want: bool) -> None:
    assert is_document(line) is want


@given(st.binary(max_size=60) | st.text('[]{}",:\\ \n1a', max_size=60).map(str.encode))
def test_any_bytes_come_to_an_end(content: bytes) -> None:
    try:
        found = split(content)
    except InvalidInput:
        return
    assert sum(len(raw.line) for raw in found) <= 2 * len(content)
