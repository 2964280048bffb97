"""NDJSON rows."""

import io
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from riskengine.writers.ndjson import Ndjson, open_ndjson


def test_a_row_is_one_compact_line_with_its_keys_in_order(tmp_path: Path) -> None:
    with open_ndjson(tmp_path / "out") as rows:
        rows.write({"b": 1, "a": [1.5, None, True], "c": {"z": "é\n", "y": 0.1}})
        rows.write({})

    assert (tmp_path / "out").read_bytes() == '{"b":1,"a":[1.5,null,true],"c":{"z":"é\\n","y":0.1}}\n{}\n'.encode()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_exactly(number: float) -> None:
    stream = io.BytesIO()
    Ndjson(stream).write({"x": number})

    assert json.loads(stream.getvalue())["x"] == number


def test_unknown_is_null() -> None:
    stream = io.BytesIO()
    Ndjson(stream).write({"x": float("nan")})

    assert stream.getvalue() == b'{"x":null}\n'
