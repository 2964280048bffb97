"""Single values from callers: one canonical form, or a refusal that says what is wrong."""

import json
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.check import context, decode, format_time, ip, parse_time
from riskengine.errors import InvalidInput
from riskengine.event import parse_event


@pytest.mark.parametrize(
    ("value", "fine"),
    [
        pytest.param({"a": "line\nbreak\t"}, True, id="line_ends_and_tabs"),
        pytest.param({"a": "a literal \\u0000"}, True, id="an_escape_spelled_out"),
        pytest.param({"a": "\u0000"}, False, id="nul"),
        pytest.param({"a": "\\\u0000"}, False, id="nul_behind_a_backslash"),
        pytest.param({"\u001b": 1}, False, id="a_control_in_a_key"),
        pytest.param({"a": "\ud800"}, False, id="half_a_surrogate_pair"),
        pytest.param({"a": float("inf")}, False, id="a_number_beyond_all_bounds"),
        pytest.param({"a": "x" * 5000}, False, id="more_than_4_kib"),
        pytest.param([], False, id="no_object"),
    ],
)
def test_context_is_kept_as_it_is_or_refused(value: Any, fine: bool) -> None:
    if fine:
        assert context(value) == value
    else:
        with pytest.raises(ValueError, match=r"^(holds|must)"):
            context(value)


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        pytest.param("::ffff:192.0.2.1", "192.0.2.1", id="ipv4_inside_ipv6"),
        pytest.param("2001:DB8:0::1", "2001:db8::1", id="ipv6_in_one_spelling"),
        pytest.param("192.0.2.1", "192.0.2.1", id="ipv4"),
    ],
)
def test_an_address_has_one_spelling(given: str, canonical: str) -> None:
    assert ip(given) == canonical


_PIECES = ("0", "00", "1", "ff", "ABCD", ":", "::", ".", "255", "256", "01", "1.2.3.4", "::ffff:", "\u0661", "\0", " ")


@given(st.one_of(st.ip_addresses().map(str), st.lists(st.sampled_from(_PIECES), max_size=16).map("".join)))
def test_addresses_are_those_of_the_standard_library_in_its_spelling(text: str) -> None:
    try:
        address = ip_address(text)
    except ValueError:
        with pytest.raises(ValueError, match="must be an IPv4 or IPv6 address"):
            ip(text)
    else:
        assert ip(text) == str(getattr(address, "ipv4_mapped", None) or address)


@pytest.mark.parametrize("given", ["banana", "", "192.0.2.1:80", "fe80::1%eth0", "192.0.2.256", "1" * 99, 7, None])
def test_what_is_no_address_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="must be an IPv4 or IPv6 address"):
        ip(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("2026-03-04T09:15:27.3184417Z", "2026-03-04T09:15:27.318Z", id="seven_digits"),
        pytest.param("2026-03-04T09:15:27+09:30", "2026-03-03T23:45:27.000Z", id="an_offset"),
        pytest.param("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z", id="the_beginning"),
        pytest.param("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z", id="the_end"),
    ],
)
def test_times_are_read_to_the_millisecond(given: str, expected: str) -> None:
    assert format_time(parse_time(given)) == expected


@pytest.mark.parametrize(
    "given",
    [
        "2026-03-04T09:15:27",
        "2026-03-04",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
        "2026-W10-3T00:00:00Z",
        "20260304T091527Z",
        "now",
        "",
        0,
        None,
    ],
)
def test_what_is_no_time_with_an_offset_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^(must|has no|lies)"):
        parse_time(given)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param(b'{"ip": 1, "ip": 2}', "/ip", id="a_key_twice"),
        pytest.param(b'{"a": {"b/c": 1, "b/c": 2}}', "/b~1c", id="a_key_twice_deep_down"),
        pytest.param(b'{"a": NaN}', "", id="nan"),
        pytest.param(b'{"a": -Infinity}', "", id="infinity"),
        pytest.param(b"\xff", "", id="no_utf8"),
        pytest.param(b"[" * 100_000, "", id="nested_without_end"),
        pytest.param(b"1" * 10_000, "", id="a_number_without_end"),
        pytest.param(b"{", "", id="torn"),
    ],
)
def test_json_is_taken_strictly(body: bytes, pointer: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(body)

    assert refused.value.faults[0].pointer == pointer


MEMBERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(st.text("ab:", max_size=1), inner), max_size=3),
    max_leaves=8,
)


def written(value: Any, plain: bool) -> tuple[str, bool]:
    """Return a value as JSON, lists of pairs as objects, and whether a key stands twice in one."""
    if isinstance(value, list) and value and all(isinstance(one, tuple) for one in value):
        parts = [(json.dumps(key), *written(inner, plain)) for key, inner in value]
        twice = len({key for key, _, _ in parts}) < len(parts) or any(inner for _, _, inner in parts)
        return "{" + " ,".join(f"{key} : {text}" for key, text, _ in parts) + "}", twice
    if isinstance(value, list):
        entries = [written(one, plain) for one in value]
        return f"[{','.join(text for text, _ in entries)}]", any(twice for _, twice in entries)
    return json.dumps(value, ensure_ascii=not plain), False


@given(MEMBERS, st.booleans())
def test_a_key_is_refused_where_it_stands_twice_and_nowhere_else(value: Any, plain: bool) -> None:
    text, twice = written(value, plain)
    try:
        found = decode(text.encode())
    except InvalidInput as refused:
        assert twice == str(refused).endswith("is given twice"), text  # noqa: PT017 - it depends on the text
    else:
        assert not twice
        assert found == json.loads(text)


def test_every_fault_is_named_and_no_value_repeated() -> None:
    body = {"user_id": " x", "ip": "secret", "outcome": "maybe", "mfa": {"result": "passed", "at": 3}, "hat": 1}

    with pytest.raises(InvalidInput) as refused:
        parse_event(body)

    assert {fault.pointer for fault in refused.value.faults} == {"/user_id", "/ip", "/outcome", "/mfa/at", "/hat"}
    assert "secret" not in str(refused.value)


def test_nobody_is_only_for_failures() -> None:
    assert parse_event({"user_id": None, "ip": "192.0.2.1", "outcome": "failure"}).user_id is None
    with pytest.raises(InvalidInput, match="/user_id may be null only with outcome failure"):
        parse_event({"user_id": None, "ip": "192.0.2.1"})
    with pytest.raises(InvalidInput, match="/user_id is required"):
        parse_event({"ip": "192.0.2.1", "outcome": "failure"})
