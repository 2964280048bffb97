"""riskengine's own NDJSON: strict, with a reason that names the field and never repeats its value."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.errors import InvalidInput
from riskengine.event import Event, NetworkClaim, Report
from riskengine.readers.log import Item, Skip
from riskengine.readers.ndjson import Ndjson

EVENT = {"user_id": "mira", "ip": "192.0.2.1", "occurred_at": "2026-03-04T09:15:27.3184417Z"}
REPORT = {"type": "report", "event_id": "e1", "result": "step_up_passed", "at": "2026-03-04T09:16:00+09:30"}


def parse(body: Any, ended: bool = True) -> Item:
    line = body if isinstance(body, bytes) else json.dumps(body).encode()
    found: Sequence[Item] | Skip = Ndjson().parse(line, ended)
    assert not isinstance(found, Skip)
    (item,) = found
    return item


@pytest.mark.parametrize("kind", [{}, {"type": "event"}])
def test_a_line_is_an_event_unless_it_says_otherwise(kind: dict[str, str]) -> None:
    event = parse(EVENT | kind | {"network": {"type": "wifi", "public": True}, "event_id": "e1"})

    assert isinstance(event, Event)
    assert (event.user_id, event.event_id, event.occurred_at) == ("mira", "e1", 1_772_615_727_318)
    assert event.network == NetworkClaim(type="wifi", public=True)


def test_a_line_may_be_a_report() -> None:
    assert parse(REPORT | {"amr": ["otp"]}) == Report("e1", "step_up_passed", ("otp",), 1_772_581_560_000)


@pytest.mark.parametrize("event_id", [{}, {"event_id": None}])
def test_an_event_without_an_id_gets_one_from_its_content(event_id: dict[str, None]) -> None:
    first, again = parse(EVENT | event_id), parse(EVENT | event_id)

    assert isinstance(first, Event)
    assert first == again
    assert first.event_id is not None
    assert first.event_id.startswith("ndjson-")
    assert len(first.event_id) == len("ndjson-") + 32


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param({"user_id": "a", "ip": "192.0.2.1"}, "/occurred_at is required in a log", id="no_time"),
        pytest.param(EVENT | {"occurred_at": None}, "/occurred_at is required in a log", id="null_time"),
        pytest.param({k: v for k, v in REPORT.items() if k != "at"}, "/at is required in a log", id="report_no_time"),
        pytest.param(EVENT | {"type": "login"}, "/type must be one of event, report", id="unknown_type"),
        pytest.param(EVENT | {"type": None}, "/type must be one of event, report", id="null_type"),
        pytest.param(EVENT | {"type": []}, "/type must be one of event, report", id="list_type"),
        pytest.param(EVENT | {"ip": "banana"}, "/ip must be an IPv4 or IPv6 address", id="banana"),
        pytest.param(EVENT | {"user_id": None}, "/user_id may be null only with outcome failure", id="null_user"),
        pytest.param(EVENT | {"extra": 1}, "/extra is not a field", id="unknown_field"),
        pytest.param(REPORT | {"result": "remediated"}, "/result must be one of", id="remediated_is_no_report"),
        pytest.param(REPORT | {"ip": "192.0.2.1"}, "/ip is not a field", id="report_with_event_field"),
        pytest.param([EVENT], "must be a JSON object", id="list"),
        pytest.param(b"7", "must be a JSON object", id="number"),
        pytest.param(b'{"ip":"192.0.2.1","ip":"192.0.2.2"}', "/ip is given twice", id="duplicate_key"),
        pytest.param(b'{"user_id": NaN}', "holds NaN", id="nan"),
        pytest.param(b'{"user_id": "\xff"}', "is not UTF-8", id="bytes"),
        pytest.param(EVENT | {"user_id": "\ud800"}, "half of a surrogate pair", id="lone_surrogate"),
        pytest.param(EVENT | {"user_id": "a\0"}, "control character U[+]0000", id="escaped_nul"),
        pytest.param(b"[" * 100_000, "nested too deeply|is not JSON", id="deep"),
    ],
)
def test_a_bad_line_is_rejected_with_the_field(line: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        parse(line)


def test_a_null_user_is_an_account_that_does_not_exist() -> None:
    event = parse(EVENT | {"user_id": None, "login": "admin", "outcome": "failure"})

    assert isinstance(event, Event)
    assert (event.user_id, event.login) == (None, "admin")


def test_a_torn_last_line_is_rejected_as_torn() -> None:
    whole = json.dumps(EVENT).encode()

    for length in range(1, len(whole)):
        with pytest.raises(InvalidInput, match="is cut off"):
            parse(whole[:length], ended=False)
    assert isinstance(parse(whole, ended=False), Event)


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_be_rejected(line: bytes) -> None:
    with pytest.raises(InvalidInput):
        Ndjson().parse(line, True)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["user_id", "ip", "type", "mfa", "context", "groups", "network"]), VALUES))
def test_no_values_do_worse_than_be_rejected(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        parse(body)
