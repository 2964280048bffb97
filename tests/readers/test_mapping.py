"""A mapping of one's own: what it can say, and what is said of one that is wrong."""

import json
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.errors import InvalidInput
from riskengine.readers.log import Item, Skip
from riskengine.readers.mapped import Mapped
from riskengine.readers.mapping import parse_mapping
from riskengine.readers.read import make_reading, read
from riskengine.readers.record import reader_of
from tests.readers.told import plain, told

NEEDED = '[event]\nuser_id = "who"\nip = "from"\noccurred_at = "at"\n'
RECORD = {"who": "mira", "from": "192.0.2.1", "at": "2026-03-04T09:15:27Z"}


def items(mapping: str, *records: Any) -> list[Any]:
    """Return what records give through a mapping, as plain data."""
    parsed = parse_mapping(mapping, "mapped")
    lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    parser = Mapped(parsed, reader_of(parsed, lines[0]), UTC)
    found: list[Any] = []
    for line in lines:
        given = parser.parse(line, True)
        found += [given] if isinstance(given, Skip) else given
    return [str(one) if isinstance(one, Skip | InvalidInput) else _without_id(one) for one in found]


def _without_id(item: Item) -> dict[str, Any]:
    return {name: value for name, value in plain(item).items() if name != "event_id"}


BASE = {"user_id": "mira", "ip": "192.0.2.1", "occurred_at": "2026-03-04T09:15:27.000Z", "outcome": "success"}


@pytest.mark.parametrize(
    ("more", "record", "want"),
    [
        pytest.param("", {}, {}, id="three_fields_are_enough"),
        pytest.param('outcome = {from="ok", values={yes="success", no="failure"}}', {"ok": "no"},
                     {"outcome": "failure"}, id="values"),
        pytest.param('outcome = {from="ok", values={true="success"}, otherwise="failure"}', {"ok": False},
                     {"outcome": "failure"}, id="otherwise"),
        pytest.param('outcome = {from="ok", values={yes="success"}, otherwise=""}', {"ok": "?"}, {},
                     id="otherwise_nothing"),
        pytest.param('action = [{value="access", when={kind="app"}}, {value="login"}]', {"kind": "app"},
                     {"action": "access"}, id="when"),
        pytest.param('device_id = {from="dev", unless={kind="app"}}', {"dev": "d", "kind": "app"}, {}, id="unless"),
        pytest.param('device_id = ["dev.id", "dev"]', {"dev": "d"}, {"device_id": "d"}, id="the_first_that_is_there"),
        pytest.param('device_id = {from=["a", "b"], ignore=["none"]}', {"a": "none", "b": "d"}, {"device_id": "d"},
                     id="ignore"),
        pytest.param('login = {from="mail", fold=true}', {"mail": "Mira@Example.org"}, {"login": "mira@example.org"},
                     id="fold"),
        pytest.param("device_id = {from='x', pattern='dev=([a-z0-9]+)'}", {"x": "os;dev=q7;"},
                     {"device_id": "q7"}, id="pattern"),
        pytest.param("device_id = {from='x', pattern='dev=([a-z0-9]+)'}", {"x": "os"}, {}, id="no_match"),
        pytest.param('groups = "g"', {"g": ["staff", 7, ""]}, {"groups": ["staff", "7"]}, id="list"),
        pytest.param('groups = "g"', {"g": "staff"}, {"groups": ["staff"]}, id="list_of_one"),
        pytest.param('mfa.result = {value="passed", when={f=true}}\nmfa.amr = "f"\nmfa.at = "t"',
                     {"f": ["otp"], "t": 1772615726}, {"mfa": {"result": "passed", "amr": ["otp"],
                     "at": "2026-03-04T09:15:26.000Z"}}, id="mfa"),
        pytest.param('[event.context]\nwhy = "r"', {"r": "a\tb\u0000c"}, {"context": {"why": "a b c"}}, id="context"),
        pytest.param('user_agent = "ua"', {"ua": " A\u0007B \ud800" + "x" * 3000}, {"user_agent": "A B  " + "x" * 2043},
                     id="what_a_field_may_not_hold_goes"),
        pytest.param('session_id = "s[-1].id"', {"s": [{"id": "a"}, {"id": "b"}]}, {"session_id": "b"}, id="last"),
        pytest.param('session_id = "s[k=2].v"', {"s": [{"k": 1, "v": "a"}, {"k": 2, "v": "b"}]}, {"session_id": "b"},
                     id="entry"),
        pytest.param('session_id = "s[].v"', {"s": [{"k": 1}, {"v": "b"}]}, {"session_id": "b"}, id="any_entry"),
        pytest.param('''session_id = '"a.b"."c d"' ''', {"a.b": {"c d": "q"}}, {"session_id": "q"}, id="quoted"),
    ],
)  # fmt: skip
def test_a_field_is_found_and_made_what_it_means(more: str, record: dict[str, Any], want: dict[str, Any]) -> None:
    assert items(NEEDED + more, RECORD | record) == [BASE | want]


@pytest.mark.parametrize(
    ("record", "want"),
    [
        pytest.param({"from": "192.0.2.1:4444"}, "192.0.2.1", id="port"),
        pytest.param({"from": "[2001:db8::1]:4444"}, "2001:db8::1", id="brackets_and_port"),
        pytest.param({"from": "[2001:db8::1]"}, "2001:db8::1", id="brackets"),
        pytest.param({"from": "fe80::1%eth0"}, "fe80::1", id="zone"),
        pytest.param({"from": "::ffff:192.0.2.1"}, "192.0.2.1", id="mapped"),
        pytest.param({"from": ["192.0.2.1", "192.0.2.2"]}, "192.0.2.1", id="the_first_of_several"),
    ],
)
def test_an_address_is_stripped_to_what_it_is(record: dict[str, Any], want: str) -> None:
    assert items(NEEDED, RECORD | record)[0]["ip"] == want


@pytest.mark.parametrize(
    ("written", "want"),
    [
        pytest.param("2026-03-04T09:15:27.3184417Z", "27.318", id="seven_digits"),
        pytest.param("2026-03-04T10:15:27+01:00", "27.000", id="offset"),
        pytest.param("2026-03-04 10:15:27 +0100", "27.000", id="blank_and_short_offset"),
        pytest.param("2026-03-04 09:15:27,318", "27.318", id="comma_and_no_zone"),
        pytest.param("2026-03-04T09:15:27 UTC", "27.000", id="zone_by_name"),
        pytest.param("20260304T091527Z", "27.000", id="basic_form"),
        pytest.param("3/4/2026 9:15:27 AM", "27.000", id="month_first"),
        pytest.param("03/04/2026 09:15:27", "27.000", id="month_first_24_hours"),
        pytest.param("Mar 04 2026 09:15:27.318", "27.318", id="cef"),
        pytest.param("Wed, 04 Mar 2026 09:15:27 +0000", "27.000", id="rfc_2822"),
        pytest.param("04/Mar/2026:10:15:27 +0100", "27.000", id="web_server"),
        pytest.param(1772615727, "27.000", id="seconds"),
        pytest.param(1772615727.318, "27.318", id="seconds_with_a_fraction"),
        pytest.param("1772615727.318", "27.318", id="seconds_as_text"),
        pytest.param(1772615727318, "27.318", id="ms"),
        pytest.param(1772615727318442, "27.318", id="microseconds"),
        pytest.param(1772615727318442000, "27.318", id="nanoseconds"),
    ],
)
def test_a_time_is_read_in_whatever_encoding(written: Any, want: str) -> None:
    assert items(NEEDED, RECORD | {"at": written})[0]["occurred_at"] == f"2026-03-04T09:15:{want}Z"


@pytest.mark.parametrize(
    ("record", "why"),
    [
        pytest.param({"at": "soon"}, "/occurred_at has a form that is not known", id="time"),
        pytest.param({"at": "09:15:27"}, "/occurred_at has no date", id="no_date"),
        pytest.param({"at": "2026-02-30T09:15:27Z"}, "/occurred_at is no time that exists", id="no_such_day"),
        pytest.param({"at": -1772615727}, "/occurred_at lies outside", id="before_1970"),
        pytest.param({"at": None}, "/occurred_at is missing", id="no_time"),
        pytest.param({"from": "banana"}, "/ip must be an IPv4 or IPv6 address", id="address"),
        pytest.param({"from": None}, "a login without an address", id="no_address"),
        pytest.param({"who": None}, "/user_id may be null only with outcome failure", id="nobody_succeeds"),
    ],
)
def test_a_record_that_makes_no_event_says_why(record: dict[str, Any], why: str) -> None:
    (found,) = items(NEEDED, RECORD | record)

    assert found.startswith(why)


def test_records_that_are_no_logins_and_repeats_are_passed_over() -> None:
    mapping = f'log = {{once = ["tx"]}}\nlogin = [{{kind = "in*"}}, {{other = true, kind = false}}]\n{NEEDED}'

    assert items(
        mapping,
        RECORD | {"kind": "inner", "tx": 1},
        RECORD | {"kind": "inner", "tx": 1},
        RECORD | {"kind": "out"},
        RECORD | {"other": 0},
        RECORD | {"other": []},
    ) == [BASE, "another record of the same login", "not a login", BASE, "not a login"]


def test_a_users_own_text_is_taken_apart_by_a_pattern() -> None:
    mapping = (
        "[log]\npattern = '^(?P<at>\\S+ \\S+) portal: login (?P<rest>.*)$'\npairs = 'rest'\n"
        + NEEDED
        + "outcome = {from='ok', values={yes='success', no='failure'}}"
    )

    assert items(mapping, b'2026-03-04 09:15:27 portal: login who="mira" from=192.0.2.1, ok=no', b"other") == [
        BASE | {"outcome": "failure"},
        "not a login",
    ]


def test_a_table_is_read_by_its_columns(tmp_path: Path) -> None:
    mapping, log = tmp_path / "my.toml", tmp_path / "log"
    mapping.write_text(
        '[event]\nuser_id = "User Name"\nip = "Address"\noccurred_at = {from="Day", format="%d.%m.%Y %H:%M"}'
    )
    log.write_text("Day;User Name;Address\n04.03.2026 10:15;mira;192.0.2.1\n\n31.2.2026 10:15;mira;192.0.2.1\n")

    found = told(read([str(log)], tz="Europe/Vienna", reading=make_reading(str(mapping), None, None)))

    assert [(one["line"], one["occurred_at"]) for one in found["want"]] == [(2, "2026-03-04T09:15:00.000Z")]
    assert found["rejected"] == [
        "4: /occurred_at has a form that is not known here; `format` in the mapping can name it"
    ]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        pytest.param(
            "", ["event.user_id is missing", "event.ip is missing", "event.occurred_at is missing"], id="empty"
        ),
        pytest.param("[event", ["is not TOML"], id="no_toml"),
        pytest.param(NEEDED + 'colour = "a"', ["event.colour is not known here; known are user_id, login"], id="field"),
        pytest.param(NEEDED + "[logs]", ["logs is not known here; known are detect, log, login"], id="section"),
        pytest.param(
            NEEDED + 'login = {form="a"}', ["event.login.form is not known", "either `from` or `value`"], id="key"
        ),
        pytest.param(NEEDED + 'login = "a..b"', ["event.login is no path"], id="path"),
        pytest.param(NEEDED + 'login = "a[x]"', ["event.login is no path: [x] is no step"], id="step"),
        pytest.param(NEEDED + "login = 7", ["event.login must be a path, a table, or a list of these"], id="number"),
        pytest.param(NEEDED + "login = []", ["event.login has nothing in it"], id="nothing"),
        pytest.param(
            NEEDED + 'outcome = {from="ok", values={a="good"}}',
            ["event.outcome must give one of success, failure, unknown"],
            id="outcome_with_wrong_values",
        ),
        pytest.param(NEEDED + 'login = {from="a", pattern="("}', ["event.login.pattern is no regular"], id="pattern"),
        pytest.param(NEEDED + 'login = {from="a", pattern="b"}', ["event.login.pattern has no group"], id="no_group"),
        pytest.param(NEEDED + 'login = {from="a", when="b"}', ["event.login.when must be a table"], id="condition"),
        pytest.param(NEEDED + "login = {from='a', when={b=[]}}", ["event.login.when.b must be texts"], id="texts"),
        pytest.param(NEEDED + "login = {from='a', fold='yes'}", ["event.login.fold must be true or false"], id="flag"),
        pytest.param(NEEDED + "[log]\nzone = 'Mars'", ["log.zone must be the name of an IANA"], id="zone"),
        pytest.param(NEEDED + "[log]\ntext = 'xml'", ["log.text must be one of cef"], id="text"),
        pytest.param(NEEDED + "[log]\nrecords = 7", ["log.records must be a text or a list"], id="records"),
        pytest.param(
            NEEDED + "[second_factor]",
            ["second_factor.when is missing", "second_factor.link is missing", "second_factor.result is missing"],
            id="second_factor",
        ),
        pytest.param("event = 7", ["event must be a table"], id="no_table"),
    ],
)
def test_a_mapping_that_is_wrong_names_each_thing(text: str, wrong: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_mapping(text, "mapped", "my.toml")

    for one in wrong:
        assert one in str(caught.value)
    assert str(caught.value).startswith("my.toml")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["who", "from", "at", "ua", "g"]), VALUES))
def test_no_values_do_worse_than_be_rejected(record: dict[str, Any]) -> None:
    mapping = NEEDED + 'user_agent = "ua"\ngroups = "g"\n[event.context]\na = "g.x"'
    for found in items(mapping, json.dumps(RECORD | record).encode()):
        assert isinstance(found, str | dict)


@given(st.text(max_size=120), st.sampled_from(["", NEEDED, NEEDED + "x = ", "[event]\nip = "]))
def test_no_text_does_worse_than_be_refused(text: str, before: str) -> None:
    with suppress(InvalidInput):
        assert parse_mapping(before + text, "mapped").name == "mapped"
