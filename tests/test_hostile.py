"""Whatever outside bytes a parser gets, it reads them, or refuses them by an error of ours, and does nothing else."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskengine.access.access import Access
from riskengine.check import decode
from riskengine.errors import RiskEngineError
from riskengine.event import parse_event, parse_report
from riskengine.inquiry import cursor
from riskengine.inquiry.filters import parse_filters
from riskengine.journal import Journal
from riskengine.policy.parse import parse
from riskengine.readers.mapping import parse_mapping
from riskengine.seal import Keys, Seal
from riskengine.settings import package_files
from riskengine.store.memory import MemoryStore

SEAL = Seal(Keys.generate())
EVENT = b"""{"user_id": "ana", "ip": "2001:db8::1", "event_id": "e-1", "occurred_at": "2026-03-04T09:15:31.5+01:00",
 "mfa": {"result": "passed", "amr": ["otp"], "at": "2026-03-04T09:15:31Z"},
 "position": {"latitude": 1e1, "longitude": 0}, "network": {"type": "wifi", "secured": false},
 "timezone": "Europe/Lisbon", "rtt": {"ms": 1.5, "edge": "x"},
 "groups": ["a", "b"], "context": {"a": [1, null, true, {"b": "\\u00e9\\ud83d\\ude00"}]}}"""
REPORT = b'{"event_id": "e-1", "result": "step_up_passed", "amr": ["otp"], "at": "2026-03-04T09:15:31Z"}'
POLICY = (package_files("data") / "policy.toml").read_bytes()
MAPPING = (Path(parse_mapping.__code__.co_filename).parent / "mappings" / "okta.toml").read_bytes()
FILTERS = (
    b'{"user_id": "ana", "decision": ["deny", "step_up"], "since": "2026-03-04T09:15:31Z", "cidr": "192.0.2.0/24"}'
)
CURSOR = cursor.sealed((1_772_615_731_500, 7), {}, "newest", "default", SEAL).encode()
KEY = b"Bearer rk_0123456789abcdef_" + b"ab" * 32
# What parsers trip over: quotes, ends, deep nesting, numbers without bounds, surrogates, NUL, bytes that are no UTF-8.
ODD = (
    *(b'"', b"\\", b"\0", b"\n", b"\r\n", b"[" * 200, b'{"a":' * 200, b"[[", b"]]", b"=", b"'''", b"1e999", b"-0"),
    *(
        b"9" * 400,
        b"NaN",
        b"Infinity",
        b"\\ud800",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        "é\u202e\u0000".encode(),
        b"null",
        b"{}",
    ),
    *(b"9999-12-31T23:59:59.999999+00:00", b"0001-01-01T00:00:00+23:59", b"(?:a+)+$", b"\x1f\x8b\x08", b"#", b","),
)


@dataclass(frozen=True)
class Parser:
    """A parser of outside bytes, and an input that it reads: what hunts for faults begins there."""

    read: Callable[[bytes], Any]
    whole: bytes


def _authenticate(data: bytes) -> Any:
    return Access(MemoryStore()).authenticate(data.decode("latin-1"), 0)


def _filters(data: bytes) -> Any:
    found = decode(data)
    return parse_filters(found if isinstance(found, dict) else {}, "default", SEAL)


PARSERS = {
    "a body": Parser(decode, EVENT),
    "an event": Parser(lambda data: parse_event(decode(data)), EVENT),
    "a report": Parser(lambda data: parse_report(decode(data)), REPORT),
    "a policy": Parser(lambda data: parse(data.decode("utf-8", "replace")), POLICY),
    "a mapping": Parser(lambda data: parse_mapping(data.decode("utf-8", "replace"), "x"), MAPPING),
    "an access key": Parser(_authenticate, KEY),
    "filters": Parser(_filters, FILTERS),
    "a cursor": Parser(lambda data: cursor.opened(data.decode("latin-1"), {}, "newest", "default", SEAL), CURSOR),
    "a sealed value": Parser(lambda data: SEAL.open(data, "default", "raw", 1), SEAL.seal(EVENT, "default", "raw", 1)),
}


def changed(whole: bytes) -> st.SearchStrategy[bytes]:
    """Return what is not far from an input: a few places of it are cut out or written over."""
    place = st.integers(0, len(whole))
    cut = st.tuples(place, st.integers(0, 40), st.one_of(st.sampled_from(ODD), st.binary(max_size=6)))

    def put(cuts: list[tuple[int, int, bytes]]) -> bytes:
        data = whole
        for at, length, new in cuts:
            data = data[:at] + new + data[at + length :]
        return data

    return st.lists(cut, min_size=1, max_size=3).map(put)


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=300)
@given(st.data())
def test_whatever_a_parser_of_outside_bytes_gets_it_reads_or_refuses(name: str, data: st.DataObject) -> None:
    parser = PARSERS[name]
    given = data.draw(st.one_of(changed(parser.whole), st.binary(max_size=200), st.sampled_from(ODD)))
    with suppress(RiskEngineError):
        parser.read(given)


@pytest.mark.parametrize("name", [name for name in PARSERS if name != "an access key"])
def test_what_the_hunt_begins_with_is_read(name: str) -> None:
    assert PARSERS[name].read(PARSERS[name].whole)


RECORDS = [b"one", b"two" * 20, b"", b"four"]


def _journal_file() -> bytes:
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder), SEAL)
        journal.append(RECORDS)
        journal.close()
        return next(Path(folder).iterdir()).read_bytes()


FILE = _journal_file()


@settings(max_examples=150)
@given(st.one_of(changed(FILE), st.binary(max_size=300)))
def test_a_changed_journal_gives_records_of_its_own_in_order_and_no_other(content: bytes) -> None:
    taken: list[bytes] = []
    with TemporaryDirectory() as folder:
        (Path(folder) / f"{hashlib.sha256(content).hexdigest()[:16]}.journal").write_bytes(content)
        journal = Journal(Path(folder), SEAL)
        journal.drain(taken.extend)
        journal.close()

    left = iter(RECORDS)
    assert all(record in left for record in taken)
