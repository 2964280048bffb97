"""What is kept of an event is small, and comes back as it was, whichever version and thread made it small."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from riskengine.compression import DICTIONARY, MARK, compressed, expanded
from riskengine.settings import package_files

ANSWER = {
    "event_id": "e-1",
    "decision": "allow",
    "score": 0.0,
    "level": "low",
    "reasons": [],
    "signals": {"impossible_travel": None, "new_country": None, "new_place": None, "risky_network": 0.0},
    "data": {"source": "DB-IP City Lite", "attribution": ["IPFire Location, CC BY-SA 4.0"]},
}


@given(st.binary())
def test_it_comes_back_as_it_was(text: bytes) -> None:
    assert expanded(compressed(text)) == text


@given(st.binary().filter(lambda text: text[:1] != MARK))
def test_what_was_kept_as_it_was_comes_back_so(text: bytes) -> None:
    assert expanded(text) == text


def test_an_answer_becomes_half() -> None:
    text = msgspec.msgpack.encode(ANSWER)
    assert len(compressed(text)) < len(text) / 2


def test_the_dictionary_is_the_one_that_stored_events_were_made_small_with() -> None:
    found = hashlib.sha256((package_files("data") / DICTIONARY).read_bytes()).hexdigest()
    assert found == "2a7717d3eb2df393d79d3110ede84095a3fc4025e470e2038bfe6a7f04499477"


def test_threads_do_not_get_in_each_others_way() -> None:
    texts = [str(number).encode() * number for number in range(400)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(expanded, threads.map(compressed, texts))) == texts
