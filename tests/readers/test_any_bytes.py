"""Whatever a log holds: a reject or a sentence, never a traceback, and never a good line lost."""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from riskengine.errors import InvalidInput
from riskengine.readers.formats import FORMATS
from riskengine.readers.log import Read
from riskengine.readers.read import AUTO, read
from tests.readers.told import told

FOLDER = Path(__file__).parent / "formats"
LOGS = {path.stem: yaml.safe_load(path.read_text())[0]["log"].encode() for path in sorted(FOLDER.glob("*.yaml"))}
# A folder for one test is the same for all its examples, which each write it anew.
fuzz = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
junk = st.binary(max_size=80) | st.text('[]{}",:\\|= \n\r\t\0aé', max_size=40).map(str.encode)


@fuzz
@given(content=junk, format=st.sampled_from([AUTO, *FORMATS]))
def test_any_bytes_are_read_to_their_end_or_refused(tmp_path: Path, content: bytes, format: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    assert _refusal(path, format).startswith(str(path))


@fuzz
@given(name=st.sampled_from(sorted(LOGS)), data=st.data())
def test_a_log_that_is_cut_or_changed_anywhere_is_read_all_the_same(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    log = LOGS[name]
    at = data.draw(st.integers(0, len(log)))
    changed = data.draw(st.sampled_from([log[:at], log[:at] + data.draw(junk) + log[at:], log[:at] + log[at + 1 :]]))
    path = tmp_path / "log"
    path.write_bytes(data.draw(st.sampled_from([changed, gzip.compress(log)[: at + 1]])))
    assert _refusal(path, name).startswith(str(path))


@pytest.mark.parametrize("name", [name for name, log in LOGS.items() if log.startswith(b'{"') and b"\n[" not in log])
@fuzz
@given(bad=junk.filter(lambda text: b"\n" not in text and b"\r" not in text))
def test_a_bad_line_costs_no_good_one(tmp_path: Path, name: str, bad: bytes) -> None:
    lines = LOGS[name].splitlines(keepends=True)
    if not all(_is_json(line) for line in lines):
        return
    path = tmp_path / "log"
    path.write_bytes(b"".join(lines))
    want = _without_lines(path, name)
    path.write_bytes(lines[0] + bad + b"\n" + b"".join(lines[1:]))

    assert _without_lines(path, name) == want


def _refusal(path: Path, format: str) -> str:
    """Return why a log as a whole is refused, or its name where it is read to its end."""
    try:
        list(read([str(path)], format, year=2026))
    except InvalidInput as error:
        return str(error)
    return str(path)


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except json.JSONDecodeError:
        return False


def _without_lines(path: Path, name: str) -> list[dict[str, object]]:
    found = told(read([str(path)], name, year=2026))["want"]
    assert all(one["line"] <= other["line"] for one, other in pairwise(found))
    return [{key: value for key, value in one.items() if key != "line"} for one in found]


def test_a_line_of_many_megabytes_is_one_reject(tmp_path: Path) -> None:
    path = tmp_path / "log"
    good = LOGS["okta"].splitlines(keepends=True)[0]
    path.write_bytes(
        good + b'{"x":"' + b"y" * (5 << 20) + b'"}\n' + good.replace(b"ok-1", b"ok-2").replace(b"t1", b"t2")
    )

    found = list(read([str(path)]))

    assert [type(one) is Read for one in found] == [True, False, True]
